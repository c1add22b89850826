//! Wrong tokens at the form to sign in: their answers come one a second for each network, however
//! many are sent at once. Right tokens never wait, so that no stranger locks an operator out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use crate::time::Timestamp;

/// How long the answer to one wrong token takes.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for an answer. At one answer a second, it also limits how many of a network
/// wait.
const LONGEST: Duration = Duration::from_secs(30);
/// How many networks may have some waiting.
const MOST_NETWORKS: usize = 100;

/// The wrong tokens whose answers wait, in an isolate's memory: of each network, when the last
/// answer is due.
#[derive(Debug, Default)]
pub(crate) struct Guesses(RefCell<HashMap<String, Timestamp>>);

impl Guesses {
    /// Reserves the next second for the answer to a wrong token that came at `now`, and returns how
    /// long it waits; `None` if too many wait.
    pub(crate) fn reserve(&self, network: &str, now: Timestamp) -> Option<Duration> {
        let mut waiting = self.0.borrow_mut();
        waiting.retain(|_, due| *due > now);
        let last = waiting.get(network).copied();
        if last.is_none() && waiting.len() >= MOST_NETWORKS {
            return None;
        }
        let due = last.unwrap_or(now).after(PAUSE);
        let pause = due.since(now);
        if pause > LONGEST {
            return None;
        }
        waiting.insert(network.to_owned(), due);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::NOW;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_answers_to_wrong_tokens_of_a_network_come_one_a_second() {
        let guesses = Guesses::default();
        let pauses: Vec<_> = (0..32).map(|_| guesses.reserve("a", NOW)).collect();
        let expected = (1..=30).map(|seconds| Some(SECOND * seconds));
        assert_eq!(pauses[..30], expected.collect::<Vec<_>>());
        assert_eq!(pauses[30..], [None, None]);
        // Another network is not slowed by them.
        assert_eq!(guesses.reserve("b", NOW), Some(SECOND));
        assert_eq!(
            guesses.reserve("a", NOW.after(SECOND * 20)),
            Some(SECOND * 11)
        );
        assert_eq!(guesses.reserve("a", NOW.after(SECOND * 60)), Some(SECOND));
    }

    #[test]
    fn the_networks_that_are_remembered_are_bounded() {
        let guesses = Guesses::default();
        for network in 0..MOST_NETWORKS {
            assert!(guesses.reserve(&network.to_string(), NOW).is_some());
        }
        assert_eq!(guesses.reserve("one more", NOW), None);
        assert!(guesses.reserve("0", NOW).is_some());
        assert!(guesses.reserve("one more", NOW.after(SECOND * 3)).is_some());
    }
}
