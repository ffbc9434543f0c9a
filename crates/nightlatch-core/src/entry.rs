//! What records of people name: addresses, networks, ranges and host names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::ranges::is_private;

/// An address, network, range or host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// An address, network or range.
    Range(AddrRange),
    /// A host name and the addresses that count for it now; none before it was looked up.
    Host {
        /// The name.
        name: HostName,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// What tells an entry from others: a host name is the same whichever addresses it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryId<'a> {
    /// Exactly this range.
    Range(AddrRange),
    /// This name.
    Host(&'a HostName),
}

/// Neither an address nor a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It was meant as an address, network or range.
    #[error(transparent)]
    Address(<AddrRange as FromStr>::Err),
    /// It was meant as a host name.
    #[error(transparent)]
    Host(HostError),
}

/// Reads an address, network or range, or else a host name, which has no address yet.
impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Entry, EntryError> {
        let range_error = match text.parse() {
            Ok(range) => return Ok(Entry::Range(range)),
            Err(error) => error,
        };
        // What has a slash, a colon or no letter was meant as an address: then the error is about that.
        let is_address = text.contains(['/', ':']) || !text.contains(|c: char| c.is_alphabetic());
        match text.parse() {
            Ok(name) => Ok(Entry::Host { name, addresses: Vec::new() }),
            Err(_) if is_address => Err(EntryError::Address(range_error)),
            Err(error) => Err(EntryError::Host(error)),
        }
    }
}

/// Writes the address, or `name (addresses)`, or `name (no address yet)`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Range(range) => write!(f, "{range}"),
            Entry::Host { name, addresses } => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                match addresses.is_empty() {
                    true => write!(f, "{name} (no address yet)"),
                    false => write!(f, "{name} ({})", addresses.join(", ")),
                }
            }
        }
    }
}

impl Entry {
    /// What tells it from other entries.
    pub fn id(&self) -> EntryId<'_> {
        match self {
            Entry::Range(range) => EntryId::Range(*range),
            Entry::Host { name, .. } => EntryId::Host(name),
        }
    }

    /// The ranges for which it stands now, a host name by its last known addresses.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> {
        let (range, addresses) = match self {
            Entry::Range(range) => (Some(*range), [].as_slice()),
            Entry::Host { addresses, .. } => (None, addresses.as_slice()),
        };
        range.into_iter().chain(addresses.iter().map(|address| AddrRange::from(*address)))
    }

    /// The host name, if it is one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Entry::Range(_) => None,
            Entry::Host { name, .. } => Some(name),
        }
    }
}

/// As somebody writes it: the address, network or range, or the name alone.
impl fmt::Display for EntryId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryId::Range(range) => range.fmt(f),
            EntryId::Host(name) => name.fmt(f),
        }
    }
}

/// The entries that are not among others, each once, in their order; then those that are.
pub fn apart(entries: Vec<Entry>, others: &[Entry]) -> (Vec<Entry>, Vec<Entry>) {
    let (mut seen, mut known) = (BTreeSet::new(), BTreeSet::new());
    let once: Vec<bool> = entries.iter().map(|entry| seen.insert(entry.id())).collect();
    known.extend(others.iter().map(Entry::id).filter(|id| seen.contains(id)));
    let are_known: Vec<bool> = entries.iter().map(|entry| known.contains(&entry.id())).collect();
    let (mut new, mut there) = (Vec::new(), Vec::new());
    for (entry, (once, is_known)) in entries.into_iter().zip(once.into_iter().zip(are_known)) {
        match is_known {
            _ if !once => {}
            true => there.push(entry),
            false => new.push(entry),
        }
    }
    (new, there)
}

/// The host names of entries, each with the addresses that count for it there.
pub fn host_names(entries: &[Entry]) -> BTreeMap<HostName, Vec<IpAddr>> {
    let names = entries.iter().filter_map(|entry| match entry {
        Entry::Host { name, addresses } => Some((name.clone(), addresses.clone())),
        Entry::Range(_) => None,
    });
    names.collect()
}

/// The entries without the addresses of host names: these come from the name server only.
pub fn without_addresses(entries: Vec<Entry>) -> Vec<Entry> {
    let entries = entries.into_iter().map(|entry| match entry {
        Entry::Host { name, .. } => Entry::Host { name, addresses: Vec::new() },
        range @ Entry::Range(_) => range,
    });
    entries.collect()
}

/// The ranges of some entries that others do not cover: what is left open where those go. Ranges of
/// different entries are not joined.
pub fn uncovered<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    others: impl IntoIterator<Item = &'a Entry>,
) -> Vec<AddrRange> {
    let mut left: RangeList = others.into_iter().flat_map(Entry::ranges).collect();
    left.merge();
    let ranges: BTreeSet<AddrRange> = entries.into_iter().flat_map(Entry::ranges).collect();
    let alone = |range: AddrRange| match left.first_overlap(&range) {
        None => RangeList::from_iter([range]),
        Some(_) => RangeList::from_iter([range]).without(&left),
    };
    ranges.into_iter().flat_map(|range| alone(range).iter().collect::<Vec<AddrRange>>()).collect()
}

/// Entries in which a host name has other addresses; `None` if none has that name, or nothing changes.
/// Private addresses do not count: a name has them only if another record accepts them.
pub fn resolved(entries: &[Entry], host: &HostName, found: &[IpAddr]) -> Option<Vec<Entry>> {
    let now: Vec<IpAddr> = found.iter().copied().filter(|it| !is_private(it)).collect();
    let changes = |entry: &Entry| matches!(entry, Entry::Host { name, addresses } if name == host && *addresses != now);
    if !entries.iter().any(changes) {
        return None;
    }
    let renew = |entry: &Entry| match changes(entry) {
        true => Entry::Host { name: host.clone(), addresses: now.clone() },
        false => entry.clone(),
    };
    Some(entries.iter().map(renew).collect())
}

/// Whether a text may name a record of a person's: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, and no `-`
/// or `.` first.
pub fn is_record_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    text.chars().all(plain)
        && (1..=64).contains(&text.chars().count())
        && !text.starts_with(['-', '.'])
}

/// Not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an address nor a host name (e.g. office.example.net)")]
pub struct HostError(String);

/// A host name as the resolver takes it: labels of letters, digits, `-` and `_`, with a letter
/// somewhere, so that a mistyped address is not taken for a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as text, in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<HostName, HostError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // The last label of a public name holds a letter: "203.0.113.256" is a typing error.
        let last_is_a_word = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
        if name.len() <= 253 && last_is_a_word && name.split('.').all(label) {
            Ok(HostName(name.into()))
        } else {
            Err(HostError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> String {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for HostName {
    type Error = HostError;

    fn try_from(text: String) -> Result<HostName, HostError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts() {
        for (text, name) in [
            ("Office.Example.NET.", "office.example.net"),
            ("pbx", "pbx"),
            ("a_b.example.net", "a_b.example.net"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), name);
        }
        for text in ["", ".", "203.0.113.256", "a..b", "-a.net", "a b.net", "a/24", "10.0.0"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }

    fn entries(texts: &[&str]) -> Vec<Entry> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn entries_are_read_or_say_what_is_wrong() {
        for text in ["203.0.113.7", "203.0.113.0/24", "2001:db8::1-2001:db8::9", "pbx.example.net"]
        {
            assert_eq!(text.parse::<Entry>().unwrap().id().to_string(), text);
        }
        for text in ["203.0.113.256", "203.0.113.7/33", "2001:db8:::1", "10.0.0"] {
            assert!(matches!(text.parse::<Entry>(), Err(EntryError::Address(_))), "{text}");
        }
        for text in ["my office", "-x.example.net", ""] {
            assert!(text.parse::<Entry>().is_err(), "{text}");
        }
    }

    #[test]
    fn new_entries_and_those_that_are_there() {
        let there = entries(&["203.0.113.7", "pbx.example.net"]);
        let (new, known) = apart(
            entries(&["203.0.113.8", "203.0.113.7", "203.0.113.8", "PBX.example.net."]),
            &there,
        );
        assert_eq!((new, known), (entries(&["203.0.113.8"]), there));
    }

    #[test]
    fn what_is_left_open_where_entries_go() {
        let check = |gone: &[&str], stay: &[&str], expected: &[&str]| {
            let left = uncovered(&entries(gone), &entries(stay));
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            assert_eq!(left, expected, "{gone:?} {stay:?}");
        };
        check(&["203.0.113.8", "203.0.113.9"], &["203.0.113.7"], &["203.0.113.8", "203.0.113.9"]);
        check(&["203.0.113.7"], &["203.0.113.0/24"], &[]);
        check(&["203.0.113.0/30"], &["203.0.113.1"], &["203.0.113.0", "203.0.113.2/31"]);
        check(&["203.0.113.0/25"], &["203.0.113.0/26", "203.0.113.64/26"], &[]);
    }
}
