//! A large haystack that lies in memory, searched by all threads.
//!
//! Parts are searched at the same time, each as if nothing before it reached into it. Where something does (a run of
//! base64, a match), the part is searched again behind the one before it. So the outcome is that of one thread.

use rayon::prelude::*;

use super::{Engine, Level, MATCHES_MAX, Run, Scratch, Scratches, Searched, WINDOW_BYTES, Window};
use super::{Position, Raw, decode, raw};

/// How far a cut is moved back to a place that hardly anything crosses.
const MOVED_BYTES_MAX: usize = 4 << 10;

/// What the search of a part leaves to the next one.
#[derive(Default)]
struct State {
    progress: decode::Progress,
    done: Vec<(crate::rules::RuleIndex, u64)>,
}

impl State {
    /// Whether nothing reaches beyond this place.
    fn ends_before(&self, place: u64) -> bool {
        self.progress.ends_before(place) && self.done.iter().all(|(_, until)| *until <= place)
    }
}

/// A part that was searched.
struct Part {
    raws: Vec<Raw>,
    state: State,
    gaps: decode::Gaps,
    /// Bytes that were inflated.
    made: u64,
    is_full: bool,
}

impl Engine {
    /// [`Engine::search`] of a slice, on the threads of this pool, in parts of about so many bytes.
    pub fn search_in_parts(&self, bytes: &[u8], part_bytes: usize, scratches: &Scratches) -> Searched {
        let searched = self.in_parts(bytes, part_bytes.max(1), scratches);
        searched.unwrap_or_else(|| {
            scratches.with(self, |scratch| {
                let content = crate::blob::Content::Slice(bytes);
                // A slice does not fail.
                self.search(content, scratch).unwrap_or_else(|error| error.searched)
            })
        })
    }

    /// None where the order of the parts matters: when there is more than is kept.
    fn in_parts(&self, bytes: &[u8], part_bytes: usize, scratches: &Scratches) -> Option<Searched> {
        let at_once = 2 * rayon::current_num_threads();
        let (mut raws, mut state) = (Vec::new(), State::default());
        let (mut gaps, mut made) = (decode::Gaps::default(), 0);
        let mut from = 0;
        while from < bytes.len() {
            let mut cuts = vec![from];
            while cuts.len() <= at_once && from < bytes.len() {
                from = cut(bytes, from, part_bytes);
                cuts.push(from);
            }
            let part = |(index, ends): (usize, &[usize])| {
                // The first one knows what came before, which is put in below.
                let before = State::default();
                (index > 0).then(|| scratches.with(self, |scratch| self.part(bytes, ends, before, scratch)))
            };
            let (first, others) = rayon::join(
                || {
                    scratches.with(self, |scratch| {
                        self.part(bytes, &cuts[..2], std::mem::take(&mut state), scratch)
                    })
                },
                || cuts.par_windows(2).enumerate().filter_map(part).collect::<Vec<Part>>(),
            );
            for (index, searched) in std::iter::once(first).chain(others).enumerate() {
                let ends = &cuts[index..index + 2];
                let searched = if index == 0 || state.ends_before(ends[0] as u64) {
                    searched
                } else {
                    let before = std::mem::take(&mut state);
                    scratches.with(self, |scratch| self.part(bytes, ends, before, scratch))
                };
                made += searched.made;
                if searched.is_full || made > decode::INFLATED_BYTES_MIN {
                    return None;
                }
                gaps = gaps.and(searched.gaps);
                raws.extend(searched.raws);
                state = searched.state;
            }
            if raws.len() > MATCHES_MAX {
                return None;
            }
        }
        let mut position = Position::START;
        let window = Window { bytes, base: 0, owned: 0..bytes.len() };
        super::place(&mut raws, &window, &mut position);
        Some(Searched {
            bytes: bytes.len() as u64,
            hits: raw::settle(&self.rules, raws),
            is_cut: false,
            gaps,
        })
    }

    fn part(&self, bytes: &[u8], ends: &[usize], before: State, scratch: &mut Scratch) -> Part {
        let totals = decode::Totals::new(self.ratio);
        if scratch.levels.is_empty() {
            scratch.levels.push(Level::default());
        }
        scratch.levels[0].progress = before.progress;
        scratch.levels[0].done = before.done;
        let mut run = Run::new(self, scratch, &totals);
        let mut raws = Vec::new();
        let mut start = ends[0];
        while start < ends[1] {
            let end = ends[1].min(start + WINDOW_BYTES);
            let window = Window { bytes, base: 0, owned: start..end };
            run.scratch.memories.trim(window.owned.len());
            run.level(&window, 0, &mut raws);
            start = end;
            if raws.len() > MATCHES_MAX {
                break;
            }
        }
        let level = &mut scratch.levels[0];
        let state =
            State { progress: std::mem::take(&mut level.progress), done: std::mem::take(&mut level.done) };
        let is_full = raws.len() > MATCHES_MAX;
        Part { raws, state, gaps: totals.gaps(), made: totals.made(), is_full }
    }
}

/// Where a part ends that begins here: behind an empty line or zeros if there are some, or behind a line.
fn cut(bytes: &[u8], from: usize, part_bytes: usize) -> usize {
    let to = from.saturating_add(part_bytes);
    if to >= bytes.len() {
        return bytes.len();
    }
    let floor = to.saturating_sub(MOVED_BYTES_MAX).max(from + part_bytes / 2);
    let near = &bytes[floor..to];
    let calm = near.windows(2).rposition(|two| matches!(two, b"\n\n" | b"\0\0")).map(|at| floor + at + 2);
    let line = || near.iter().rposition(|byte| *byte == b'\n').map(|at| floor + at + 1);
    calm.or_else(line).unwrap_or(to)
}
