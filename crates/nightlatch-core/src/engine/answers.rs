//! Answers about all features together: `status` and `why`.

use std::net::IpAddr;

use super::Engine;
use crate::Family;
use crate::api::{PacketKind, Reaches, Status, Why};
use crate::audit::ourselves;
use crate::policy::{self, Packet, Reason, Verdict, What, World};
use crate::ruleset::ListSets;
use crate::service::{Ports, Protocol, Role};
use crate::signalling::{self, FirstBytes};
use crate::time::Time;

impl Engine {
    /// How things stand, without the kernel's counters.
    pub(super) fn status(&mut self, now: Time) -> Status {
        let listed_bytes = match self.state.posture().stands() {
            true => self.merged_bytes(),
            false => 0,
        };
        let nobody = ourselves();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            trouble: self.projection.trouble.clone(),
            listed: self.merged.len(),
            listed_v6: self.merged.len_of(Family::V6),
            listed_bytes,
            restored: self.restored,
            restored_last: self.restored_last.clone(),
            reports: self.state.report(&self.view(&nobody, false, now)),
            ..Status::default()
        }
    }

    /// What the lists need in the kernel: worked out when somebody asks, because they may be long.
    fn merged_bytes(&mut self) -> u64 {
        let merged = &self.merged;
        let bytes = || ListSets::suiting(merged).kernel_bytes(merged);
        *self.merged_bytes.get_or_insert_with(bytes)
    }

    /// What happens to packets of an address, and why.
    pub(super) fn why(&self, address: IpAddr, to: Option<Ports>, now: Time) -> Why {
        let world = self.world(now);
        let address = address.to_canonical();
        let verdict = match to {
            Some(ports) => judge_port(&world, address, ports.protocol, ports.first),
            None => self.overall(address, now),
        };
        let nobody = ourselves();
        Why {
            address,
            to,
            verdict,
            from: to.map_or(0, |ports| source_port(&world, address, ports.first)),
            mode: self.state.posture().mode,
            reaches: self.reaches(address, now),
            packets: self.by_kind(address, to, now),
            about: self.state.about(address, &self.view(&nobody, false, now)),
            is_spared_by_lists: self.view(&nobody, false, now).is_spared_by_lists(address),
            now,
        }
    }

    /// For a UDP signalling port: the verdict for each kind of packet.
    fn by_kind(&self, address: IpAddr, to: Option<Ports>, now: Time) -> Vec<(PacketKind, Verdict)> {
        let udp = to.filter(|ports| ports.protocol == Protocol::Udp);
        let Some(port) = udp.map(|ports| ports.first) else { return Vec::new() };
        let role = self.catalogue.role(port);
        if !role.is_signalling() {
            return Vec::new();
        }
        let examples = signalling::examples(role);
        let world = self.world(now);
        let kinds = [
            (PacketKind::Request, examples.request),
            (PacketKind::Registration, examples.registration),
            (PacketKind::Response, examples.response),
        ];
        let judged = kinds.map(|(kind, first)| {
            let what = What::Udp { from: source_port(&world, address, port), port };
            let on_loopback = address.is_loopback();
            let packet = Packet { on_loopback, first, ..Packet::new(address, what) };
            (kind, policy::judge(&world, &packet))
        });
        judged.into()
    }

    /// The services the address reaches.
    fn reaches(&self, address: IpAddr, now: Time) -> Reaches {
        let world = self.world(now);
        if judge_what(&world, address, What::Other(254)).passes {
            return Reaches::All;
        }
        let reached = self.catalogue.0.iter().filter(|(_, service)| {
            let ports = service.ports.iter();
            let judged =
                ports.map(|ports| judge_port(&world, address, ports.protocol, ports.first));
            let echo = service.ping.then(|| judge_what(&world, address, echo_request(address)));
            let mut judged = judged.chain(echo).peekable();
            judged.peek().is_some() && judged.all(|verdict| verdict.passes)
        });
        Reaches::Services(reached.map(|(name, _)| name.clone()).collect())
    }

    /// The verdict that matters most where no port was named: the best the address gets.
    fn overall(&self, address: IpAddr, now: Time) -> Verdict {
        let world = self.world(now);
        let ports = self.catalogue.every_port().ports;
        let judged =
            ports.iter().map(|ports| judge_port(&world, address, ports.protocol, ports.first));
        let everything = judge_what(&world, address, What::Other(254));
        let mut verdicts: Vec<Verdict> = std::iter::once(everything).chain(judged).collect();
        let passes = verdicts.iter().position(|verdict| verdict.passes);
        // It matters more than that no account covers the rest.
        let is_denied = |verdict: &Verdict| matches!(verdict.reason, Reason::Denied { .. });
        let best = passes.or_else(|| verdicts.iter().position(is_denied)).unwrap_or(0);
        verdicts.swap_remove(best)
    }
}

/// The best verdict of all kinds of packets to that port: a known peer may send requests, but may
/// not register.
fn judge_port(world: &World<'_>, address: IpAddr, protocol: Protocol, port: u16) -> Verdict {
    let what = match protocol {
        Protocol::Tcp => What::Tcp { port },
        Protocol::Udp => What::Udp { from: source_port(world, address, port), port },
    };
    let judge = |first: FirstBytes| {
        let packet = Packet { on_loopback: address.is_loopback(), ..Packet::new(address, what) };
        policy::judge(world, &Packet { first, ..packet })
    };
    let role = if protocol == Protocol::Udp { world.catalogue.role(port) } else { Role::Plain };
    let registration = judge(signalling::examples(role).registration);
    if registration.passes || !role.is_signalling() {
        return registration;
    }
    let request = judge(signalling::examples(role).request);
    if request.passes { request } else { registration }
}

/// The source port to judge by: for a known peer, its known port; otherwise any port except those of
/// DHCP servers, which have rules of their own.
fn source_port(world: &World<'_>, address: IpAddr, port: u16) -> u16 {
    let known = world.learned.of(address.to_canonical(), world.now);
    let known = known.map(|(peer, _)| peer).filter(|peer| peer.local_port == port);
    known.min_by_key(|peer| peer.by).map_or(1024, |peer| peer.port)
}

fn judge_what(world: &World<'_>, address: IpAddr, what: What) -> Verdict {
    // Whoever asks for such an address means the host itself.
    let on_loopback = address.is_loopback();
    let packet = Packet { on_loopback, ..Packet::new(address, what) };
    policy::judge(world, &packet)
}

fn echo_request(address: IpAddr) -> What {
    match address {
        IpAddr::V4(_) => What::Icmp { kind: 8, code: 0 },
        IpAddr::V6(_) => What::Icmp6 { kind: 128, hop_limit: 64 },
    }
}
