//! When the PBX is asked, and what it last reported.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::action::Unlearn;
use crate::pbx::{PbxAnswer, PbxPeers};
use crate::signalling::{Learned, LearnedBy, Peer};
use crate::time::Time;

/// How often the PBX is asked while the firewall is on.
const INTERVAL: Duration = Duration::from_secs(600);
/// How soon it is asked again if it did not answer.
const AGAIN: Duration = Duration::from_secs(120);
/// The minimum pause between two queries, even if a denial ends.
const MIN_PAUSE: Duration = Duration::from_secs(30);

/// When the PBX is asked next, and what it last reported.
#[derive(Clone, Debug, Default)]
pub(super) struct Pbx {
    next: Option<Time>,
    /// When it last answered, unless that was before signalling was closed.
    pub(super) answered: Option<Time>,
    /// Whether it runs here but did not answer.
    pub(super) silent: bool,
    /// It is not asked before this time, even if a denial ends: a full disk must not cause a query
    /// loop.
    not_before: Option<Time>,
    /// The addresses of its fixed contacts, and of the servers at which it reports a registration.
    pub(super) configured: BTreeSet<IpAddr>,
    /// Whether to learn its fixed contacts from its next answer: a change may have removed them,
    /// e.g. because their host names had not been resolved yet.
    pub(super) relearn_fixed: bool,
    /// Servers inferred only from a connection opened before signalling was closed. They are not
    /// trusted: a stranger could have registered then, and the PBX could have connected to it.
    pub(super) untrusted: BTreeSet<IpAddr>,
}

impl Pbx {
    /// When it is to be asked next, if a feature needs to know by some time.
    pub(super) fn next_question(&self, needed: Option<Time>) -> Option<Time> {
        let needed = needed.map(|at| self.not_before.map_or(at, |before| before.max(at)));
        [self.next, needed].into_iter().flatten().min()
    }

    /// Notes an answer, and whether its fixed contacts were learned from it.
    pub(super) fn note(&mut self, pbx: &PbxPeers, relearned: bool, now: Time) {
        self.silent = pbx.answer == PbxAnswer::Silent;
        self.next = Some(now.after(if self.silent { AGAIN } else { INTERVAL }));
        self.not_before = Some(now.after(MIN_PAUSE));
        self.relearn_fixed &= !relearned;
        if pbx.answer == PbxAnswer::Answered {
            self.configured = configured(pbx);
            self.answered = Some(now);
        }
    }

    /// Whether this host's registration there is only inferred from a connection.
    pub(super) fn is_only_inferred(&self, peer: &Peer) -> bool {
        peer.by == LearnedBy::RegisteredByTcp && !self.configured.contains(&peer.address)
    }

    /// Peers are about to be forgotten.
    pub(super) fn unlearning(&mut self, unlearn: &Unlearn, learned: &Learned, now: Time) {
        if !matches!(unlearn, Unlearn::UnregisteredExcept(_)) {
            return;
        }
        let known: Vec<Peer> = learned.at(now).map(|(peer, _)| peer).collect();
        let inferred = known.iter().filter(|peer| self.is_only_inferred(peer));
        let inferred: Vec<IpAddr> = inferred.map(|peer| peer.address).collect();
        self.untrusted.extend(inferred);
        self.relearn_fixed = true;
        // Whoever closes signalling waits for an answer to which the closed mode applies.
        self.answered = None;
    }
}

/// The addresses of the PBX's fixed contacts and registrations.
fn configured(pbx: &PbxPeers) -> BTreeSet<IpAddr> {
    let fixed = pbx.contacts.iter().filter(|contact| !contact.dynamic);
    let fixed = fixed.map(|contact| contact.address.to_canonical());
    fixed.chain(pbx.registrars.iter().map(|it| it.address.to_canonical())).collect()
}
