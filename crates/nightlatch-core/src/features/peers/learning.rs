//! Which peers become known from what the PBX reports, and which are forgotten when signalling closes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{ASKING, Event, Peers, Reply, SignallingClosed, lasting};
use crate::action::{Flows, Unlearn};
use crate::features::view::strangers_may_register;
use crate::features::{Fact, Plan, View, Want};
use crate::pbx::{PbxAnswer, PbxPeers};
use crate::policy::World;
use crate::signalling::{Learned, LearnedBy, Peer};
use crate::time::Time;

impl Peers {
    pub(super) fn asks_the_pbx() -> Plan<Peers> {
        let mut plan = Plan::default();
        plan.effects.wants.push(Want::of(ASKING));
        plan
    }

    /// The PBX has answered.
    pub(super) fn told(&self, pbx: PbxPeers, view: &View<'_>) -> Plan<Peers> {
        let mut plan = Plan::default();
        let (mut teach, relearned) = self.taught_by(&pbx, view);
        teach.retain(|(peer, _)| !view.is_closed_to(peer.address));
        plan.effects.teach = lasting(teach);
        plan.effects.ends = Some(ASKING.to_owned());
        plan.at_once.push(Event::Noted(pbx.clone(), relearned));
        plan.effects.facts.push(Fact::PbxReported(pbx));
        plan
    }

    /// The peers to learn from an answer of the PBX, and whether its fixed contacts are among them.
    fn taught_by(&self, pbx: &PbxPeers, view: &View<'_>) -> (Vec<(Peer, Duration)>, bool) {
        let mut peers = pbx.over_tcp();
        if pbx.answer == PbxAnswer::Answered {
            let relearned = self.pbx.relearn_fixed;
            peers.extend(
                relearned.then(|| pbx.fixed_contacts(view.catalogue())).into_iter().flatten(),
            );
            return (peers, relearned);
        }
        // Inferred from this host's connections. In open mode, a stranger may register a contact, and
        // the PBX then connects to it.
        if view.strangers_may_register(view.posture().mode) {
            return (Vec::new(), false);
        }
        peers.retain(|(peer, _)| !self.pbx.untrusted.contains(&peer.address));
        (peers, false)
    }

    /// Forgets peers that were called or asked before signalling was closed. They are still known at
    /// the start if the daemon was killed while closing, or if the saved peers could not be replaced.
    pub(super) fn forget_from_before_closing(&self, plan: &mut Plan<Peers>, view: &View<'_>) {
        let known = view.learned().at(view.now());
        let stale =
            known.filter(|(it, until)| self.is_from_before_closing(it, *until, view.world()));
        let stale: BTreeSet<_> = stale.map(|(peer, _)| (peer.by.set(), peer.key())).collect();
        if !stale.is_empty() {
            plan.effects.unlearn.push(Unlearn::Exactly(stale));
            plan.at_once.push(Event::FixedContactsForgotten);
        }
    }

    /// Whether a peer that is not a registrar became known before signalling was last closed.
    pub(super) fn is_from_before_closing(
        &self,
        peer: &Peer,
        until: Time,
        world: &World<'_>,
    ) -> bool {
        let closed = self.signalling_closed;
        let mode = world.state.posture().mode;
        let closed = closed.filter(|_| !strangers_may_register(world, mode));
        let seen = Learned::seen(peer.by, until);
        peer.by != LearnedBy::Registered && closed.is_some_and(|closed| seen < closed)
    }

    /// When signalling is closed to strangers, only registrations and fixed contacts stay known:
    /// any other peer that the PBX called or asked may be a stranger that registered before.
    pub(super) fn close_signalling(&self, view: &View<'_>) -> Plan<Peers> {
        let mut plan = Peers::asks_the_pbx();
        plan.put(SignallingClosed, view.now(), None);
        plan.effects.cut = Some(Flows::BegunByPeers);
        plan.effects.unlearn.push(Unlearn::UnregisteredExcept(self.pbx.configured.clone()));
        let known = view.learned().at(view.now()).map(|(peer, _)| peer);
        let inferred = known.filter(|peer| self.pbx.is_only_inferred(peer));
        let inferred: BTreeSet<IpAddr> = inferred.map(|peer| peer.address).collect();
        plan.said.extend(inferred.into_iter().map(|address| Reply::NoLongerConnects { address }));
        plan
    }
}
