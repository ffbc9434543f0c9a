//! What the kernel gets, as a value: the structure (chains and rules, rendered to nft text) and
//! the elements of its sets. Made from the state by [`compile`], compared by [`difference`].

mod compile;
mod difference;
mod knocks;
mod list_sets;
mod renamed;
mod render;
mod share;
mod table;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use compile::structure_with;
pub use compile::{compile, structure};
pub use difference::{Difference, difference};
pub use knocks::{KnockClass, KnockRules};
pub use list_sets::{ListSet, ListSets};
pub use renamed::{RENAMED_CHAINS, old_name};
pub use render::{
    COUNTED_BY_ADDRESS, render, render_judging_twice, render_learned_sets, render_list_sets,
};
pub use share::StrangersShare;
pub use table::{Delta, Piece, Table, Target};

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use crate::ban::{Limited, Limits};
use crate::condition::Condition;
use crate::config::{MediaSources, Rate};
use crate::hours::Hours;
use crate::policy::World;
use crate::service::{Grant, Opening, Ports, Role};
use crate::time::Time;
use crate::watched::Watched;
use std::time::Duration;

/// The name of the table, of family `inet`.
pub const TABLE: &str = "nightlatch";

/// Names of the sets and counters in the table; those of the lists are told by [`ListSets`].
pub mod names {
    /// Map of the accounts' single addresses to the chain of their services, IPv4: a hash table,
    /// in which a look-up takes as long whatever their number.
    pub const HOSTS_V4: &str = "host4";
    /// The same for IPv6.
    pub const HOSTS_V6: &str = "host6";
    /// Map of the accounts' networks and ranges to the chain of their services, IPv4.
    pub const ACCOUNTS_V4: &str = "account4";
    /// The same for IPv6.
    pub const ACCOUNTS_V6: &str = "account6";
    /// Map from closed ranges to the chain that defines what is closed, for packets from there, IPv4.
    pub const CLOSED_IN_V4: &str = "closed_in4";
    /// The same for IPv6.
    pub const CLOSED_IN_V6: &str = "closed_in6";
    /// The same for packets from this host to these ranges, IPv4.
    pub const CLOSED_OUT_V4: &str = "closed_out4";
    /// The same for IPv6.
    pub const CLOSED_OUT_V6: &str = "closed_out6";
    /// The same for packets from containers to these ranges, IPv4.
    pub const CLOSED_FORWARD_V4: &str = "closed_forward4";
    /// The same for IPv6.
    pub const CLOSED_FORWARD_V6: &str = "closed_forward6";
    /// Map of ranges for which no ban counts, inside of banned networks, IPv4.
    pub const BAN_EXCEPT_V4: &str = "ban_except4";
    /// The same for IPv6.
    pub const BAN_EXCEPT_V6: &str = "ban_except6";
    /// Map from addresses with leases to the chain by which packets of running flows renew these, IPv4.
    pub const KEPT_V4: &str = "kept4";
    /// The same for IPv6.
    pub const KEPT_V6: &str = "kept6";
    /// Containers to which a port is published (address . port), IPv4.
    pub const PUBLISHED_V4: &str = "published4";
    /// The same for IPv6.
    pub const PUBLISHED_V6: &str = "published6";
    /// Sets of older versions: deleted if found.
    pub const RETIRED: [&str; 2] = ["block4", "block6"];
    /// Listed addresses that came lately, each with a counter, IPv4.
    pub const HITS_V4: &str = "hit4";
    /// The same for IPv6.
    pub const HITS_V6: &str = "hit6";
    /// Counts what listed addresses sent.
    pub const LISTED: &str = "listed";
    /// Cut flows (peer . protocol . peer's port . local port), IPv4.
    pub const CUTS_V4: &str = "cut4";
    /// The same for IPv6.
    pub const CUTS_V6: &str = "cut6";
    /// What each source has sent to rate-limited services, IPv4.
    pub const METER_V4: &str = "meter4";
    /// The same for IPv6.
    pub const METER_V6: &str = "meter6";
    /// Sources of which a packet was dropped within the last minute because it exceeded the limit of its source,
    /// each with a counter, IPv4.
    pub const OVER_V4: &str = "over4";
    /// The same for IPv6, networks of 64 bits.
    pub const OVER_V6: &str = "over6";
    /// The families protected during a trial: they leave the set by themselves when it ends.
    pub const TRIAL: &str = "trial";
    /// Counts what strangers sent and nobody answered.
    pub const SILENT: &str = "silent";
    /// Counts what blocked addresses sent.
    pub const BLOCKED: &str = "blocked";
    /// Counts packets from and to banned addresses.
    pub const BANNED: &str = "banned";
    /// Counts packets from and to denied addresses.
    pub const DENIED: &str = "denied";
    /// Counts what exceeded the rate limits.
    pub const LIMITED: &str = "limited";
    /// Sources that have begun to knock, or have knocked, without the number of the family. Who is not in it
    /// has done neither.
    pub const KNOCK_KNOWN: &str = "knock_known";
    /// Sources that have begun to knock, without the number of the family.
    pub const KNOCK_BEGUN: &str = "knock_begun";
    /// Map of these to how far they have come, without the number of the family.
    pub const KNOCK_AT: &str = "knock_at";
    /// Counts knocks of sources that find no room among those who have begun.
    pub const KNOCK_FULL: &str = "knock_full";
}

/// The whole desired table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Chains and rules.
    pub structure: Structure,
    /// Where accounts come in: disjoint ranges of both families, sorted, each with the name of
    /// its chain.
    pub accounts: Vec<(AddrRange, Arc<str>)>,
    /// What is closed in both directions: disjoint ranges, sorted, each with [`BLOCKED`] or the
    /// name of one of [`Structure::closures`].
    #[serde(default)]
    pub closed: Vec<(AddrRange, Arc<str>)>,
    /// Where no ban counts, inside of banned networks: disjoint ranges, sorted.
    #[serde(default)]
    pub excepted: Vec<AddrRange>,
    /// Who is on a list: merged. Copies of a ruleset on disk leave it out: lists have their own.
    #[serde(skip)]
    pub lists: Arc<RangeList>,
}

/// Chains and rules: everything that does not grow with the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// Whether the kernel is to open by itself when the trial's set runs empty.
    pub trial: bool,
    /// The chains that accounts lead to, by name.
    pub chains: BTreeMap<String, ServiceChain>,
    /// The chains of what is granted under conditions, by name.
    #[serde(default)]
    pub conditions: BTreeMap<String, ConditionChain>,
    /// The day (UTC) from which on the windows of hours are known, if there are any.
    #[serde(default)]
    pub windows_from: Option<Time>,
    /// What is closed to denied addresses: all services except these, by name.
    #[serde(default)]
    pub closures: BTreeMap<String, Opening>,
    /// What strangers reach; `None` where silence is for everyone.
    pub open: Option<OpenServices>,
    /// The ports of this host that the rules distinguish.
    #[serde(default)]
    pub ports: HostPorts,
    /// Whether ports are published to containers, so that packets from containers matter too.
    #[serde(default)]
    pub containers: bool,
    /// How many flows strangers may have in connection tracking; set from the kernel's table size.
    #[serde(default)]
    pub share: StrangersShare,
    /// Who may knock.
    #[serde(skip)]
    pub knocks: KnockRules,
    /// Which packets the program looks at. Copies of a ruleset on disk leave it out: without the program,
    /// nobody does.
    #[serde(skip)]
    pub watched: Arc<Watched>,
    /// What is limited to sources that attack and are not banned, each with its ports.
    #[serde(skip)]
    pub limited: BTreeMap<Limited, Vec<Ports>>,
    /// What is limited to anybody, and the rate.
    #[serde(skip)]
    pub limits: Limits,
    /// In which sets the lists are. The kernel's side decides.
    #[serde(default)]
    pub list_sets: ListSets,
}

impl Structure {
    /// The names of all chains that depend on accounts, blocks and denials.
    pub fn changing_chains(&self) -> impl Iterator<Item = String> {
        let closures = self.closures.keys().flat_map(|name| {
            ["denied_in", "denied_out", "denied_forward"].map(|hook| format!("{hook}.{name}"))
        });
        let conditions = self.conditions.iter().flat_map(|(name, chain)| chain.chains(name));
        let admissions = self.open.iter().flat_map(|open| &open.admissions);
        let admissions = admissions.filter_map(|admission| admission.chain.clone());
        let limits = self.idle_limits().into_iter();
        let renewals = limits.flat_map(|idle| [renewal_chain(idle), keeping_chain(idle)]);
        self.chains
            .keys()
            .cloned()
            .chain(closures)
            .chain(conditions)
            .chain(renewals)
            .chain(admissions)
            .chain(self.knocks.chains(self.containers, self.open.is_some()))
            .chain(self.ways())
    }
}

impl Structure {
    /// After how many seconds without an accepted packet leases end, each once.
    pub fn idle_limits(&self) -> BTreeSet<u64> {
        self.conditions.values().filter_map(|chain| chain.idle).collect()
    }

    /// The idle limit, in seconds, of the leases for which a chain of services is made.
    pub fn idle_limit(&self, chain: &str) -> Option<u64> {
        let conditional = &self.chains.get(chain)?.conditional;
        conditional.iter().find_map(|name| self.conditions.get(name)?.idle)
    }

    /// Whether anybody has credentials that open addresses.
    pub fn has_users(&self) -> bool {
        !self.knocks.is_empty() || !self.watched.is_empty()
    }

    /// Whether strangers' packets of UDP signalling have a way of their own.
    pub fn has_signalling_way(&self) -> bool {
        self.has_users() && self.open.is_none()
    }

    /// The chains of the ways of UDP packets that there are because of users.
    fn ways(&self) -> impl Iterator<Item = String> {
        let datagrams = self.has_users().then_some(["strangers.udp"]);
        let signalling = self.has_signalling_way().then_some([
            "strangers.signalling",
            "strangers.signalling6",
            "strangers.peers",
        ]);
        datagrams.into_iter().flatten().chain(signalling.into_iter().flatten()).map(str::to_owned)
    }

    /// Whether `raw_prerouting` judges signalling, before connection tracking, that it does not judge by the old
    /// structure; without one, whether it judges any.
    pub fn raw_prerouting_judges_more_than(&self, old: Option<&Structure>) -> bool {
        let judged_by = |structure: &Structure| match structure.open {
            None => [structure.ports.sip.clone(), structure.ports.iax.clone()].concat(),
            Some(_) => Vec::new(),
        };
        let before = old.map(judged_by).unwrap_or_default();
        judged_by(self).iter().any(|ports| !before.contains(ports))
    }

    /// Whether a rule asks which addresses are in a call.
    pub fn watches_calls(&self) -> bool {
        !self.conditions.is_empty() || self.has_open_hours()
    }

    /// Whether strangers reach something during hours only.
    pub fn has_open_hours(&self) -> bool {
        self.open.iter().flat_map(|open| &open.admissions).any(|it| it.chain.is_some())
    }
}

/// The chain that renews the lease of a sender, and accepts its packet.
pub fn renewal_chain(idle: u64) -> String {
    format!("renewed.{idle}s")
}

/// The chain that renews the lease of a sender where it has not ended, and accepts its packet of a running
/// flow in any case.
pub fn keeping_chain(idle: u64) -> String {
    format!("kept.{idle}s")
}

/// The name in [`Ruleset::closed`] of ranges to which everything is closed.
pub const BLOCKED: &str = "";

/// The chain of strangers for whom no list counts: it accepts nothing by itself.
pub const SPARED: &str = "spared";

/// The chain for what is closed to a range. Elements of the maps of closed ranges lead to the chains of
/// denials; those of blocks return, and the rule behind the look-up leads to `blocked_...`: a look-up
/// that leads to no chain costs the kernel no check of the whole table when it is added.
pub fn closing_chain(hook: &str, closure: &str) -> String {
    match closure {
        BLOCKED => format!("blocked_{hook}"),
        name => format!("denied_{hook}.{name}"),
    }
}

/// The ports of this host that the rules distinguish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPorts {
    /// All services.
    pub services: Opening,
    /// UDP ports of SIP.
    pub sip: Vec<Ports>,
    /// UDP ports of IAX2.
    pub iax: Vec<Ports>,
    /// UDP ports of media.
    pub media: Vec<Ports>,
    /// TCP ports of SIP, with and without TLS.
    pub sip_tcp: Vec<Ports>,
    /// All ports of signalling and media.
    #[serde(default)]
    pub of_calls: Vec<Ports>,
    /// Whether media are accepted from any address.
    pub media_from_anybody: bool,
}

impl HostPorts {
    fn of(world: &World<'_>) -> HostPorts {
        let udp = |role| world.catalogue.udp_ports(role);
        HostPorts {
            services: world.catalogue.every_port(),
            sip: udp(Role::Sip),
            iax: udp(Role::Iax),
            media: udp(Role::Media),
            sip_tcp: world.catalogue.sip_tcp_ports(),
            of_calls: world.catalogue.of_calls(),
            media_from_anybody: world.rules.media == MediaSources::Any,
        }
    }
}

/// The chain of one union of services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChain {
    /// What it accepts; `None` accepts everything.
    pub opening: Option<Opening>,
    /// Whether what it does not accept is dropped at once, because a wider block lies around it.
    pub walled: bool,
    /// The chains of what is accepted besides, under conditions.
    #[serde(default)]
    pub conditional: Vec<String>,
    /// The ports of signalling and media that are accepted during hours only: outside of these, the
    /// sender is no known peer there either.
    #[serde(default)]
    pub only_in_hours: Vec<Ports>,
}

/// The chain of services that are granted under a [condition](crate::condition::Condition).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionChain {
    /// The windows of time in which it applies, in seconds since 1970, for the days to come; `None` if it
    /// always does.
    pub windows: Option<Vec<(i64, i64)>>,
    /// If it is that of leases: after how many seconds without an accepted packet these end.
    pub idle: Option<u64>,
    /// What it accepts; `None` accepts everything.
    pub opening: Option<Opening>,
}

impl ConditionChain {
    /// The chain of a grant under a condition.
    fn new(
        condition: &Condition,
        idle: Option<Duration>,
        grant: &Grant,
        world: &World<'_>,
    ) -> Self {
        let windows = condition.hours.as_ref().map(|hours| windows(hours, world.now));
        let opening = match grant {
            Grant::All => None,
            Grant::Some(names) => Some(world.catalogue.opening(&**names)),
        };
        let idle = idle.filter(|_| condition.leased).map(|idle| idle.as_secs());
        ConditionChain { windows, idle, opening }
    }

    /// The names of the chains that it consists of: where it begins, where its hours are met, and where
    /// the lease is examined too.
    fn chains(&self, name: &str) -> Vec<String> {
        let parts = [Some(""), self.windows.as_ref().map(|_| ".open"), self.idle.map(|_| ".met")];
        parts.into_iter().flatten().map(|part| format!("{name}{part}")).collect()
    }
}

/// How far ahead the windows of hours are known to the kernel, from the beginning of the day (UTC): they are
/// loaded anew every day, and last for a week if the daemon is stopped.
const WINDOWS_AHEAD: Duration = Duration::from_secs(8 * 86_400);

/// The windows of hours for the days to come, in seconds since 1970.
fn windows(hours: &Hours, now: Time) -> Vec<(i64, i64)> {
    let day = beginning_of_day(now);
    let seconds = |time: Time| time.millis().div_euclid(1000);
    let windows = hours.windows(day, day.after(WINDOWS_AHEAD)).into_iter();
    windows.map(|(from, to)| (seconds(from), seconds(to))).collect()
}

/// Midnight (UTC) before a moment.
pub fn beginning_of_day(now: Time) -> Time {
    const DAY: i64 = 86_400_000;
    Time::from_millis(now.millis().div_euclid(DAY) * DAY)
}

/// A part of what strangers reach in open mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The chain; `None` for what they reach at any time.
    pub chain: Option<String>,
    /// The windows of time, as those of a [`ConditionChain`].
    pub windows: Vec<(i64, i64)>,
    /// The ports.
    pub opening: Opening,
    /// The part of them under the limits.
    pub limited: Opening,
}

/// What strangers reach in open mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenServices {
    /// Everything they reach.
    pub opening: Opening,
    /// The part of it under the limits.
    pub limited: Opening,
    /// What they reach at any time, and during hours; everything at any time where it is empty, as in the
    /// copies of older versions.
    #[serde(default)]
    pub admissions: Vec<Admission>,
    /// The limit of one source.
    pub per_source: Rate,
    /// The limit of all together.
    pub total: Rate,
}
