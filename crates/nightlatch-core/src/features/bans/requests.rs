//! What is asked about bans, what is refused, what follows.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attacked::{allowing, excepted};
use super::ban::{Ban, BanCause};
use super::{Bans, Deed, MAX_BANS, NeverBanned};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::ban::{MAX_BAN, place};
use crate::features::{Plan, Refuses, View};
use crate::ranges::{UNTOUCHABLE, Untouchable, is_nobody_else};
use crate::time::Time;

/// The longest reason.
const MAX_REASON: usize = 1000;
/// The most bans in an answer: those that began last.
const MAX_SHOWN: usize = 10_000;
/// How long a ban by hand lasts, unless said otherwise.
const BY_HAND: Duration = Duration::from_secs(86_400);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Ban an address.
    Ban(NewBan),
    /// End the bans of an address or network.
    Unban {
        /// Which.
        range: AddrRange,
    },
    /// End all bans.
    UnbanAll,
    /// All bans.
    List,
}

/// A ban to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewBan {
    /// An address, or an IPv6 network of 64, 56 or 48 bits. Of an IPv6 address, its network of 64 bits.
    pub range: AddrRange,
    /// How long; a day where absent.
    pub lasts: Option<Duration>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The source is banned.
    Banned(Box<Ban>),
    /// The bans of these ranges were ended.
    Unbanned {
        /// The first of them.
        ranges: Vec<AddrRange>,
        /// How many.
        count: usize,
    },
    /// The bans, the last one first.
    All {
        /// At most [`MAX_SHOWN`].
        bans: Vec<Ban>,
        /// How many there are.
        count: usize,
        /// The limits of sources that are not banned.
        limits: Vec<Ban>,
    },
    /// What concerns an address.
    About {
        /// Its bans and its limit, the most specific first.
        bans: Vec<Ban>,
        /// Why no attack from there leads to a ban; `None` if one does, and where it is banned already.
        spared: Option<NeverBanned>,
    },
    /// How many there are.
    Report {
        /// How many.
        count: usize,
        /// How many sources are limited.
        limited: usize,
    },
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Bans are for single sources.
    Network {
        /// The range.
        range: AddrRange,
    },
    /// The host would lose itself or its link.
    Untouchable {
        /// The range.
        range: AddrRange,
        /// What that is.
        what: Untouchable,
    },
    /// This server needs it.
    Guarded {
        /// The range.
        range: AddrRange,
        /// What the server needs.
        guarded: AddrRange,
        /// What that is.
        what: String,
    },
    /// It is allowed, and a ban does not count there.
    Allowed {
        /// The range.
        range: AddrRange,
        /// What allows it.
        names: Vec<String>,
    },
    /// A ban lasts a year at most.
    TooLong {
        /// At most so long.
        most: Duration,
    },
    /// There are as many as there may be.
    Full {
        /// How many.
        most: usize,
    },
    /// It is not banned.
    NotBanned {
        /// The range.
        range: AddrRange,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Network { .. } | Refusal::Untouchable { .. } | Refusal::TooLong { .. } => {
                RefusalKind::Wrong
            }
            _ => RefusalKind::No,
        }
    }
}

impl Bans {
    pub(super) fn ban_by_hand(&self, new: NewBan, view: &View<'_>) -> Result<Plan<Bans>, Refusal> {
        let range = source(new.range).ok_or(Refusal::Network { range: new.range })?;
        may_be_banned(range, view)?;
        let lasts = new.lasts.unwrap_or(BY_HAND);
        if lasts > MAX_BAN {
            return Err(Refusal::TooLong { most: MAX_BAN });
        }
        if self.all.len() >= MAX_BANS && !self.all.contains_key(&range) {
            return Err(Refusal::Full { most: MAX_BANS });
        }
        let (now, quiet) = (view.now(), view.config().bans.quiet);
        let before = self.all.get(&range);
        // A ban is not made shorter: that would open before it is written down.
        let banned = before.filter(|before| before.limit.is_none());
        let until = now.after(lasts).max(banned.map_or(now, |before| before.until));
        let times = before.map_or(0, |before| before.times_left(now, quiet));
        let reason = new.reason.chars().take(MAX_REASON).collect();
        let ban = Ban {
            range,
            since: now,
            until,
            times,
            remembered: until.after(quiet.saturating_mul(times.max(1))),
            cause: BanCause::ByHand { by: view.caller().to_string(), reason },
            except: excepted(range, view),
            limit: None,
        };
        let mut plan = Plan::say(super::Reply::Banned(Box::new(ban.clone())));
        plan.put(range, ban, Deed::Ban);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    pub(super) fn unban(&self, range: AddrRange, view: &View<'_>) -> Result<Plan<Bans>, Refusal> {
        let mut plan = Plan::default();
        let over = self.all.over(range).filter(|(_, ban)| ban.is_active(view.now()));
        let named = over.filter(|(banned, _)| banned.covers(&range) || range.covers(banned));
        let mut named: Vec<&Ban> = named.map(|(_, ban)| ban).collect();
        named.sort_unstable_by_key(|ban| ban.range);
        if named.is_empty() {
            return Err(Refusal::NotBanned { range });
        }
        Bans::end_all(&mut plan, named, view);
        Ok(plan)
    }

    pub(super) fn unban_all(&self, view: &View<'_>) -> Plan<Bans> {
        let mut plan = Plan::default();
        let active = self.all.values().filter(|ban| ban.is_active(view.now()));
        Bans::end_all(&mut plan, active.collect(), view);
        plan
    }

    fn end_all(plan: &mut Plan<Bans>, bans: Vec<&Ban>, view: &View<'_>) {
        let count = bans.len();
        let ranges = bans.iter().take(crate::api::MAX_LISTED).map(|ban| ban.range).collect();
        bans.into_iter().for_each(|ban| Bans::end(plan, ban, view));
        plan.said.push(Reply::Unbanned { ranges, count });
        plan.effects.waits_for_up = true;
    }

    /// The bans, the last one first.
    pub(super) fn listed(&self, view: &View<'_>) -> Reply {
        let now: Time = view.now();
        let last_first = self.by_begin.iter().rev().filter_map(|(_, range)| self.all.get(range));
        let active = last_first.filter(|ban| ban.is_active(now) && ban.limit.is_none());
        let all = || self.all.values().filter(|ban| ban.is_active(now));
        let limits: Vec<Ban> = all().filter(|ban| ban.limit.is_some()).cloned().collect();
        let count = all().count() - limits.len();
        Reply::All { bans: active.take(MAX_SHOWN).cloned().collect(), count, limits }
    }
}

/// The range that is banned: of an IPv6 address, its network of 64 bits.
fn source(range: AddrRange) -> Option<AddrRange> {
    let range = match range.first_address() {
        address @ IpAddr::V6(_) if range.is_single() => AddrRange::network(address, 64)?,
        _ => range,
    };
    place(&range).map(|_| range)
}

fn may_be_banned(range: AddrRange, view: &View<'_>) -> Result<(), Refusal> {
    let untouchable = UNTOUCHABLE.iter().find(|(network, _)| {
        network.parse::<AddrRange>().is_ok_and(|network| network.overlaps(&range))
    });
    if let Some((_, what)) = untouchable {
        return Err(Refusal::Untouchable { range, what: *what });
    }
    if is_nobody_else(&range) {
        return Err(Refusal::Untouchable { range, what: Untouchable::Multicast });
    }
    let mut guarded = view.posture().site.guarded.iter();
    if let Some((guarded, what)) = guarded.find(|(guarded, _)| guarded.covers(&range)) {
        return Err(Refusal::Guarded { range, guarded: *guarded, what: what.clone() });
    }
    let names = allowing(range, view);
    if names.is_empty() { Ok(()) } else { Err(Refusal::Allowed { range, names }) }
}
