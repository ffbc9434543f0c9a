//! Peers known from this host's own requests, and addresses that are denied services.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::plan::{Decision, Plan, no};
use crate::AddrRange;
use crate::action::{Action, Flows, Level, Unlearn};
use crate::api::{Caller, KnownPeer, Refusal};
use crate::audit::{Record, ourselves};
use crate::config::Rules;
use crate::ledger::{Change, Denial, DenialCause, DenialScope, Mode, is_over};
use crate::pbx::{PbxAnswer, PbxPeers};
use crate::policy;
use crate::service::{Catalogue, Role};
use crate::signalling::{Learned, LearnedBy, Peer};
use crate::time::Time;

/// How often the PBX is asked while the firewall is on.
const ASK_PBX_EVERY: Duration = Duration::from_secs(600);
/// How soon it is asked again if it did not answer.
const ASK_PBX_AGAIN: Duration = Duration::from_secs(120);
/// The minimum pause between two queries, even if a denial ends.
const MIN_PAUSE: Duration = Duration::from_secs(30);

/// How often the known peers are saved: what the kernel learned since is lost in a reboot.
const SAVE_PEERS_EVERY: Duration = Duration::from_secs(10);

/// When the PBX is asked next, and what it last reported.
#[derive(Debug, Default)]
pub(super) struct Pbx {
    next: Option<Time>,
    /// When it last answered.
    pub(super) answered: Option<Time>,
    /// Whether it runs here but did not answer.
    silent: bool,
    /// It is not asked before this time, even if a denial ends: a full disk must not cause a query
    /// loop.
    not_before: Option<Time>,
    asking: bool,
    /// The addresses of its fixed contacts, and of the servers at which it reports a registration.
    configured: BTreeSet<IpAddr>,
    /// Whether to learn its fixed contacts from its next answer: a change may have removed them,
    /// e.g. because their host names had not been resolved yet.
    relearn_fixed: bool,
    /// When the known peers were last saved.
    peers_saved: Option<Time>,
    /// Servers inferred only from a connection opened before signalling was closed. They are not
    /// trusted: a stranger could have registered then, and the PBX could have connected to it.
    untrusted: BTreeSet<IpAddr>,
}

impl Engine {
    /// Restores the saved peers if the kernel's sets are gone.
    pub fn restore_learned(&mut self, learned: Learned) {
        self.learned = learned;
    }

    /// The peers known from this host's own requests.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Adds all known peers to the kernel's sets.
    pub(super) fn teach_all(&self, now: Time) -> Action {
        Action::Teach(self.known_peers(now))
    }

    /// The known peers, each with its remaining time, without those that are blocked or denied, or
    /// that were called before signalling was closed.
    pub fn known_peers(&self, now: Time) -> Vec<(Peer, Duration)> {
        let known = self.learned.at(now).filter(|(peer, until)| {
            !self.is_closed_to(peer.address, now) && !self.is_from_before_closing(peer, *until)
        });
        known.map(|(peer, until)| (peer, until.since(now))).collect()
    }

    fn is_closed_to(&self, address: IpAddr, now: Time) -> bool {
        self.ledger.denials.at(address).next().is_some()
            || self.ledger.blocks.at(address).any(|block| !is_over(block.until, now))
    }

    /// Forgets peers that were called or asked before signalling was closed. They are still known at
    /// the start if the daemon was killed while closing, or if the saved peers could not be replaced.
    pub(super) fn forget_from_before_closing(&mut self, now: Time) -> Option<Action> {
        let stale =
            self.learned.at(now).filter(|(it, until)| self.is_from_before_closing(it, *until));
        let stale: BTreeSet<Peer> = stale.map(|(peer, _)| peer).collect();
        if stale.is_empty() {
            return None;
        }
        let unlearn = Unlearn::Peers(stale);
        self.learned.forget(|peer| unlearn.concerns(peer));
        self.pbx.relearn_fixed = true;
        Some(Action::Unlearn(unlearn))
    }

    /// Whether a peer that is not a registrar became known before signalling was last closed.
    fn is_from_before_closing(&self, peer: &Peer, until: Time) -> bool {
        let closed = self.ledger.signalling_closed;
        let closed = closed.filter(|_| !self.strangers_may_register(self.ledger.mode));
        let seen = Learned::seen(peer.by, until);
        peer.by != LearnedBy::Registered && closed.is_some_and(|closed| seen < closed)
    }

    /// When the PBX is to be asked next.
    pub(super) fn next_question(&self) -> Option<Time> {
        if self.pbx.asking || !self.ledger.protection.stands() {
            return None;
        }
        let ends = self.ledger.denials.next_end();
        let ends = ends.map(|end| self.pbx.not_before.map_or(end, |before| before.max(end)));
        [self.pbx.next, ends].into_iter().flatten().min()
    }

    /// Asks the PBX if that is due.
    pub(super) fn ask_pbx_due(&mut self, now: Time) -> Vec<Action> {
        if self.next_question().is_some_and(|due| due <= now) { self.ask_pbx() } else { Vec::new() }
    }

    /// A warning if the PBX does not answer.
    pub(super) fn pbx_trouble(&self) -> Option<String> {
        self.pbx.silent.then(|| {
            "the PBX does not answer the daemon: phones registered without an account, and trunks over TCP, are not detected; check that its console answers: asterisk -rx \"core show version\", or kamcmd core.version".to_owned()
        })
    }

    /// Schedules a query of the PBX now if a change requires it.
    pub(super) fn pbx_wanted(&mut self, wanted: bool, now: Time) {
        if wanted {
            self.pbx.next = Some(now);
        }
    }

    /// Asks the PBX now.
    pub(super) fn ask_pbx(&mut self) -> Vec<Action> {
        self.pbx.asking = true;
        vec![Action::AskPbx(Arc::clone(&self.catalogue))]
    }

    /// The kernel's sets were read, or cannot be.
    pub(super) fn learned_anew(
        &mut self,
        peers: Option<Vec<(Peer, Time)>>,
        now: Time,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(peers) = peers {
            self.learned = peers.into_iter().collect();
            let saved = self.pbx.peers_saved.filter(|saved| *saved <= now);
            if saved.is_none_or(|saved| now.since(saved) >= SAVE_PEERS_EVERY) {
                actions.push(self.save_peers(now));
            }
        }
        actions.extend(self.peers_are_known(now));
        actions
    }

    /// Saves the known peers.
    fn save_peers(&mut self, now: Time) -> Action {
        self.pbx.peers_saved = Some(now);
        Action::SavePeers(Box::new(self.learned.clone()))
    }

    /// The kernel has forgotten peers, or not: nor are they restored after a reboot.
    pub(super) fn unlearned(&mut self, result: Result<(), String>, now: Time) -> Vec<Action> {
        let mut actions = super::trouble(
            Level::Warning,
            result.err(),
            "could not remove peers from the kernel",
            "; they stay known until they expire (see \"nightlatch peer list\")",
        );
        actions.push(self.save_peers(now));
        actions
    }

    /// Records peers that are being added to the kernel's sets: the sets may be flushed before they
    /// are read again.
    pub(super) fn learn(&mut self, taught: &[(Peer, Duration)], now: Time) {
        for (peer, left) in taught {
            let until = now.after(*left);
            if self.learned.until(*peer, now).is_none_or(|known| known < until) {
                self.learned.insert(*peer, until);
            }
        }
    }

    /// The PBX has answered.
    pub(super) fn pbx_told(
        &mut self,
        pbx: &PbxPeers,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<Plan> {
        self.pbx.asking = false;
        let again = if pbx.answer == PbxAnswer::Silent { ASK_PBX_AGAIN } else { ASK_PBX_EVERY };
        self.pbx.next = Some(now.after(again));
        self.pbx.silent = pbx.answer == PbxAnswer::Silent;
        self.pbx.not_before = Some(now.after(MIN_PAUSE));
        if pbx.answer == PbxAnswer::Answered {
            self.pbx.configured = configured(pbx);
            self.pbx.answered = Some(now);
        }
        let us = ourselves();
        let mut plan = Plan::new(&us, "");
        plan.tell = None;
        plan.teach = self.taught_by(pbx);
        plan.teach.retain(|(peer, _)| !self.is_closed_to(peer.address, now));
        self.deny_unlisted(&us, &mut plan, pbx, self.ledger.mode, now);
        self.end_denials(&us, &mut plan, pbx, now);
        if plan.changes.is_empty() {
            let teach = std::mem::take(&mut plan.teach);
            self.learn(&teach, now);
            actions.extend((!teach.is_empty()).then_some(Action::Teach(teach)));
            return None;
        }
        Some(plan)
    }

    /// The peers to learn from an answer of the PBX.
    fn taught_by(&mut self, pbx: &PbxPeers) -> Vec<(Peer, Duration)> {
        if pbx.answer != PbxAnswer::Answered {
            // Inferred from this host's connections. In open mode, a stranger may register a
            // contact, and the PBX then connects to it.
            if self.strangers_may_register(self.ledger.mode) {
                return Vec::new();
            }
            let mut inferred = pbx.over_tcp();
            inferred.retain(|(peer, _)| !self.pbx.untrusted.contains(&peer.address));
            return inferred;
        }
        let mut peers = pbx.over_tcp();
        if std::mem::take(&mut self.pbx.relearn_fixed) {
            peers.extend(pbx.fixed_contacts(&self.catalogue));
        }
        peers
    }

    /// Whether strangers reach signalling in this mode.
    fn strangers_may_register(&self, mode: Mode) -> bool {
        mode == Mode::Open && signalling_is_open(&self.rules, &self.catalogue)
    }

    /// Denies phones that are registered at the PBX without an account: each would become a peer as
    /// soon as the PBX calls it. Its user may have guessed a password, or registered in open mode.
    pub(super) fn deny_unlisted(
        &self,
        caller: &Caller,
        plan: &mut Plan,
        pbx: &PbxPeers,
        mode: Mode,
        now: Time,
    ) {
        if self.strangers_may_register(mode) {
            return;
        }
        let mut told = Vec::new();
        let mut denied = BTreeSet::new();
        for contact in pbx.contacts.iter().filter(|contact| contact.dynamic) {
            let address = contact.address.to_canonical();
            let named = pbx.named.iter().any(|range| range.contains(address))
                || pbx.registrars.iter().any(|it| it.address.to_canonical() == address)
                || pbx
                    .contacts
                    .iter()
                    .any(|it| !it.dynamic && it.address.to_canonical() == address);
            if named || !self.is_unlisted(plan, address, now) || !denied.insert(address) {
                continue;
            }
            let extension = printable(&contact.extension);
            let (scope, what) = match contact.heard {
                true => (DenialScope::Everything, "services and media are denied"),
                false => (
                    DenialScope::ExceptMedia,
                    "services are denied, but not media, because no packet came from this address",
                ),
            };
            told.push(format!(
                "{extension} is registered at the PBX with address {address}, which no account covers: {what}; \"nightlatch allow NAME {address}\" allows it"
            ));
            let cause = DenialCause::UnlistedContact { extension };
            let denial = Denial { scope, ..Denial::new(AddrRange::from(address), cause, now) };
            plan.records.push(Record::new(caller, "deny", denial.range, &(), &denial));
            plan.changes.push(Change::PutDenial(denial));
        }
        let ranges: Vec<AddrRange> = denied.into_iter().map(AddrRange::from).collect();
        if ranges.is_empty() {
            return;
        }
        plan.unlearn.push(Unlearn::Within(ranges.clone()));
        plan.cut_flows_of(&ranges);
        let before = plan.tell.take().map(|tell| tell + "; ").unwrap_or_default();
        plan.tell = Some(before + &told.join("; "));
    }

    /// The denials that end when the mode becomes open, if these rules then allow strangers to
    /// register.
    pub(super) fn unlisted_allowed(&self, rules: &Rules) -> impl Iterator<Item = Change> {
        let allowed = signalling_is_open(rules, &rules.catalogue(&self.ledger.site));
        let unlisted = self.ledger.denials.values().filter(move |denial| {
            allowed && matches!(denial.cause, DenialCause::UnlistedContact { .. })
        });
        unlisted.map(|denial| Change::DropDenial(denial.range))
    }

    /// Whether nothing allows or denies an address yet, including the changes of the plan.
    fn is_unlisted(&self, plan: &Plan, address: IpAddr, now: Time) -> bool {
        let mut added = plan.changes.iter().filter_map(|change| match change {
            Change::PutAccount(account) => Some(account),
            _ => None,
        });
        let own = |(range, _): &(AddrRange, String)| range.contains(address);
        !address.is_loopback()
            && !address.is_unspecified()
            && !self.ledger.site.guarded.iter().any(own)
            && !self.learned.is_registrar(address, now)
            && !self.ledger.has_account_at(address, now)
            && !added.any(|account| account.range_of(address).is_some())
            && !self.ledger.denials.contains_key(&AddrRange::from(address))
    }

    /// Ends denials, or extends them: while the PBX has a contact there, it keeps sending to it.
    fn end_denials(&self, caller: &Caller, plan: &mut Plan, pbx: &PbxPeers, now: Time) {
        for denial in self.ledger.denials.values() {
            let mut contacts = pbx
                .contacts
                .iter()
                .filter(|contact| denial.range.contains(contact.address.to_canonical()));
            let unlisted = matches!(denial.cause, DenialCause::UnlistedContact { .. });
            // A fixed contact was added by an administrator, so it does not extend the denial of an
            // unlisted phone.
            let is_needed = pbx.answer == PbxAnswer::Silent
                || contacts.any(|contact| contact.dynamic || !unlisted);
            let released = unlisted && pbx.answer == PbxAnswer::Answered && !is_needed;
            let over = denial.until <= now;
            if over && is_needed {
                let until = now.after(Denial::PROLONGATION);
                plan.changes.push(Change::PutDenial(Denial { until, ..denial.clone() }));
            } else if over || released {
                plan.records.push(Record::new(caller, "expire", denial.range, denial, &()));
                plan.changes.push(Change::DropDenial(denial.range));
            }
        }
    }

    /// When signalling is closed to strangers, only registrations and fixed contacts stay known:
    /// any other peer that the PBX called or asked may be a stranger that registered before.
    pub(super) fn close_signalling(&self, plan: &mut Plan, now: Time) {
        plan.changes.push(Change::SetSignallingClosed(Some(now)));
        plan.cut = Some(Flows::BegunByPeers);
        plan.unlearn.push(Unlearn::UnregisteredExcept(self.pbx.configured.clone()));
        plan.ask_pbx = true;
        let inferred: BTreeSet<IpAddr> = self
            .learned
            .at(now)
            .map(|(peer, _)| peer)
            .filter(|peer| self.is_only_inferred(peer))
            .map(|peer| peer.address)
            .collect();
        for address in inferred {
            plan.add(&format!(
                "{address} can no longer open connections to the SIP ports: the PBX reports no registration there; if it is your carrier, run \"nightlatch allow NAME {address} --services sip\""
            ));
        }
    }

    /// Whether this host's registration there is only inferred from a connection.
    fn is_only_inferred(&self, peer: &Peer) -> bool {
        peer.by == LearnedBy::RegisteredByTcp && !self.pbx.configured.contains(&peer.address)
    }

    /// Forgets peers.
    pub(super) fn forget_peers(&mut self, unlearn: &Unlearn, now: Time) {
        if matches!(unlearn, Unlearn::UnregisteredExcept(_)) {
            let known: Vec<Peer> = self.learned.at(now).map(|(peer, _)| peer).collect();
            let inferred = known.iter().filter(|peer| self.is_only_inferred(peer));
            let inferred: Vec<IpAddr> = inferred.map(|peer| peer.address).collect();
            self.pbx.untrusted.extend(inferred);
            self.pbx.relearn_fixed = true;
        }
        self.learned.forget(|peer| unlearn.concerns(peer));
    }

    /// Denies services and media to ranges of an account that was removed or has expired. Trunks at
    /// which this host is registered are not denied; their addresses are returned.
    pub(super) fn deny_removed(
        &self,
        plan: &mut Plan,
        account: &str,
        ranges: Vec<AddrRange>,
        now: Time,
    ) -> Vec<IpAddr> {
        let registrars: BTreeSet<IpAddr> = self
            .learned
            .at(now)
            .filter(|(peer, _)| {
                matches!(peer.by, LearnedBy::Registered | LearnedBy::RegisteredByTcp)
            })
            .map(|(peer, _)| peer.address)
            .filter(|address| ranges.iter().any(|range| range.contains(*address)))
            .collect();
        let denied: Vec<AddrRange> =
            ranges.into_iter().flat_map(|range| without(range, &registrars)).collect();
        for range in &denied {
            let cause = DenialCause::AccountGone { account: account.to_owned() };
            plan.changes.push(Change::PutDenial(Denial::new(*range, cause, now)));
        }
        plan.unlearn.push(Unlearn::Within(denied));
        registrars.into_iter().collect()
    }

    pub(super) fn forget_peer(
        &self,
        caller: &Caller,
        address: IpAddr,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let address = address.to_canonical();
        let known: Vec<KnownPeer> = self.known(address, now);
        if known.is_empty() {
            return Err(no(format!(
                "not a known peer: {address}; \"nightlatch peer list\" shows the known peers"
            )));
        }
        let message = format!(
            "{address} is no longer a known peer: its requests and responses are dropped until this host sends to it again, unless an account allows them"
        );
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, "forget", address, &known, &())];
        plan.unlearn = vec![Unlearn::Within(vec![AddrRange::from(address)])];
        Ok(plan.decided())
    }

    /// The known peers at an address.
    pub(super) fn known(&self, address: IpAddr, now: Time) -> Vec<KnownPeer> {
        self.learned.of(address, now).map(|(peer, until)| known_peer(peer, until)).collect()
    }
}

/// A peer as shown in an answer.
pub(super) fn known_peer(peer: Peer, until: Time) -> KnownPeer {
    KnownPeer { peer, seen: Learned::seen(peer.by, until), until }
}

/// The addresses of the PBX's fixed contacts and registrations.
fn configured(pbx: &PbxPeers) -> BTreeSet<IpAddr> {
    let fixed = pbx.contacts.iter().filter(|contact| !contact.dynamic);
    let fixed = fixed.map(|contact| contact.address.to_canonical());
    fixed.chain(pbx.registrars.iter().map(|it| it.address.to_canonical())).collect()
}

/// The parts of a range that remain without some addresses.
fn without(range: AddrRange, addresses: &BTreeSet<IpAddr>) -> Vec<AddrRange> {
    let mut left = Vec::new();
    let mut first = Some(range.first());
    let taken = addresses.iter().map(|address| AddrRange::from(*address));
    let mut taken: Vec<AddrRange> = taken.filter(|taken| range.covers(taken)).collect();
    taken.sort_unstable_by_key(AddrRange::first);
    for taken in taken {
        let Some(begin) = first else { break };
        if let Some(last) = taken.first().checked_sub(1).filter(|last| begin <= *last) {
            left.extend(AddrRange::new(range.family(), begin, last));
        }
        first = taken.last().checked_add(1).filter(|next| *next <= range.last());
    }
    left.extend(first.and_then(|first| AddrRange::new(range.family(), first, range.last())));
    left
}

/// A name from the PBX without control characters: a phone may have chosen it.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// Whether strangers reach a signalling port in open mode.
fn signalling_is_open(rules: &Rules, catalogue: &Catalogue) -> bool {
    let open = policy::open_to_strangers(rules, catalogue);
    let datagrams = [Role::Sip, Role::Iax].map(|role| catalogue.udp_ports(role)).concat();
    let streams = catalogue.sip_tcp_ports();
    datagrams.iter().chain(&streams).any(|ports| open.contains(ports.protocol, ports.first))
}

#[cfg(test)]
mod tests;
