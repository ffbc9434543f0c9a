//! Port knocking: three ports, each with a TCP SYN in the right order, open an address.
//!
//! The kernel does it by itself, also while the daemon is stopped. [`Machine`] is what it does with the
//! SYNs of one source, and [`Sequences::moves`] is the same as the table that the kernel gets: a test
//! holds them together. What a knock has opened counts by [`KNOCKED`], until the daemon has made a lease
//! of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::condition::Condition;
use crate::hours::Hours;
use crate::learned::{Effect, Element, Filled, Key, LearnedSets, SetSpec, Shape};
use crate::service::{Grant, Opening, Protocol};
use crate::time::Time;

/// How long all three ports may take.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// The most sources of a family that have begun a sequence. Where there are as many, no other begins one.
pub const MAX_BEGUN: u32 = 65_536;
/// The longest time for which the kernel opens an address before the daemon has made a lease of it: it is
/// that of a permanent one.
pub const MAX_OPEN: Duration = crate::condition::MAX_IDLE;
/// What the kernel writes before a copy of the packet that completed a sequence.
pub const OPENED_PREFIX: &str = "knock";
/// What it writes before that of one which belongs to no sequence that its source had begun.
pub const WRONG_PREFIX: &str = "knock-wrong";
/// What it writes before that of one whose source finds no room.
pub const FULL_PREFIX: &str = "knock-full";

/// Who has completed which sequence: the address, and the last port of the sequence as the local port. An
/// element lasts as long as what it opened. The daemon makes leases of the elements and deletes them. It is
/// not saved: the last port is a secret, and a daemon that could save it makes a lease of it.
pub static KNOCKED: SetSpec = SetSpec {
    name: "knocked",
    shape: Shape::Port,
    timeout: MAX_OPEN,
    size: 16_384,
    filled: Filled::ByDaemonRenewedByPackets,
    effect: Effect::Conditions,
    saved: None,
};

/// A sequence, and what it opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Knock {
    /// The user's name.
    pub user: Arc<str>,
    /// The ports, in their order. No other user has one of them.
    pub ports: [u16; 3],
    /// What it opens.
    pub opens: Opens,
}

impl Knock {
    /// Whether none of its ports belongs to a service: what is sent to those is no knock.
    pub fn is_possible(&self, services: &Opening) -> bool {
        self.ports.iter().all(|port| !services.contains(Protocol::Tcp, *port))
    }
}

/// The ports are secret.
impl fmt::Debug for Knock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Knock");
        shown.field("user", &self.user).field("opens", &self.opens).finish_non_exhaustive()
    }
}

/// What a knock opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opens {
    /// The services.
    pub services: Grant,
    /// The hours during which it counts; always where absent.
    pub hours: Option<Hours>,
    /// After how long without an accepted packet it ends.
    pub idle: Duration,
    /// After how long in any case; `None` if it is permanent.
    pub longest: Option<Duration>,
}

impl Opens {
    /// For how long the kernel opens an address at most by itself.
    pub fn lasts(&self) -> Duration {
        self.longest.map_or(MAX_OPEN, |longest| longest.min(MAX_OPEN))
    }

    /// Whether the address must have a lease in the kernel, and when else it counts.
    pub fn condition(&self) -> Condition {
        Condition { hours: self.hours.clone(), leased: true }
    }
}

/// A completed sequence.
#[derive(Clone, Copy, Debug)]
pub struct Completed<'a> {
    /// The address.
    pub address: IpAddr,
    /// The element of [`KNOCKED`].
    pub key: Key,
    /// Whose it is; `None` if nobody has such a sequence now.
    pub knock: Option<&'a Knock>,
    /// When it was completed; the kernel tells it to about a second.
    pub at: Time,
}

/// The sequences of all users.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// By their last ports.
    by_last: BTreeMap<u16, Knock>,
}

/// The ports are secret.
impl fmt::Debug for Sequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<Knock> for Sequences {
    fn from_iter<I: IntoIterator<Item = Knock>>(knocks: I) -> Sequences {
        let by_last = knocks.into_iter().map(|knock| (knock.ports[2], knock));
        Sequences { by_last: by_last.collect() }
    }
}

impl Sequences {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Knock> {
        self.by_last.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_last.is_empty()
    }

    /// Those of them that are in others too, and open the same there.
    #[must_use]
    pub fn shared_with(&self, others: &Sequences) -> Sequences {
        let is_there = |knock: &&Knock| others.by_last(knock.ports[2]) == Some(*knock);
        self.iter().filter(is_there).cloned().collect()
    }

    /// Whose last port it is.
    pub fn by_last(&self, port: u16) -> Option<&Knock> {
        self.by_last.get(&port)
    }

    /// The sequences that were completed of which the daemon has not made leases.
    pub fn completed(&self, sets: &LearnedSets, now: Time) -> Vec<Completed<'_>> {
        sets.of(&KNOCKED, now).map(|element| self.completion(element, now)).collect()
    }

    /// Who has opened an address by a sequence of which the daemon has not made a lease. It counts only as
    /// far as the [condition](Opens::condition) is met.
    pub fn opened(&self, address: IpAddr, sets: &LearnedSets, now: Time) -> Vec<&Knock> {
        let elements = sets.of_address(&KNOCKED, address.to_canonical(), now);
        elements.filter_map(|element| self.by_last(element.key.local_port)).collect()
    }

    fn completion(&self, Element { key, until, .. }: Element, now: Time) -> Completed<'_> {
        let knock = self.by_last(key.local_port);
        let lasts = knock.map_or(MAX_OPEN, |knock| knock.opens.lasts());
        let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let at = Time::from_millis(until.millis().saturating_sub(lasts)).min(now);
        Completed { address: key.address, key, knock, at }
    }
}

/// The key in [`KNOCKED`].
pub fn key(address: IpAddr, last: u16) -> Key {
    Key { address: address.to_canonical(), protocol: 0, port: 0, local_port: last }
}

/// How far a source has come: the port of the sequence that it met last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The first.
    First(u16),
    /// The second.
    Second(u16),
}

/// What the next SYN of a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It repeats a port, as retransmissions do: nothing changes.
    Stay,
    /// It goes on.
    Advance(Stage),
    /// It completes the sequence with this last port.
    Open(u16),
}

/// The moves of a sequence; every other SYN to a port of no service takes its source back to the
/// beginning.
pub fn moves([first, second, third]: [u16; 3]) -> [((Stage, u16), Move); 5] {
    [
        ((Stage::First(first), first), Move::Stay),
        ((Stage::First(first), second), Move::Advance(Stage::Second(second))),
        ((Stage::Second(second), first), Move::Stay),
        ((Stage::Second(second), second), Move::Stay),
        ((Stage::Second(second), third), Move::Open(third)),
    ]
}

/// Which place a port has in a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    None,
    First(u32),
    Second(u32),
    Third(u32),
}

/// What a source has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing that counts.
    #[default]
    Unknown,
    /// It has begun a sequence.
    Begun {
        /// The number of the sequence.
        sequence: u32,
        /// Whether it has met the second port too.
        second: bool,
        /// When it met the first port first.
        at: Time,
    },
}

/// What a SYN has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: its source had begun nothing, and this is no first port.
    Nothing,
    /// It is the first port of a sequence.
    Begun,
    /// It repeats a port.
    Repeated,
    /// It is the second port.
    Advanced,
    /// It completes the sequence with this last port.
    Opened(u16),
    /// It belongs to no place in the sequence that was begun.
    Reset,
    /// The same, and it is the first port of a sequence.
    BegunAnew,
}

/// What happens to SYNs to ports that belong to no service, source by source. The kernel does the same.
#[derive(Clone, Debug)]
pub struct Machine {
    places: Vec<Place>,
    lasts: Vec<u16>,
}

impl Machine {
    /// The machine of these sequences, no two of which share a port.
    pub fn new(sequences: impl IntoIterator<Item = [u16; 3]>) -> Machine {
        let mut places = vec![Place::None; usize::from(u16::MAX) + 1];
        let mut lasts = Vec::new();
        for (number, ports) in (0_u32..).zip(sequences) {
            let here = [Place::First(number), Place::Second(number), Place::Third(number)];
            for (port, place) in ports.into_iter().zip(here) {
                if let Some(at) = places.get_mut(usize::from(port)) {
                    *at = place;
                }
            }
            lasts.push(ports[2]);
        }
        Machine { places, lasts }
    }

    /// What a SYN of a source to a port that belongs to no service does.
    pub fn syn(&self, source: &mut Source, port: u16, now: Time) -> Outcome {
        let place = self.places.get(usize::from(port)).copied().unwrap_or_default();
        let begun = match *source {
            Source::Begun { sequence, second, at } if now.since(at) < TIMEOUT => {
                Some((sequence, second, at))
            }
            _ => None,
        };
        let Some((sequence, second, at)) = begun else {
            return Machine::begin(source, place, now, [Outcome::Begun, Outcome::Nothing]);
        };
        match place {
            Place::First(number) if number == sequence => Outcome::Repeated,
            Place::Second(number) if number == sequence => {
                *source = Source::Begun { sequence, second: true, at };
                if second { Outcome::Repeated } else { Outcome::Advanced }
            }
            Place::Third(number) if number == sequence && second => {
                *source = Source::Unknown;
                let last = usize::try_from(number).ok().and_then(|it| self.lasts.get(it));
                last.map_or(Outcome::Nothing, |last| Outcome::Opened(*last))
            }
            _ => Machine::begin(source, place, now, [Outcome::BegunAnew, Outcome::Reset]),
        }
    }

    fn begin(source: &mut Source, place: Place, now: Time, outcomes: [Outcome; 2]) -> Outcome {
        let [begun, not] = outcomes;
        if let Place::First(sequence) = place {
            *source = Source::Begun { sequence, second: false, at: now };
            return begun;
        }
        *source = Source::Unknown;
        not
    }
}

#[cfg(test)]
mod tests;
