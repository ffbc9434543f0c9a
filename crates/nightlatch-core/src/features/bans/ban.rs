//! Bans: sources that are denied everything for a time, each with its reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::attack::{Evidence, Line, Weight};
use crate::ban::place;
use crate::learned::Element;
use crate::records::Ranged;
use crate::time::Time;

/// A source that is denied everything for a time. After its end it is remembered for a while, so that whoever
/// comes back is banned for longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Who: an IPv4 address, or an IPv6 network of 64, 56 or 48 bits.
    pub range: AddrRange,
    /// Since when.
    pub since: Time,
    /// When it ends.
    pub until: Time,
    /// How often in a row, less one for each quiet period.
    pub times: u32,
    /// Until when it counts if the source comes back.
    pub remembered: Time,
    /// Why.
    pub cause: BanCause,
    /// The addresses in the network for which it does not count, besides those of accounts and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<AddrRange>,
}

/// Why a source is banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BanCause {
    /// An administrator wants it.
    ByHand {
        /// Who.
        by: String,
        /// Why, in the administrator's words.
        reason: String,
    },
    /// It attacks.
    Attack {
        /// How sure that is.
        weight: Weight,
        /// What was seen.
        evidence: Box<Evidence>,
    },
}

impl Ban {
    /// Whether it has not ended.
    pub fn is_active(&self, now: Time) -> bool {
        self.until > now
    }

    /// How often in a row it was banned, less one for each quiet period since.
    pub fn times_left(&self, now: Time, quiet: Duration) -> u32 {
        let periods = now.since(self.until).as_millis() / quiet.as_millis().max(1);
        self.times.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX))
    }

    /// Whether it was set on evidence that somebody else could have forged.
    pub fn is_brief(&self) -> bool {
        matches!(self.cause, BanCause::Attack { weight: Weight::Brief, .. })
    }
}

impl Ranged for Ban {
    type Key = AddrRange;

    fn key(&self) -> AddrRange {
        self.range
    }

    fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        std::iter::once(self.range)
    }

    fn until(&self) -> Option<Time> {
        Some(self.remembered)
    }
}

/// The element of a ban.
pub(super) fn element(ban: &Ban) -> Option<Element> {
    let (set, key) = place(&ban.range)?;
    Some(Element { set, key, until: ban.until })
}

/// Evidence as a ban keeps it: printable, and short where there are many.
pub(super) fn bounded(evidence: Evidence, many: bool) -> Evidence {
    let (lines, accounts, length) = if many { (1, 1, 160) } else { (3, 5, 400) };
    let last = evidence.lines.len().saturating_sub(lines);
    let kept = evidence.lines.into_iter().skip(last);
    let kept = kept.map(|line| Line {
        at: line.at,
        log: printable(&line.log, 200),
        text: printable(&line.text, length),
    });
    let named = evidence.accounts.iter().take(accounts).map(|name| printable(name, 64));
    Evidence { lines: kept.collect(), accounts: named.collect(), ..evidence }
}

/// An attacker's text without what could move a cursor or reorder letters, cut to a length in letters.
fn printable(text: &str, longest: usize) -> String {
    let shown = |letter: char| match letter {
        letter if letter.is_control() || is_invisible(letter) => '\u{fffd}',
        letter => letter,
    };
    text.chars().take(longest).map(shown).collect()
}

/// Marks of direction and other letters that show nothing themselves.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_is_not_kept() {
        assert_eq!(
            printable("a\u{1b}[2J\u{202e}b\r\n", 99),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("abcdef", 3), "abc");
    }
}
