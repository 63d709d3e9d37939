//! How often leaks may start runs: a cooldown and a daily budget for each Rotation, a breaker for all of them.
//!
//! The count of a Rotation lies in the store that it publishes to, under check-and-set, and is taken before the run
//! starts: two responders, or one that is killed again and again, never start more runs than are allowed. The breaker
//! adds up the counts of all stores; two responders that count in two stores at the same moment may pass it by one.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::secret::Secret;

use crate::manifest::duration::GoDuration;
use crate::provider::{Key, Provider, ReadError, WriteError};

const PATH: &str = "keyturn/respond/state";
const STATE_VERSION: u32 = 1;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// How often the count is taken anew because another responder was faster.
const CONFLICTS_MAX: usize = 16;

/// When leaks no longer start runs and only alert.
#[derive(Clone, Copy, Debug, Args)]
pub struct Limits {
    /// The time between two runs that leaks start for one Rotation
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub cooldown: GoDuration,
    /// How many runs leaks start for one Rotation in 24 hours
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub daily_budget: u32,
    /// How many runs leaks start in one hour for all Rotations together
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub breaker: u32,
}

/// Whether a run may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and was counted.
    Granted,
    /// It may not.
    Denied {
        /// Which limit.
        limit: &'static str,
        /// When that limit allows the next one.
        until: Timestamp,
    },
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    version: u32,
    runs: Vec<Run>,
}

#[derive(Serialize, Deserialize)]
struct Run {
    rotation: String,
    at: Timestamp,
}

/// Counts a run of a Rotation, if it may start: in the store that it publishes to, where `others` are the other stores
/// whose runs count for the breaker.
///
/// # Errors
/// When a count cannot be read or written, in one line.
pub async fn admit(
    provider: &Provider,
    others: &[Provider],
    rotation: &str,
    limits: Limits,
    now: Timestamp,
) -> Result<Admission, String> {
    let mut elsewhere = Vec::new();
    for other in others {
        elsewhere.extend(load(other).await?.1.runs);
    }
    for _ in 0..CONFLICTS_MAX {
        let (version, mut state) = load(provider).await?;
        state.runs.retain(|run| run.at > before(now, DAY));
        if let Some(denied) = denied(&state, &elsewhere, rotation, limits, now) {
            return Ok(denied);
        }
        state.runs.push(Run { rotation: rotation.to_owned(), at: now });
        state.version = STATE_VERSION;
        let json = serde_json::to_vec(&state).map_err(|error| error.to_string())?;
        match provider.write(PATH, Secret::new(json), Some(version)).await {
            Ok(_) => return Ok(Admission::Granted),
            Err(WriteError::Cas { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("{}: {PATH}: others write all the time; try again", provider.name()))
}

async fn load(provider: &Provider) -> Result<(u64, State), String> {
    match provider.read(&Key::latest(PATH)).await {
        Ok(document) => {
            let state: Option<State> = document.json().expose(|bytes| serde_json::from_slice(bytes)).ok();
            let state = state.filter(|state| state.version == STATE_VERSION).ok_or_else(|| {
                format!(
                    "{}: {PATH}: this is not the count of leaks, or of a newer program; put back the last version",
                    provider.name()
                )
            })?;
            Ok((document.version.unwrap_or(0), state))
        }
        Err(ReadError::NotFound { .. }) => Ok((0, State::default())),
        Err(error) => Err(error.to_string()),
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| now.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

fn after(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| at.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

/// The first limit that is reached, the widest first.
fn denied(
    state: &State,
    elsewhere: &[Run],
    rotation: &str,
    limits: Limits,
    now: Timestamp,
) -> Option<Admission> {
    // Two manifests may lead to one store, whose runs then come twice.
    let all: BTreeSet<(Timestamp, &str)> =
        state.runs.iter().chain(elsewhere).map(|run| (run.at, run.rotation.as_str())).collect();
    let all: Vec<Timestamp> = all.into_iter().map(|(at, _)| at).collect();
    let own = state.runs.iter().filter(|run| run.rotation == rotation).map(|run| run.at);
    let own: Vec<Timestamp> = own.collect();
    let within = |span: Duration, times: &[Timestamp]| {
        let mut times: Vec<Timestamp> = times.iter().copied().filter(|at| *at > before(now, span)).collect();
        times.sort_unstable();
        times
    };
    let full = |limit, times: &[Timestamp], count: u32, span: Duration| {
        let count = count as usize;
        (times.len() >= count).then(|| {
            // Room is made when all but `count - 1` of them are older than the span.
            let leaves = times.len().checked_sub(count.max(1)).and_then(|index| times.get(index));
            Admission::Denied { limit, until: leaves.map_or(Timestamp::MAX, |at| after(*at, span)) }
        })
    };
    full("the breaker", &within(HOUR, &all), limits.breaker, HOUR)
        .or_else(|| full("the daily budget", &within(DAY, &own), limits.daily_budget, DAY))
        .or_else(|| full("the cooldown", &within(limits.cooldown.0.min(DAY), &own), 1, limits.cooldown.0))
}

#[cfg(test)]
mod tests {
    use super::{Admission, Duration, Limits, Run, State, Timestamp, after, denied};
    use crate::manifest::duration::GoDuration;

    fn limits(cooldown: u64, daily_budget: u32, breaker: u32) -> Limits {
        Limits { cooldown: GoDuration(Duration::from_secs(cooldown)), daily_budget, breaker }
    }

    fn state(runs: &[(&str, u64)]) -> State {
        let run = |(rotation, seconds): &(&str, u64)| Run {
            rotation: (*rotation).to_owned(),
            at: after(Timestamp::UNIX_EPOCH, Duration::from_secs(*seconds)),
        };
        State { version: 1, runs: runs.iter().map(run).collect() }
    }

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    #[test]
    fn each_limit_denies_and_says_until_when() {
        let denies = |limit, until| Some(Admission::Denied { limit, until: at(until) });
        let now = at(100_000);
        let none: &[(&str, u64)] = &[];
        assert_eq!(denied(&state(none), &[], "a", limits(600, 6, 30), now), None);
        let one = [("a", 99_900)];
        assert_eq!(denied(&state(&one), &[], "a", limits(600, 6, 30), now), denies("the cooldown", 100_500));
        assert_eq!(
            denied(&state(&one), &[], "b", limits(600, 6, 30), now),
            None,
            "of its own Rotation alone"
        );
        assert_eq!(denied(&state(&one), &[], "a", limits(60, 6, 30), now), None, "it is over");
        let two = [("a", 50_000), ("a", 90_000)];
        assert_eq!(
            denied(&state(&two), &[], "a", limits(0, 2, 30), now),
            denies("the daily budget", 136_400)
        );
        assert_eq!(denied(&state(&two), &[], "a", limits(0, 3, 30), now), None);
        let three = [("a", 97_000), ("b", 98_000), ("c", 99_000)];
        assert_eq!(denied(&state(&three), &[], "d", limits(0, 6, 3), now), denies("the breaker", 100_600));
        assert_eq!(denied(&state(&three), &[], "d", limits(0, 6, 3), at(100_600)), None);
        let elsewhere = state(&[("c", 97_500), ("d", 99_000), ("a", 99_900)]).runs;
        assert_eq!(
            denied(&state(&one), &elsewhere, "b", limits(0, 6, 3), now),
            denies("the breaker", 101_100),
            "runs of other stores count"
        );
        assert_eq!(
            denied(&state(&one), &elsewhere, "b", limits(0, 2, 4), now),
            None,
            "for the breaker alone"
        );
    }

    #[test]
    fn nothing_allowed_is_never_allowed() {
        let never = Admission::Denied { limit: "the breaker", until: Timestamp::MAX };
        assert_eq!(denied(&state(&[]), &[], "a", limits(0, 6, 0), at(1)), Some(never));
    }
}
