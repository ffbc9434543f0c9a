//! Where the packets are sent: a server whose kernel counts what arrives and what our table lets
//! through, and a crowd on the same link which sends with any source.

use std::time::Duration;

use nightlatch_core::action::Unlearn;
use nightlatch_core::condition;
use nightlatch_core::features::bans::Bans;
use nightlatch_core::features::blocks::Blocks;
use nightlatch_core::features::denials::Denials;
use nightlatch_core::knock::KNOCKED;
use nightlatch_core::learned::Lasting;
use nightlatch_core::policy::{Reason, Verdict};
use nightlatch_core::signalling::{Peer, SETS};
use nightlatch_core::time::Time;
use nightlatch_core::{AddrRange, Family};
use nightlatch_lab::packet::Sender;
use nightlatch_lab::stage::Host;

use super::kernel::Kernel;
use super::knocks;
use super::packets::{Case, HOPS_OF_A_BEGINNING};
use super::state::{NOW, State};
use crate::support::now;

/// Counts before everything and after our table, and lets nothing of it go on: so no packet of a
/// case leaves a trace in connection tracking. The host's own refusals would end flows before they
/// run, so it says nothing but what the test has it say. Whoever asks for the state of flows has
/// them tracked.
fn observer() -> String {
    let begins = HOPS_OF_A_BEGINNING;
    format!(
        "table inet observe {{
    counter arrived {{ }}
    counter survived {{ }}
    chain before {{
        type filter hook prerouting priority -500; policy accept;
        ip ttl {begins} accept
        ip6 hoplimit {begins} accept
        counter name arrived
    }}
    chain after {{
        type filter hook prerouting priority -140; policy accept;
        ip ttl {begins} accept
        ip6 hoplimit {begins} accept
        counter name survived drop
    }}
    chain quiet {{
        type filter hook output priority -300; policy drop;
        oif \"lo\" accept
        ip ttl {begins} accept
        ip6 hoplimit {begins} accept
    }}
    chain tracked {{
        type filter hook output priority 0; policy accept;
        ct state established accept
    }}
}}"
    )
}

/// How long a packet may be on its way on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

pub(super) struct Field {
    crowd: Sender,
    host: Sender,
    kernel: Option<Kernel>,
    /// The state loaded in the kernel, so that what it closes can be opened for the next state's flows.
    last: Option<State>,
}

impl Field {
    /// Wires and warms everything; nothing but the test's packets will arrive.
    pub(super) fn prepare(server: &Host, crowd: &Host, pit: &Host) -> Field {
        let mac = |host: &Host| {
            let text = shell(host, "ip -o link show dev eth0");
            let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
            words.nth(1).unwrap().to_owned()
        };
        let (server_mac, crowd_mac, pit_mac) = (mac(server), mac(crowd), mac(pit));
        // What goes to strangers or is only passed on ends in a pit. Nobody asks for neighbours.
        let into_pit = ["192.0.2.66", "192.0.2.77", "2001:db8:c::66", "2001:db8:c::77"];
        let neighbours = into_pit.map(|address| {
            format!("ip neigh replace {address} lladdr {pit_mac} dev sink nud permanent")
        });
        shell(
            server,
            &format!(
                "{}
                ip route replace default via 192.0.2.66 dev sink
                ip -6 route replace default via 2001:db8:c::66 dev sink
                ip neigh replace 198.51.100.9 lladdr {crowd_mac} dev eth0 nud permanent
                ip neigh replace 2001:db8:1::9 lladdr {crowd_mac} dev eth0 nud permanent",
                neighbours.join("\n")
            ),
        );
        shell(
            crowd,
            &format!(
                "ip neigh replace 198.51.100.1 lladdr {server_mac} dev eth0 nud permanent
                ip neigh replace 2001:db8:1::1 lladdr {server_mac} dev eth0 nud permanent
                ip route add 192.0.2.64/26 via 198.51.100.1
                ip -6 route add 2001:db8:c::/64 via 2001:db8:1::1"
            ),
        );
        shell(server, &format!("nft -f - <<'END'\n{}\nEND", observer()));
        server.set_kernel("netfilter/nf_conntrack_tcp_be_liberal", "1").unwrap();
        let senders = (Sender::in_host(crowd).unwrap(), Sender::in_host(server).unwrap());
        Field { crowd: senders.0, host: senders.1, kernel: None, last: None }
    }

    /// Puts a state into the kernel, with the flows that run when it comes. Afresh, nothing stands
    /// before, and peers can have begun flows.
    pub(super) fn set(&mut self, state: &mut State, cases: &[Case], afresh: bool) {
        if afresh {
            self.kernel().take_down();
        } else if let Some(mut last) = self.last.take() {
            last.records.blocks = Blocks::default();
            last.records.denials = Denials::default();
            last.records.bans = Bans::default();
            self.bring(&last);
        }
        for case in cases.iter().filter(|case| afresh || !case.needs_open_ground()) {
            for (by_host, packet) in case.beginning() {
                let sender = if by_host { &self.host } else { &self.crowd };
                sender.send(&packet).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
            }
        }
        // On their way through both network stacks.
        std::thread::sleep(Duration::from_millis(5));
        let stands = state.records.posture().protection.stands();
        self.last = stands.then(|| state.clone());
        self.bring(state);
        let kernel = self.kernel();
        let cut: Vec<_> =
            cases.iter().filter(|case| case.cut).filter_map(Case::live_flow).collect();
        if stands {
            kernel.firewall.cut(&cut).unwrap();
            let everywhere = [Family::V4, Family::V6].map(AddrRange::all).to_vec();
            kernel.firewall.unlearn(&Unlearn::Within(everywhere)).unwrap();
        }
        state.learned = state.registrars_by_tcp().filter(|_| stands).collect();
        if stands {
            let lasting = |(peer, _): (Peer, Time)| peer.lasting(peer.by.timeout());
            let peers: Vec<_> = state.registrars_by_tcp().map(lasting).collect();
            kernel.firewall.teach(&peers).unwrap();
        }
        let asking: Vec<_> = cases.iter().filter_map(|case| case.asking(state)).collect();
        for (packet, peer) in asking {
            self.host.send(&packet).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
            peer.filter(|_| stands)
                .into_iter()
                .for_each(|(peer, at)| state.learned.insert(peer, at));
        }
        self.compare_learned(state, stands);
        self.teach_conditions(state, stands);
    }

    /// Gives the kernel what it is to know of leases and calls, and nothing else.
    fn teach_conditions(&mut self, state: &mut State, stands: bool) {
        if !stands {
            return;
        }
        let kernel = self.kernel();
        let firewall = &mut kernel.firewall;
        let sets = [&condition::SETS[..], &[&KNOCKED]].concat();
        let there = firewall.learned(&sets).unwrap();
        let there = there.iter().map(|it| (it.set, it.key)).collect();
        firewall.unlearn(&Unlearn::Exactly(there)).unwrap();
        let lasting = state.conditions.iter().filter_map(|element| element.lasting(*NOW));
        firewall.teach(&lasting.collect::<Vec<_>>()).unwrap();
        knocks::open(&mut kernel.netlink, &state.table().1, state);
        let known = state.conditions.clone();
        known.into_iter().for_each(|element| state.learned.sets.learn(element, *NOW));
    }

    /// Packets of media make their senders ones that are in a call: what the kernel knows of that now.
    pub(super) fn read_calls(&mut self, state: &mut State) {
        if !state.records.posture().protection.stands() {
            return;
        }
        let found = self.kernel().firewall.learned(&[&condition::IN_CALL]).unwrap();
        state.learned.sets.forget(|set, _| *set == condition::IN_CALL);
        for it in found {
            state.learned.sets.learn(it.until(*NOW), *NOW);
        }
    }

    /// Brings the kernel's table to a state.
    fn bring(&mut self, state: &State) {
        let protection = &state.records.posture().protection;
        let trial = protection.trial_end().map(|_| Duration::from_secs(600));
        if protection.stands() {
            self.kernel().bring(state.table(), state.merged(), trial);
            let mut denied = Vec::new();
            state.records.denied(&mut |element| denied.extend(element.lasting(*NOW)));
            self.kernel().deny(denied);
        } else {
            self.kernel().take_down();
        }
    }

    /// Checks that the kernel knows exactly the expected peers.
    fn compare_learned(&mut self, state: &State, stands: bool) {
        let found =
            if stands { self.kernel().firewall.learned(&SETS).unwrap() } else { Vec::new() };
        let peer = |it: &Lasting| Some((Peer::of(it.set, &it.key)?, it.left));
        let mut found: Vec<(Peer, Duration)> = found.iter().filter_map(peer).collect();
        found.sort_unstable();
        let expected: Vec<Peer> = state.learned.at(*NOW).map(|(peer, _)| peer).collect();
        let mut peers: Vec<Peer> = found.iter().map(|(peer, _)| *peer).collect();
        peers.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(
            peers, expected,
            "the host's packets made other peers known than expected: {state:#?}"
        );
        for (peer, left) in found {
            let (all, margin) = (peer.by.timeout(), Duration::from_secs(20));
            assert!(left <= all && left + margin > all, "{peer:?} has {left:?} of {all:?} left");
        }
    }

    /// Sends the packet of a case; says how the kernel differs from the verdict.
    pub(super) fn try_out(
        &mut self,
        state: &State,
        case: &Case,
        verdict: &Verdict,
    ) -> Result<(), String> {
        let limited = matches!(verdict.reason, Reason::OpenService { limited: true, .. });
        if limited && state.is_tight() {
            // Under the limit of one, the second or third is dropped; what is not limited is not.
            let passed = (0..3).filter(|_| self.passes(case)).count();
            return if passed < 3 { Ok(()) } else { Err("it is not limited".to_owned()) };
        }
        // Once more before it counts: a stray packet of the kernel may have been counted.
        let differs = |field: &mut Field| field.passes(case) != verdict.passes;
        if differs(self) && differs(self) && differs(self) {
            let does = if verdict.passes { "drops" } else { "passes" };
            return Err(format!("it {does} what should not be"));
        }
        Ok(())
    }

    fn passes(&mut self, case: &Case) -> bool {
        let (arrived, survived) = self.counts();
        let sender = if case.packet.on_loopback { &self.host } else { &self.crowd };
        let packet = case.crafted();
        sender.send(&packet).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
        let start = now();
        loop {
            let (arrived_now, survived_now) = self.counts();
            if arrived_now > arrived {
                return survived_now > survived;
            }
            assert!(start.elapsed() < ON_ITS_WAY, "it never arrived: {packet:?}");
        }
    }

    fn counts(&mut self) -> (u64, u64) {
        let counters = self.kernel().netlink.counters("observe").unwrap();
        (counters["arrived"].packets, counters["survived"].packets)
    }

    /// Opened at the first use, which is inside the server.
    fn kernel(&mut self) -> &mut Kernel {
        self.kernel.get_or_insert_with(Kernel::open)
    }
}

fn shell(host: &Host, script: &str) -> String {
    let output = host.command("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", crate::support::told(&output));
    String::from_utf8(output.stdout).unwrap()
}
