//! Bans: attacking sources that are denied everything for a time, with what was seen of them.

mod attacked;
mod ban;
mod config;
mod ends;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use ban::{Ban, BanCause, Limit};
pub use config::Config;
use ends::Ends;
pub use requests::{NewBan, Refusal, Reply, Request};

use super::{By, Change, Fact, Feature, Plan, Put, Reads, View};
use crate::AddrRange;
use crate::action::Level;
use crate::attack::Evidence;
use crate::ban::{LIMIT_FREE, Limited, Limits};
use crate::heard::Topic;
use crate::learned::{Element, Key, SetSpec};
use crate::policy::{Claim, Says};
use crate::records::Records;
use crate::time::Time;

/// The most bans, those included that are only remembered.
const MAX_BANS: usize = 200_000;
/// With so many, each keeps less of what was seen.
const MANY: usize = 10_000;

/// The bans.
#[derive(Clone, Debug, Default)]
pub struct Bans {
    /// All of them, by range.
    pub all: Records<Ban>,
    /// By when they began, so that an administrator is not told of each of thousands.
    by_begin: BTreeSet<(Time, AddrRange)>,
    /// When those on evidence that could be forged end.
    brief: Ends,
    /// How many limits there are of each kind.
    limits: BTreeMap<Limited, usize>,
    config: Config,
    /// Where phones are registered, as the PBX reported last.
    contacts: BTreeSet<SocketAddr>,
}

/// The indexes follow from the bans.
impl PartialEq for Bans {
    fn eq(&self, other: &Bans) -> bool {
        self.all == other.all
    }
}

nothing!(Job);

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The PBX has reported where phones are registered.
    Contacts(BTreeSet<SocketAddr>),
}

/// What an administrator must hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A source was banned.
    Banned(Box<Ban>),
    /// There were so many in the last minute that no more are told of one by one.
    Many {
        /// How many.
        count: usize,
    },
    /// A source attacks that is not banned.
    Spared {
        /// Who.
        range: AddrRange,
        /// Why not.
        because: Spared,
        /// Until when it is limited; `None` if it is not.
        limited_until: Option<Time>,
        /// What was seen.
        evidence: Box<Evidence>,
    },
    /// There are as many bans as there may be, so that a source was not banned.
    Full {
        /// Who.
        range: AddrRange,
        /// How many.
        most: usize,
        /// Whether only those on evidence that could be forged.
        brief: bool,
    },
}

/// Why a source is not banned that attacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spared {
    /// This server needs it, or it is no stranger's: what it is.
    Guarded {
        /// In a few words; empty for networks that are never anybody else's.
        what: String,
    },
    /// Accounts, leases, providers or exemptions cover it.
    Allowed {
        /// Their names.
        names: Vec<String>,
    },
    /// Somebody logs in from there with success, and did so before.
    Trusted {
        /// Since when.
        since: Time,
    },
    /// It is registered here, or this host is registered there.
    Registered,
    /// Somebody administers this server from there.
    Administers,
}

impl Spared {
    /// Whether the attacked service is limited instead.
    pub const fn is_limited(&self) -> bool {
        match self {
            Spared::Allowed { .. } | Spared::Trusted { .. } | Spared::Registered => true,
            Spared::Guarded { .. } | Spared::Administers => false,
        }
    }
}

/// Why attacks from an address never lead to a ban, whatever the logs say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverBanned {
    /// Why.
    pub because: Spared,
    /// Whether the attacked service is limited instead.
    pub limited: bool,
}

/// What the audit log calls a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// A source was banned.
    Ban,
    /// A ban was ended early.
    Unban,
    /// A source was limited.
    Limit,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Ban => "ban",
            Deed::Unban => "unban",
            Deed::Limit => "limit",
        })
    }
}

impl Feature for Bans {
    const NAME: &'static str = "bans";
    const SETS: &'static [&'static SetSpec] = &crate::ban::SETS;

    type Key = AddrRange;
    type Config = Config;
    type Record = Ban;
    type Request = Request;
    type Reply = Reply;
    type Refusal = Refusal;
    type Event = Event;
    type Job = Job;
    type Notice = Notice;
    type Deed = Deed;

    fn read(_key: &AddrRange, body: &str) -> serde_json::Result<Ban> {
        serde_json::from_str(body)
    }

    fn own_key(ban: &Ban) -> Option<AddrRange> {
        Some(ban.range)
    }

    fn put(&mut self, key: &AddrRange, record: Option<Ban>) -> Option<Ban> {
        let added = record.as_ref().map(|ban| (ban.since, ban.until, ban.is_brief()));
        let before = match record {
            Some(ban) => self.all.put(ban),
            None => self.all.remove(key),
        };
        if let Some(ban) = &before {
            self.count_limits(ban, false);
            self.by_begin.remove(&(ban.since, *key));
            self.brief.remove(ban.until, *key);
        }
        if let Some((since, until, is_brief)) = added {
            self.by_begin.insert((since, *key));
            if is_brief {
                self.brief.insert(until, *key);
                // Most begin now.
                self.brief.look_from(since);
            }
        }
        if let Some(ban) = self.all.get(key).cloned() {
            self.count_limits(&ban, true);
        }
        before
    }

    fn load(&mut self, records: Vec<(AddrRange, Ban)>) {
        self.all = records.into_iter().map(|(_, ban)| ban).collect();
        self.by_begin = self.all.values().map(|ban| (ban.since, ban.range)).collect();
        let brief = self.all.values().filter(|ban| ban.is_brief());
        self.brief = brief.map(|ban| (ban.until, ban.range)).collect();
        let limits: Vec<Ban> =
            self.all.values().filter(|ban| ban.limit.is_some()).cloned().collect();
        limits.iter().for_each(|ban| self.count_limits(ban, true));
    }

    fn each(&self, found: &mut dyn FnMut(&AddrRange, &Ban)) {
        self.all.iter().for_each(|(key, ban)| found(key, ban));
    }

    fn level(notice: &Notice) -> Level {
        match notice {
            Notice::Banned(_) | Notice::Many { .. } => Level::Info,
            // Whoever guesses the passwords of several accounts is no phone with a wrong one.
            Notice::Spared { evidence, .. } if evidence.accounts_tried >= 3 => Level::Error,
            Notice::Spared { .. } | Notice::Full { .. } => Level::Warning,
        }
    }

    fn topic(notice: &Notice) -> Option<Topic> {
        match notice {
            Notice::Banned(_) | Notice::Many { .. } => None,
            Notice::Spared { range, .. } => {
                Some(Topic::new("attack-from-inside", range).with("address", range).in_log())
            }
            Notice::Full { most, .. } => Some(Topic::new("bans-full", most).with("most", most)),
        }
    }

    fn claimed(ban: &Ban) -> Vec<AddrRange> {
        if ban.limit.is_none() { vec![ban.range] } else { Vec::new() }
    }

    fn claims<'a>(&'a self, over: AddrRange, _now: Time, found: &mut dyn FnMut(Claim<'a>)) {
        for (range, ban) in self.all.over(over).filter(|(_, ban)| ban.limit.is_none()) {
            let by = By::Bans(&ban.range);
            found(Claim { over: range, says: Says::Ban(ban.until), by });
            for except in ban.except.iter().filter(|except| except.overlaps(&over)) {
                found(Claim { over: *except, says: Says::Unbanned, by });
            }
        }
    }

    fn denies(ban: &Ban) -> Vec<Element> {
        ban::elements(ban)
    }

    fn denied_until(&self, set: &'static SetSpec, key: &Key) -> Option<Time> {
        let of_range = crate::ban::range_of(set, key).and_then(|range| self.all.get(&range));
        let of_address = || self.all.at(key.address).find(|ban| ban::has(ban, set, key));
        let ban = match set == &LIMIT_FREE {
            true => of_address(),
            false => of_range.filter(|ban| ban::has(ban, set, key)),
        };
        Some(ban?.until)
    }

    fn reads(request: &Request) -> Reads {
        match request {
            Request::Ban(_) | Request::Unban { .. } | Request::UnbanAll => Reads::Nothing,
            Request::List => Reads::Question,
        }
    }

    fn may_be_alone(_request: &Request) -> bool {
        false
    }

    fn is_urgent_request(request: &Request) -> bool {
        matches!(request, Request::Ban(_))
    }

    fn asked(&self, request: Request, view: &View<'_>) -> Result<Plan<Bans>, Refusal> {
        match request {
            Request::Ban(new) => self.ban_by_hand(new, view),
            Request::Unban { range } => self.unban(range, view),
            Request::UnbanAll => Ok(self.unban_all(view)),
            Request::List => Ok(Plan::say(self.listed(view))),
        }
    }

    fn note(&mut self, event: &Event, _now: Time) {
        let Event::Contacts(contacts) = event;
        self.contacts.clone_from(contacts);
    }

    fn configure(&mut self, config: &Config) {
        self.config.clone_from(config);
    }

    fn follow(&self, fact: &Fact, view: &View<'_>) -> Plan<Bans> {
        match fact {
            Fact::Attacked(attack) => self.attacked(attack, view),
            Fact::Allowed { ranges, .. } => self.ended_by(ranges, view),
            Fact::PbxReported(pbx) => self.phones_reported(pbx, view),
            _ => Plan::default(),
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.all.next_end()
    }

    /// What is no longer remembered goes. Nobody decided that, so the audit log does not tell.
    fn due(&self, view: &View<'_>) -> Plan<Bans> {
        let mut plan = Plan::default();
        for ban in self.all.ended(view.now()) {
            plan.remove(ban.range, None);
            plan.effects.must_happen = true;
        }
        plan
    }

    fn report(&self, view: &View<'_>) -> Option<Reply> {
        let active = || self.all.values().filter(|ban| ban.is_active(view.now()));
        let limited = active().filter(|ban| ban.limit.is_some()).count();
        Some(Reply::Report { count: active().count() - limited, limited })
    }

    fn about(&self, address: IpAddr, view: &View<'_>) -> Option<Reply> {
        let bans = self.all.at(address).filter(|ban| ban.is_active(view.now()));
        let mut bans: Vec<Ban> = bans.cloned().collect();
        bans.sort_by_key(|ban| ban.range.width());
        let is_banned = bans.iter().any(|ban| ban.limit.is_none());
        let spared = if is_banned { None } else { self.spared_at(address, view) };
        Some(Reply::About { bans, spared })
    }
}

impl Bans {
    /// What is limited to anybody, and the rate.
    pub fn limits(&self) -> Limits {
        Limits { of: self.limits.keys().copied().collect(), rate: self.config.limit }
    }

    fn count_limits(&mut self, ban: &Ban, is_new: bool) {
        for limited in ban.limit.iter().flat_map(|limit| &limit.services) {
            let count = self.limits.entry(*limited).or_default();
            *count = count.saturating_add_signed(if is_new { 1 } else { -1 });
            if *count == 0 {
                self.limits.remove(limited);
            }
        }
    }
}

/// Removes a ban.
pub fn removed(range: AddrRange) -> Change {
    Put::<Bans> { key: range, record: None }.into()
}

/// Adds or replaces a ban.
pub fn put(ban: Ban) -> Change {
    Put::<Bans> { key: ban.range, record: Some(ban) }.into()
}
