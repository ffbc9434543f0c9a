//! Bans: sources that are denied everything for a time, each with its reason.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::attack::{Evidence, Line, Weight};
use crate::ban::{self, LIMIT_FREE, LIMIT_STRICT, Limited, place};
use crate::learned::{Element, Key, SetSpec};
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
    /// If it is not banned but limited: what is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// What is limited to a source that is not banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The services that it attacks.
    pub services: BTreeSet<Limited>,
    /// Whether it went on although it was limited.
    pub strict: bool,
    /// The registered phones at its addresses, which are not limited.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub free: BTreeSet<SocketAddr>,
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

/// The elements of a ban or a limit.
pub(super) fn elements(ban: &Ban) -> Vec<Element> {
    let until = ban.until;
    let Some(limit) = &ban.limit else {
        let place = place(&ban.range);
        return place.into_iter().map(|(set, key)| Element { set, key, until }).collect();
    };
    let key = ban::key(&ban.range);
    let sets =
        limit.services.iter().map(|it| it.set()).chain(limit.strict.then_some(&LIMIT_STRICT));
    let free =
        limit.free.iter().map(|phone| Element { set: &LIMIT_FREE, key: phone_key(phone), until });
    sets.map(|set| Element { set, key, until }).chain(free).collect()
}

fn phone_key(phone: &SocketAddr) -> Key {
    Key { address: phone.ip(), protocol: 0, port: phone.port(), local_port: 0 }
}

/// Whether an element follows from a ban or a limit.
pub(super) fn has(ban: &Ban, set: &SetSpec, key: &Key) -> bool {
    match &ban.limit {
        None => place(&ban.range).is_some_and(|(own, _)| own == set),
        Some(limit) if set == &LIMIT_FREE => {
            limit.free.contains(&SocketAddr::new(key.address, key.port))
        }
        Some(limit) if set == &LIMIT_STRICT => limit.strict,
        Some(limit) => limit.services.iter().any(|it| it.set() == set),
    }
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
