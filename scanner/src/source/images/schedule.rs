//! Which member is searched when: as memory and threads allow.

use std::sync::{Mutex, PoisonError};

use crate::image::catalog::{MemberId, Role};
use crate::unpack::format::Codec;
use crate::unpack::window::{Grant, Window, ask};
use crate::walk::Walk;

/// What tells a codec's window, skippable frames before it included.
pub(super) const WINDOW_HEAD_BYTES: usize = 1 << 10;

pub(super) struct Job {
    pub(super) member: MemberId,
    pub(super) role: Option<Role>,
    /// How it is compressed, and its first bytes.
    pub(super) codec: Option<(Codec, Box<[u8]>)>,
    pub(super) size: usize,
}

/// Starts as many jobs as there are threads, as long as there is memory for their decoders: a job holds buffers, and
/// the threads that it leaves idle search its batches. Nothing waits inside a job: a thread that waited for memory
/// could be the one that holds it, further down on its stack.
pub(super) struct Schedule<'w> {
    walk: &'w Walk<'w>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// The largest last.
    jobs: Vec<Job>,
    running: usize,
}

/// How many jobs that find no memory are passed over for one that does.
const PASSED_OVER_MAX: usize = 64;

impl<'w> Schedule<'w> {
    /// For jobs sorted by size.
    pub(super) fn new(walk: &'w Walk<'w>, jobs: Vec<Job>) -> Self {
        Self { walk, waiting: Mutex::new(Waiting { jobs, running: 0 }) }
    }

    /// Starts what can start. A job that ends starts others.
    pub(super) fn start<'scope, F>(&'scope self, scope: &rayon::Scope<'scope>, run: &'scope F)
    where
        F: Fn(&Job, Option<Window>) + Sync,
    {
        for (job, window) in self.ready().into_iter().rev() {
            // A thread runs first what it spawned last: the largest.
            scope.spawn(move |scope| {
                run(&job, window);
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).running -= 1;
                self.start(scope, run);
            });
        }
    }

    /// The next jobs, with what their decoders may take; those that never find as much come without.
    fn ready(&self) -> Vec<(Job, Option<Window>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { jobs, running } = &mut *waiting;
        let mut ready = Vec::new();
        let (mut at, mut passed_over) = (jobs.len(), 0);
        while *running < rayon::current_num_threads() && at > 0 && passed_over < PASSED_OVER_MAX {
            at -= 1;
            let window = match &jobs[at].codec {
                None => None,
                Some((codec, head)) => match ask(self.walk, *codec, head) {
                    Grant::Now(window) => Some(window),
                    Grant::Later if *running > 0 => {
                        passed_over += 1;
                        continue;
                    }
                    // When nothing runs, nothing holds memory that could come back.
                    Grant::Never(_) | Grant::Later => None,
                },
            };
            ready.push((jobs.remove(at), window));
            *running += 1;
        }
        ready
    }
}
