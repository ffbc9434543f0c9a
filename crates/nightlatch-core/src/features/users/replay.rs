//! Which SPA messages of a user were used: none counts twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spa::Why;
use crate::time::Time;

/// How far the clocks of a client and of this server may differ: an older message is refused.
pub const MAX_AGE: Duration = Duration::from_secs(120);
/// The most messages of a user within that time.
const MAX_USED: usize = 64;

/// The messages of a user that were used, as far as they would not be refused for their age alone. It is
/// written down in the transaction of what they open.
///
/// A message older than [`MAX_AGE`] before the latest one is refused, whatever the clock says: so one that
/// is no longer in the list never counts again, even if the clock is set back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replays {
    /// The time in the latest message.
    latest: Time,
    /// The time in each message, and its authentication code in hexadecimal.
    used: Vec<(Time, String)>,
}

impl Replays {
    /// With a message that is used now.
    ///
    /// # Errors
    /// It was used before, or may have been; or there are too many.
    pub(super) fn with(&self, at: Time, code: &[u8; 32]) -> Result<Replays, Why> {
        let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.used.iter().any(|(_, used)| *used == code) {
            return Err(Why::Replayed);
        }
        if !self.used.is_empty() && at < self.latest && self.latest.since(at) > MAX_AGE {
            return Err(Why::Outdated { latest: self.latest });
        }
        let latest = if self.used.is_empty() { at } else { self.latest.max(at) };
        let mut used = self.used.clone();
        used.retain(|(used, _)| latest.since(*used) <= MAX_AGE);
        if used.len() >= MAX_USED {
            return Err(Why::TooMany);
        }
        used.push((at, code));
        Ok(Replays { latest, used })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_795_166_220_000 + seconds * 1000)
    }

    #[test]
    fn a_message_counts_once() {
        let one = Replays::default().with(at(0), &[1; 32]).unwrap();
        assert_eq!(one.with(at(0), &[1; 32]), Err(Why::Replayed));
        // Another one of the same second counts.
        let two = one.with(at(0), &[2; 32]).unwrap();
        let later = two.with(at(121), &[3; 32]).unwrap();
        assert_eq!(later.used.len(), 1, "those that are too old are not kept");
        assert_eq!(later.with(at(0), &[1; 32]), Err(Why::Outdated { latest: at(121) }));
        // Packets may overtake each other.
        assert!(later.with(at(1), &[4; 32]).is_ok());
        let written = serde_json::to_string(&later).unwrap();
        assert_eq!(serde_json::from_str::<Replays>(&written).unwrap(), later);
    }

    #[test]
    fn there_are_not_too_many() {
        let mut replays = Replays::default();
        for number in 0..64 {
            replays = replays.with(at(0), &[number; 32]).unwrap();
        }
        assert_eq!(replays.with(at(120), &[64; 32]), Err(Why::TooMany));
        assert!(replays.with(at(121), &[64; 32]).is_ok());
    }

    proptest! {
        /// Whatever the order and the times, the same as an unbounded memory: nothing counts twice.
        #[test]
        fn nothing_counts_twice(messages in proptest::collection::vec(0..600i64, 1..300)) {
            let mut replays = Replays::default();
            let mut used = BTreeSet::new();
            for seconds in messages {
                let mut code = [0; 32];
                code[..8].copy_from_slice(&seconds.to_be_bytes());
                if let Ok(with) = replays.with(at(seconds), &code) {
                    prop_assert!(used.insert(seconds), "{} counts twice", seconds);
                    prop_assert!(with.used.len() <= MAX_USED);
                    replays = with;
                }
            }
        }
    }
}
