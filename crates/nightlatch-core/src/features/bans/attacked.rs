//! What follows from an attack, and from what is allowed afterwards.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ban::{self, Ban, BanCause, Limit};
use super::{Bans, Deed, Event, MANY, MAX_BANS, NeverBanned, Notice, Spared};
use crate::AddrRange;
use crate::address::merge;
use crate::attack::{Attack, Weight};
use crate::ban::{BAN, Limited, place};
use crate::cut;
use crate::features::{Plan, View};
use crate::lists;
use crate::pbx::{PbxAnswer, PbxPeers};
use crate::policy::Says;
use crate::time::Time;

/// Of so many bans a minute an administrator is told one by one.
const MAX_TOLD: usize = 30;

impl Bans {
    /// A source attacks: it is banned, unless it is spared.
    pub(super) fn attacked(&self, attack: &Attack, view: &View<'_>) -> Plan<Bans> {
        if place(&attack.source).is_none() || !self.is_news(attack, view) {
            return Plan::default();
        }
        if let Some(because) = self.spared(attack, view) {
            return self.limit(attack, because, view);
        }
        match self.room(attack, view) {
            Ok(()) => self.ban(attack, view),
            Err(full) => Plan { notices: vec![full], ..Plan::default() },
        }
    }

    /// Whether the attack is not what its ban has already answered: packets that were on their way when it
    /// began, or lines that are read once more after a crash.
    fn is_news(&self, attack: &Attack, view: &View<'_>) -> bool {
        let Some(before) = self.all.get(&attack.source) else { return true };
        let last = attack.evidence.last;
        let seen = match &before.cause {
            BanCause::Attack { evidence, .. } => evidence.last,
            BanCause::ByHand { .. } => before.since,
        };
        if before.limit.is_some() {
            return last > seen;
        }
        let is_stronger = before.is_brief() && attack.weight == Weight::Full;
        match before.is_active(view.now()) {
            true => is_stronger && last > seen,
            false => last > seen && last > before.until,
        }
    }

    /// Whether there is room for one more ban.
    fn room(&self, attack: &Attack, view: &View<'_>) -> Result<(), Notice> {
        let range = attack.source;
        if self.all.len() >= MAX_BANS && !self.all.contains_key(&range) {
            return Err(Notice::Full { range, most: MAX_BANS, brief: false });
        }
        let most = view.config().bans.max_brief;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match attack.weight {
            Weight::Brief if self.brief.active(view.now()) >= most => {
                Err(Notice::Full { range, most, brief: true })
            }
            _ => Ok(()),
        }
    }

    fn ban(&self, attack: &Attack, view: &View<'_>) -> Plan<Bans> {
        let (now, config, range) = (view.now(), &view.config().bans, attack.source);
        let before = self.all.get(&range);
        let times = before.map_or(0, |before| before.times_left(now, config.quiet));
        let (times, length) = match attack.weight {
            // What somebody else could have forged makes nobody worse.
            Weight::Brief => (times, attack.bantime.unwrap_or(config.brief)),
            Weight::Full => (times.saturating_add(1), config.length(times.saturating_add(1))),
        };
        // Better evidence does not end a ban earlier.
        let active = before.filter(|before| before.is_active(now));
        let until = active.map_or(now, |before| before.until).max(now.after(length));
        let evidence = ban::bounded(attack.evidence.clone(), self.all.len() >= MANY);
        let cause = BanCause::Attack { weight: attack.weight, evidence: Box::new(evidence) };
        let remembered = until.after(config.quiet.saturating_mul(times.max(1)));
        let except = excepted(range, view);
        let limit = None;
        let ban = Ban { range, since: now, until, times, remembered, cause, except, limit };
        let mut plan = Plan::default();
        plan.notices.extend(self.told(&ban));
        plan.put(range, ban, Deed::Ban);
        plan
    }

    /// Whether the administrator hears of one more ban.
    fn told(&self, ban: &Ban) -> Option<Notice> {
        let begin = Time::from_millis(ban.since.millis().saturating_sub(60_000));
        match self.by_begin.range((begin, first_range())..).take(MAX_TOLD + 1).count() {
            count if count < MAX_TOLD => Some(Notice::Banned(Box::new(ban.clone()))),
            MAX_TOLD => Some(Notice::Many { count: MAX_TOLD }),
            _ => None,
        }
    }

    /// Whoever is allowed from now on is no longer banned. Where only a part of a network is allowed, the
    /// claims say so.
    pub(super) fn ended_by(&self, allowed: &[AddrRange], view: &View<'_>) -> Plan<Bans> {
        let mut plan = Plan::default();
        let open = merge(allowed.to_vec());
        let over = open.iter().flat_map(|range| self.all.over(*range));
        let over =
            over.filter(|(range, ban)| ban.is_active(view.now()) && cut::is_in(&open, range));
        for (_, ban) in over {
            Bans::end(&mut plan, ban, view);
        }
        plan
    }

    /// Limits a source that is not banned: the service that it attacks, except for its registered phones. Whoever
    /// goes on is limited more.
    fn limit(&self, attack: &Attack, because: Spared, view: &View<'_>) -> Plan<Bans> {
        let (now, range) = (view.now(), attack.source);
        let evidence = Box::new(ban::bounded(attack.evidence.clone(), self.all.len() >= MANY));
        let may_be_limited = because.is_limited();
        let mut notice =
            Notice::Spared { range, because, limited_until: None, evidence: evidence.clone() };
        let mut plan = Plan::default();
        let limited = Limited::of(attack.evidence.service).filter(|_| is_one_source(range));
        let has_room = self.all.len() < MAX_BANS || self.all.contains_key(&range);
        let is_possible = may_be_limited && has_room;
        let Some(limited) = limited.filter(|_| is_possible) else {
            plan.notices.push(notice);
            return plan;
        };
        let before = self.all.get(&range).filter(|before| before.is_active(now));
        let known = before.and_then(|before| before.limit.clone());
        let goes_on =
            before.is_some_and(|before| attack.evidence.last > before.since.after(TAKES_HOLD));
        let mut limit = known.clone().unwrap_or_else(|| Limit {
            services: BTreeSet::new(),
            strict: false,
            free: BTreeSet::new(),
        });
        limit.strict |= known.is_some() && goes_on;
        limit.services.insert(limited);
        limit.free = self.phones_within(range, view);
        let is_new = known
            .is_none_or(|known| (known.strict, &known.services) != (limit.strict, &limit.services));
        let until = now.after(LIMITED);
        let ban = Ban {
            range,
            since: before.map_or(now, |before| before.since),
            until,
            times: self.all.get(&range).map_or(0, |before| before.times),
            remembered: until.after(REPLAY),
            cause: BanCause::Attack { weight: attack.weight, evidence },
            except: Vec::new(),
            limit: Some(limit),
        };
        plan.put(range, ban, is_new.then_some(Deed::Limit));
        if let (true, Notice::Spared { limited_until, .. }) = (is_new, &mut notice) {
            *limited_until = Some(until);
            plan.notices.push(notice);
        }
        plan
    }

    /// The PBX has reported where phones are registered: those at limited addresses are not limited.
    pub(super) fn phones_reported(&self, pbx: &PbxPeers, view: &View<'_>) -> Plan<Bans> {
        let mut plan = Plan::default();
        if pbx.answer != PbxAnswer::Answered {
            return plan;
        }
        // What a phone merely claims to be its address may be another's.
        let sure = pbx.contacts.iter().filter(|contact| contact.heard || !contact.dynamic);
        let contacts: BTreeSet<SocketAddr> =
            sure.map(|it| SocketAddr::new(it.address.to_canonical(), it.port)).collect();
        let active = self.all.values().filter(|ban| ban.is_active(view.now()));
        for (ban, limit) in active.filter_map(|ban| Some((ban, ban.limit.as_ref()?))) {
            let free = phones(&contacts, ban.range, view);
            if free != limit.free {
                let limit = Some(Limit { free, ..limit.clone() });
                plan.put(ban.range, Ban { limit, ..ban.clone() }, None);
            }
        }
        if contacts != self.contacts {
            plan.at_once.push(Event::Contacts(contacts));
        }
        plan
    }

    fn phones_within(&self, range: AddrRange, view: &View<'_>) -> BTreeSet<SocketAddr> {
        phones(&self.contacts, range, view)
    }

    /// Why an attack does not lead to a ban.
    fn spared(&self, attack: &Attack, view: &View<'_>) -> Option<Spared> {
        let trusted = attack.trusted_since.map(|since| Spared::Trusted { since });
        match self.never_banned(attack.source, view) {
            found @ (None | Some(Spared::Registered)) => trusted.or(found),
            found => found,
        }
    }

    /// Why no attack from an address leads to a ban, whatever the logs say of it: its source as a whole is
    /// spared, or the address is excepted from a ban of its network.
    pub(super) fn spared_at(&self, address: IpAddr, view: &View<'_>) -> Option<NeverBanned> {
        let alone = AddrRange::from(address);
        let source = match address {
            IpAddr::V4(_) => alone,
            IpAddr::V6(_) => AddrRange::network(address, 64).unwrap_or(alone),
        };
        if let Some(because) = self.never_banned(source, view) {
            let limited = because.is_limited();
            return Some(NeverBanned { because, limited });
        }
        let because = self.never_banned(alone, view)?;
        Some(NeverBanned { because, limited: false })
    }

    /// Why a source is not banned, as far as the logs do not matter.
    fn never_banned(&self, range: AddrRange, view: &View<'_>) -> Option<Spared> {
        if lists::special().any(|network| network.overlaps(&range)) {
            return Some(Spared::Guarded { what: String::new() });
        }
        // In a network, the address alone is excepted.
        let mut guarded = view.posture().site.guarded.iter();
        if let Some((_, what)) = guarded.find(|(guarded, _)| guarded.covers(&range)) {
            return Some(Spared::Guarded { what: what.clone() });
        }
        if view.administers(range) {
            return Some(Spared::Administers);
        }
        let names = allowing(range, view);
        if !names.is_empty() {
            return Some(Spared::Allowed { names });
        }
        let has_phone = (range.is_single() || is_one_source(range))
            && within(&self.contacts, range).next().is_some();
        // Of a network, the servers are excepted.
        let is_server = range.is_single()
            && view.learned().registrars_within(range, view.now()).next().is_some();
        (has_phone || is_server).then_some(Spared::Registered)
    }

    /// Ends a ban early. What was seen until now does not begin it anew.
    pub(super) fn end(plan: &mut Plan<Bans>, ban: &Ban, view: &View<'_>) {
        let now = view.now();
        let ended = Ban { until: now, times: 0, remembered: now.after(REPLAY), ..ban.clone() };
        plan.put(ban.range, ended, Deed::Unban);
    }
}

/// For how long a source is limited after an attack.
const LIMITED: Duration = Duration::from_secs(3600);
/// What was seen so soon after a limit began may have been on its way.
const TAKES_HOLD: Duration = Duration::from_secs(10);
/// The most registered phones of one source that are not limited.
const MAX_FREE: usize = 256;
/// For how long an ended ban is remembered, so that lines that are read once more do not begin it anew.
const REPLAY: Duration = Duration::from_secs(86_400);

/// The range that precedes all others.
pub(super) fn first_range() -> AddrRange {
    AddrRange::from(IpAddr::from([0, 0, 0, 0]))
}

/// The registered phones in a range, and the servers at which this host is registered.
fn phones(
    contacts: &BTreeSet<SocketAddr>,
    range: AddrRange,
    view: &View<'_>,
) -> BTreeSet<SocketAddr> {
    let registrars = view.learned().registrars_within(range, view.now());
    within(contacts, range).copied().chain(registrars).take(MAX_FREE).collect()
}

/// The contacts in a range.
fn within(contacts: &BTreeSet<SocketAddr>, range: AddrRange) -> impl Iterator<Item = &SocketAddr> {
    let first = SocketAddr::new(range.first_address(), 0);
    let last = SocketAddr::new(range.last_address(), u16::MAX);
    contacts.range(first..=last)
}

/// Whether a range is one source, as one IPv4 address is, and not several.
fn is_one_source(range: AddrRange) -> bool {
    place(&range).is_some_and(|(set, _)| set == &BAN)
}

/// The names of what allows a whole range, or exempts it.
pub(super) fn allowing(range: AddrRange, view: &View<'_>) -> Vec<String> {
    let allows =
        |says: &Says<'_>| matches!(says, Says::Allow(_) | Says::AllowIf { .. } | Says::Spare);
    let claims = view.claims(range).into_iter();
    let allowing = claims.filter(|claim| allows(&claim.says) && claim.over.covers(&range));
    let mut names: Vec<String> = allowing.map(|claim| claim.by.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The addresses in a network for which no ban counts, besides those of accounts and the like: what this
/// server needs, and the servers at which it is registered.
pub(super) fn excepted(range: AddrRange, view: &View<'_>) -> Vec<AddrRange> {
    if range.is_single() {
        return Vec::new();
    }
    let guarded = view.posture().site.guarded.iter().map(|(guarded, _)| *guarded);
    let guarded = guarded.filter(|guarded| range.covers(guarded));
    let registered = view.learned().registrars_within(range, view.now());
    let registered = registered.map(|server| AddrRange::from(server.ip()));
    merge(guarded.chain(registered).collect())
}
