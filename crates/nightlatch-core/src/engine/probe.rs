//! Judging as if a change had taken effect: what a dry run finds.

use std::net::IpAddr;

use super::Engine;
use super::decide::Decision;
use crate::AddrRange;
use crate::action::Flows;
use crate::cut::{Cutter, LiveFlow, PortUses, Use};
use crate::features::{State, View};
use crate::policy::{self, Packet, Says, What, World};
use crate::posture::Posture;
use crate::probe::{
    CallerFinding, Fate, Findings, FlowFinding, MAX_PROBED_FLOWS, MAX_PROBED_RANGES, PortFinding,
    Probe, RangeFinding, SshCaller,
};
use crate::service::{Grant, Protocol, ServiceName};
use crate::signalling::Learned;
use crate::time::Time;

impl Engine {
    /// Whether strangers reach the ports of a probe now.
    pub(super) fn reached_by_strangers(&self, probe: &Probe, now: Time) -> Vec<bool> {
        let world = self.world(now);
        let reach = |(protocol, port): &(Protocol, u16)| stranger_reaches(&world, *protocol, *port);
        probe.ports.iter().map(reach).collect()
    }

    /// What would happen if a decision took effect, which is made in memory. `stood` tells whether the
    /// firewall stands now, and `before` which of the ports strangers reach now.
    pub(super) fn find(
        &self,
        decision: &Decision,
        probe: &Probe,
        (stood, before): (bool, Vec<bool>),
        now: Time,
    ) -> Findings {
        let learned = self.learned_after(decision, stood, now);
        let world = World { learned: &learned, ..self.world(now) };
        let view = View::new(
            world,
            &self.config,
            &self.schedule,
            &decision.caller,
            false,
            &self.administrators,
        );
        let mut found = judge(&view, probe);
        for (port, before) in found.ports.iter_mut().zip(before) {
            port.before = before;
        }
        found.refusal.clone_from(&decision.locked_out);
        found
    }

    /// The peers that will be known. The sets of a table that is only put up begin empty.
    fn learned_after(&self, decision: &Decision, stood: bool, now: Time) -> Learned {
        let mut learned = if stood { self.learned.clone() } else { Learned::default() };
        for unlearn in &decision.effects.unlearn {
            learned.sets.forget(|set, key| unlearn.concerns(set, key));
        }
        for element in &decision.effects.teach {
            learned.sets.learn(element.until(now), now);
        }
        learned
    }
}

fn judge(view: &View<'_>, probe: &Probe) -> Findings {
    let world = view.world();
    let cutter = Cutter::new(*world, Flows::BegunByPeers);
    let uses = PortUses::of(world.catalogue);
    let flows = probe.flows.iter().take(MAX_PROBED_FLOWS);
    let flow = |flow: &LiveFlow| FlowFinding {
        fate: fate(&cutter, flow),
        is_allowed: cutter.allows(flow),
        is_media: flow.protocol == Protocol::Udp
            && uses.at(flow.protocol, flow.local_port) == Use::Media,
    };
    let port = |(protocol, port): &(Protocol, u16)| PortFinding {
        protocol: *protocol,
        port: *port,
        before: false,
        after: stranger_reaches(world, *protocol, *port),
    };
    Findings {
        flows: flows.map(flow).collect(),
        ports: probe.ports.iter().map(port).collect(),
        caller: probe.caller.map(|it| caller_finding(view, it)),
        ranges: range_findings(world, &probe.ranges),
        ..Findings::default()
    }
}

fn fate(cutter: &Cutter<'_>, flow: &LiveFlow) -> Fate {
    if cutter.must_end(flow) {
        Fate::Ends
    } else if cutter.denies_signalling(flow) {
        Fate::SignallingDenied
    } else if cutter.continues_unknown(flow) {
        Fate::ContinuesUnknown
    } else if cutter.continues_as_vpn(flow) {
        Fate::ContinuesAsVpn
    } else {
        Fate::Continues
    }
}

fn caller_finding(view: &View<'_>, caller: SshCaller) -> CallerFinding {
    let SshCaller { address, port } = caller;
    let world = view.world();
    let verdict = policy::judge(world, &Packet::new(address, What::Tcp { port }));
    CallerFinding {
        address,
        shut_out: (!verdict.passes).then_some(verdict.reason),
        about: world.state.about(address, view),
    }
}

/// Whether somebody of whom nothing is known reaches a port: no account, block or list has an address
/// for certain that is nobody's, so they are left out.
fn stranger_reaches(world: &World<'_>, protocol: Protocol, port: u16) -> bool {
    let Posture { mode, protection, .. } = world.state.posture();
    let posture = Posture { mode: *mode, protection: protection.clone(), ..Posture::default() };
    let (state, learned) = (State::with_posture(posture), Learned::default());
    let world = World { state: &state, learned: &learned, ..*world };
    let what = match protocol {
        Protocol::Tcp => What::Tcp { port },
        Protocol::Udp => What::Udp { from: EPHEMERAL_PORT, port },
    };
    policy::judge(&world, &Packet::new(IpAddr::from([192, 0, 2, 1]), what)).passes
}

/// A port from which clients send.
const EPHEMERAL_PORT: u16 = 1024;

/// What accounts allow for ranges.
fn range_findings(world: &World<'_>, ranges: &[AddrRange]) -> Vec<RangeFinding> {
    let sip = ServiceName::known("sip");
    let grants_sip = |services: &Grant| match services {
        Grant::All => true,
        Grant::Some(names) => world.catalogue.with_brought(&**names).contains(&sip),
    };
    let finding = |range: &AddrRange| {
        let mut found = RangeFinding::default();
        let first = range.first_address();
        world.state.claims(*range, world.now, &mut |claim| {
            let Says::Allow(services) = claim.says else { return };
            found.sip |= grants_sip(services) && claim.over.covers(range);
            found.covered |= claim.over.contains(first);
        });
        found
    };
    ranges.iter().take(MAX_PROBED_RANGES).map(finding).collect()
}
