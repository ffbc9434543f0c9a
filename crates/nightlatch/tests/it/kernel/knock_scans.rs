//! The kernel's tables for knocks, against the machine that they are made of: random SYNs of some sources,
//! and random scans of all ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nightlatch::shell::clock;
use nightlatch::shell::firewall::Firewall;
use nightlatch_core::config::Rules;
use nightlatch_core::features::users::{self, Secrets, User};
use nightlatch_core::features::{State, firewall};
use nightlatch_core::knock::{KNOCKED, Machine, Outcome, Source};
use nightlatch_core::policy::World;
use nightlatch_core::posture::Protection;
use nightlatch_core::ruleset;
use nightlatch_core::secret::Secret;
use nightlatch_core::service::{Catalogue, Grant, Protocol};
use nightlatch_core::signalling::Learned;
use nightlatch_lab::packet::{Packet, Sender, flags};
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{TIMEOUT, both, shell};
use crate::support::{self, wait_until};

/// Numbers that follow from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from((number * u64::try_from(bound).unwrap()) >> 32).unwrap()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// So many users, each with a sequence as users get them.
fn sequences(users: usize, catalogue: &Catalogue, numbers: &mut Numbers) -> Vec<[u16; 3]> {
    let (services, mut taken) = (catalogue.every_port(), BTreeSet::new());
    let mut all = Vec::new();
    while all.len() < users {
        let ports = [(); 3].map(|()| u16::try_from(1024 + numbers.below(64_511)).unwrap());
        let [a, b, c] = ports;
        let is_free =
            |port: &u16| !taken.contains(port) && !services.contains(Protocol::Tcp, *port);
        let apart = [(a, b), (b, c), (a, c)].iter().all(|(one, other)| one.abs_diff(*other) > 1);
        if apart && (a < b) != (b < c) && ports.iter().all(is_free) {
            taken.extend(ports);
            all.push(ports);
        }
    }
    all
}

/// The firewall of a server whose users have these sequences. It runs inside the server.
fn load(sequences: &[[u16; 3]]) -> Firewall {
    let (mut state, now) = (State::default(), clock::now());
    let _ = state.apply(firewall::set_protection(Protection::On { since: now }));
    for (number, ports) in sequences.iter().enumerate() {
        let user = User {
            name: format!("user-{number}").parse().unwrap(),
            services: Grant::of([["sip", "web"][number % 2].parse().unwrap()]),
            credentials: BTreeMap::new(),
            idle_seconds: None,
            hours: None,
            any_address: false,
            require_address: false,
            permanent: false,
            note: String::new(),
            since: now,
            by: String::new(),
            card_shown: None,
        };
        let secrets = Secrets { knock: Some(Secret::new(*ports)), ..Secrets::default() };
        for change in users::put(user, secrets) {
            let _ = state.apply(change);
        }
    }
    let (rules, learned) = (Rules::default(), Learned::default());
    let catalogue = rules.catalogue(&state.posture().site);
    let world = World {
        state: &state,
        rules: &rules,
        catalogue: &catalogue,
        learned: &learned,
        assume_listed: None,
        now,
    };
    let ruleset = ruleset::compile(&world, Arc::default());
    let mut firewall = Firewall::open().unwrap();
    firewall.load_with_lists(ruleset, None, Vec::new()).unwrap().unwrap();
    firewall
}

fn catalogue() -> Catalogue {
    Rules::default().catalogue(&State::default().posture().site)
}

/// Addresses from which nobody answers, of a family.
fn sources(like: IpAddr, count: usize) -> Vec<IpAddr> {
    let number = |at: usize| u16::try_from(at + 1).unwrap();
    let source = |at| match like {
        IpAddr::V4(_) => {
            let [high, low] = number(at).to_be_bytes();
            IpAddr::from([198, 18, high, low])
        }
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, number(at)]),
    };
    (0..count).map(source).collect()
}

/// How far the kernel says the sources have come: the elements of the map, by address.
fn stages(server: &Host) -> BTreeMap<IpAddr, u32> {
    let mut all = BTreeMap::new();
    for digit in ['4', '6'] {
        let text = shell(server, &format!("nft -j list map inet nightlatch knock_at{digit}"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let elements = json["nftables"][1]["map"]["elem"].as_array().cloned().unwrap_or_default();
        for element in elements {
            let address = element[0]["elem"]["val"].as_str().unwrap().parse().unwrap();
            all.insert(address, u32::try_from(element[1].as_u64().unwrap()).unwrap());
        }
    }
    all
}

/// How many SYNs the kernel has dropped.
fn dropped(firewall: &mut Firewall) -> u64 {
    firewall.dropped().get("silent").copied().unwrap_or_default()
}

fn opened(firewall: &mut Firewall) -> BTreeSet<(IpAddr, u16)> {
    let found = firewall.learned(&[&KNOCKED]).unwrap();
    found.into_iter().map(|it| (it.key.address, it.key.local_port)).collect()
}

/// How many sources of a family take part in a round. With few, the kernel now and then takes no element for a
/// moment (`knock_full` counts that): what it deletes stays in its hash table until it collects it, and one
/// source would delete and add dozens within milliseconds.
const EACH: usize = 16;

#[test]
fn the_kernel_moves_as_the_machine_does() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let sender = Sender::in_host(attacker).unwrap();
    let seed = clock::now().millis().unsigned_abs() | 1;
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let sequences = sequences(6, &catalogue(), &mut numbers);
    let machine = Machine::new(sequences.iter().copied());
    let mut firewall = server.run(|| load(&sequences)).unwrap();
    let [own4, own6] = both(server);
    let mut outcomes = BTreeMap::new();
    for round in 0..8 {
        // Other sources each time, so that fifteen seconds never pass.
        let all: Vec<_> = [own4, own6]
            .into_iter()
            .flat_map(|own| {
                sources(own, 8 * EACH)
                    .split_off(round * EACH)
                    .into_iter()
                    .take(EACH)
                    .map(move |it| (it, own))
            })
            .collect();
        let mut sources: BTreeMap<IpAddr, Source> = BTreeMap::new();
        let mut expected = opened(&mut firewall);
        let (now, before, mut syns) = (clock::now(), dropped(&mut firewall), 0);
        for _ in 0..300 {
            let (from, own) = numbers.pick(&all);
            let sequence = numbers.pick(&sequences);
            let source = sources.entry(from).or_default();
            let (port, is_service) = match (numbers.below(20), &*source) {
                // Of a service that no sequence opens, so that it is dropped and counted too.
                (0, _) => (22, true),
                (1, _) => (numbers.pick(&[1, 61_000, sequence[0] ^ 1]), false),
                (2..=5, _) => (numbers.pick(&sequence), false),
                // Mostly what goes on, so that something opens.
                (_, Source::Begun { sequence, second, .. }) => {
                    let of = sequences[usize::try_from(*sequence).unwrap()];
                    (of[if *second { 2 } else { 1 }], false)
                }
                _ => (sequence[0], false),
            };
            if !is_service {
                let outcome = machine.syn(source, port, now);
                *outcomes
                    .entry(format!("{outcome:?}").split('(').next().unwrap().to_owned())
                    .or_insert(0) += 1;
                if let Outcome::Opened(last) = outcome {
                    expected.insert((from, last));
                }
            }
            let packet =
                Packet::tcp(SocketAddr::new(from, 40_000), SocketAddr::new(own, port), flags::SYN);
            sender.send(&packet).unwrap();
            // What is no SYN moves nothing.
            for other in [flags::ACK, flags::SYN | flags::ACK, flags::RST] {
                let port = numbers.pick(&sequence);
                let to = SocketAddr::new(own, port);
                if numbers.below(8) == 0 {
                    sender.send(&Packet::tcp(SocketAddr::new(from, 40_000), to, other)).unwrap();
                    syns += 1;
                }
            }
            syns += 1;
        }
        wait_until("all have arrived", TIMEOUT, || dropped(&mut firewall) >= before + syns);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(opened(&mut firewall), expected, "seed {seed}");
        let stages = stages(server);
        for (address, source) in sources {
            let expected = match source {
                Source::Unknown => None,
                Source::Begun { sequence, second, .. } => {
                    let of = sequences[usize::try_from(sequence).unwrap()];
                    Some(if second { 65_536 + u32::from(of[1]) } else { u32::from(of[0]) })
                }
            };
            assert_eq!(
                stages.get(&address).copied(),
                expected,
                "{address} {source:?}, seed {seed}"
            );
        }
    }
    println!("{outcomes:?}");
    for outcome in ["Nothing", "Begun", "Repeated", "Advanced", "Opened", "Reset", "BegunAnew"] {
        assert!(outcomes.contains_key(outcome), "{outcome}: {outcomes:?}");
    }
}

/// `NIGHTLATCH_SCANS` sets how many.
#[test]
fn no_scan_of_all_ports_opens_anything() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let sender = Sender::in_host(attacker).unwrap();
    let scans = std::env::var("NIGHTLATCH_SCANS").map_or(2, |scans| scans.parse().unwrap());
    let mut numbers = Numbers(7);
    let sequences = sequences(1_000, &catalogue(), &mut numbers);
    let mut firewall = server.run(|| load(&sequences)).unwrap();
    let mut ports: Vec<u16> = (1..=u16::MAX).collect();
    let before = dropped(&mut firewall);
    let mut sent = 0;
    for scan in 0..scans {
        for last in (1..ports.len()).rev() {
            ports.swap(last, numbers.below(last + 1));
        }
        let own = both(server)[scan % 2];
        let from = SocketAddr::new(sources(own, scan + 1)[scan], 40_000);
        let template = Packet::tcp(from, SocketAddr::new(own, 1), flags::SYN).bytes();
        let header = if own.is_ipv4() { 20 } else { 40 };
        for port in &ports {
            let mut bytes = template.clone();
            bytes[header + 2..header + 4].copy_from_slice(&port.to_be_bytes());
            // The checksum does not matter to what drops the packet.
            while sender.send_bytes(own, &bytes).is_err() {
                std::thread::yield_now();
            }
            sent += 1;
        }
    }
    let arrived = dropped(&mut firewall) - before;
    println!("{scans} scans, {sent} SYNs, {arrived} arrived");
    assert!(arrived > sent * 99 / 100, "{arrived} of {sent} arrived");
    assert_eq!(opened(&mut firewall), BTreeSet::new());
    // The last sequence opens all the same.
    let own = both(server)[0];
    let from = SocketAddr::new(sources(own, 60_000)[59_999], 40_000);
    for port in sequences[999] {
        sender.send(&Packet::tcp(from, SocketAddr::new(own, port), flags::SYN)).unwrap();
    }
    wait_until("it opens", TIMEOUT, || opened(&mut firewall).len() == 1);
}
