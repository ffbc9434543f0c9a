//! What a stranger's packet passes, by the text of the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::Rate;
use crate::ruleset::{ConditionChain, HostPorts, KnockClass, KnockRules, OpenServices};
use crate::secret::Secret;
use crate::service::{Opening, Ports, Protocol};
use crate::watched::Watched;

/// A UDP packet of an address that is in no set, and begins no flow that is known.
#[derive(Clone, Copy)]
struct Packet {
    family: Family,
    port: u16,
    first: &'static [u8],
}

/// How a rule or a chain ends for a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The next rule.
    On,
    /// Back to the chain that jumped here.
    Return,
    Accept,
    Drop,
}

/// What a packet has passed.
#[derive(Default, Debug)]
struct Passed {
    /// The expressions into which nft translates what is evaluated (`nft --debug=netlink`).
    expressions: usize,
    /// The sets and maps of addresses that are asked.
    asked: Vec<String>,
    /// Where it was copied.
    copied: bool,
}

/// The chains by name, with their rules.
struct Rules(BTreeMap<String, Vec<String>>);

impl Rules {
    fn of(structure: &Structure) -> Rules {
        Rules::read(&render(structure))
    }

    fn read(text: &str) -> Rules {
        let (mut chains, mut name) = (BTreeMap::new(), None);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("\tchain ") {
                name = Some(rest.trim_end_matches(" {").to_owned());
            } else if line == "\t}" {
                name = None;
            } else if let (Some(name), Some(rule)) = (&name, line.strip_prefix("\t\t")) {
                let rules: &mut Vec<String> = chains.entry(name.clone()).or_default();
                rules.extend((!rule.starts_with("type filter")).then(|| rule.to_owned()));
            }
        }
        Rules(chains)
    }

    /// What a packet passes in prerouting, and whether it is accepted there.
    fn judge(&self, packet: Packet) -> (Passed, bool) {
        let mut passed = Passed::default();
        for chain in ["raw_prerouting", "prerouting"] {
            if self.chain(chain, packet, &mut passed) == End::Drop {
                return (passed, false);
            }
        }
        (passed, true)
    }

    /// Whether they accept a packet in one base chain.
    fn accept_in(&self, chain: &str, packet: Packet) -> bool {
        self.chain(chain, packet, &mut Passed::default()) != End::Drop
    }

    fn chain(&self, name: &str, packet: Packet, passed: &mut Passed) -> End {
        for rule in self.0.get(name).unwrap_or_else(|| panic!("no chain {name}")) {
            match self.rule(rule, packet, passed) {
                End::On => {}
                end => return end,
            }
        }
        End::Return
    }

    fn rule(&self, rule: &str, packet: Packet, passed: &mut Passed) -> End {
        let mut rest = rule;
        while !rest.is_empty() {
            if let Some(end) = self.verdict(rest, packet, passed) {
                return end;
            }
            let (expressions, found) = condition(&mut rest, packet, passed);
            passed.expressions += expressions;
            match found {
                Found::Yes => {}
                Found::No => return End::On,
                Found::Verdict(verdict) => {
                    let end = self.verdict(&verdict, packet, passed);
                    return end.unwrap_or_else(|| panic!("no verdict: {verdict}"));
                }
            }
        }
        End::On
    }

    fn verdict(&self, text: &str, packet: Packet, passed: &mut Passed) -> Option<End> {
        let mut words = text.split(' ');
        let (verdict, chain) = (words.next()?, words.next().unwrap_or_default());
        let end = match verdict {
            "accept" => End::Accept,
            "drop" => End::Drop,
            "return" => End::Return,
            "goto" => self.chain(chain, packet, passed),
            // It is copied there, and comes back.
            "jump" if chain.ends_with("_request") => {
                passed.copied = true;
                End::On
            }
            "jump" => match self.chain(chain, packet, passed) {
                End::Return => End::On,
                end => end,
            },
            _ => return None,
        };
        passed.expressions += 1;
        Some(end)
    }
}

enum Found {
    No,
    Yes,
    /// The element of a verdict map.
    Verdict(String),
}

/// Takes one condition, or a counter, from the front of a rule: how many expressions it is for the packet, and
/// whether it is met. Before a field of a protocol, two ask for the protocol.
fn condition(rest: &mut &str, packet: Packet, passed: &mut Passed) -> (usize, Found) {
    let take = |rest: &mut &str, words: usize| {
        let end = rest.match_indices(' ').nth(words - 1).map_or(rest.len(), |(at, _)| at + 1);
        let (taken, after) = rest.split_at(end);
        *rest = after;
        taken.trim_end().to_owned()
    };
    let met = |is: bool| if is { Found::Yes } else { Found::No };
    let words: Vec<&str> = rest.split(' ').collect();
    match words.as_slice() {
        ["counter", "name", ..] => {
            take(rest, 3);
            (1, Found::Yes)
        }
        ["iif" | "tcp" | "fib", ..] => (2, Found::No),
        ["meta", "l4proto", number, ..] => {
            let is = *number == "17";
            take(rest, 3);
            (2, met(is))
        }
        ["meta", "nfproto", "ipv6", ..] => {
            take(rest, 3);
            (2, met(packet.family == Family::V6))
        }
        ["ct", "state", ..] => (3, Found::No),
        ["ip" | "ip6", "saddr", ".", ..] => (8, Found::No),
        [family @ ("ip" | "ip6"), "saddr", ..] => {
            let own = if packet.family == Family::V4 { "ip" } else { "ip6" };
            if *family != own {
                return (2, Found::No);
            }
            let set = words.iter().find(|word| word.starts_with('@')).unwrap();
            passed.asked.push(set.trim_start_matches('@').to_owned());
            let (is_masked, is_negated) = (words[2] == "&", words[2] == "!=");
            take(rest, 4);
            (if is_masked { 5 } else { 4 }, met(is_negated))
        }
        ["udp", "length", ..] => {
            take(rest, 3);
            (2, met(true))
        }
        [kind @ ("udp" | "th"), "dport", ..] => {
            let asked = if *kind == "udp" { 4 } else { 2 };
            take(rest, 2);
            (asked, met(ports(rest, packet.port)))
        }
        [field, "&", ..] if field.starts_with("@th,") => (3, content(rest, packet)),
        [field, ..] if field.starts_with("@th,") => (2, content(rest, packet)),
        _ => panic!("unknown: {rest}"),
    }
}

/// Takes a port, a run of ports or a set of them: whether the port is among them.
fn ports(rest: &mut &str, port: u16) -> bool {
    let ends = if rest.starts_with('{') { " } " } else { " " };
    let (list, after) = rest.split_once(ends).unwrap();
    *rest = after;
    let list = list.trim_start_matches("{ ");
    list.split(", ").any(|run| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
    })
}

/// Takes a comparison with what the packet contains: `@th,64,32 vmap { ... }`, `@th,64,16 { ... }`, or with one
/// value.
fn content(rest: &mut &str, packet: Packet) -> Found {
    let (field, after) = rest.split_once(' ').unwrap();
    let numbers: Vec<usize> = field.split(',').skip(1).map(|it| it.parse().unwrap()).collect();
    // The payload begins behind the eight bytes of the UDP header.
    let (from, bytes) = (numbers[0] / 8 - 8, numbers[1] / 8);
    let value = packet.first.get(from..from + bytes);
    let value = value.map(|bytes| bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte)));
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let is = |text: &str| value == Some(number(text));
    let met = |is: bool| if is { Found::Yes } else { Found::No };
    if let Some(map) = after.strip_prefix("vmap { ") {
        let (map, after) = map.split_once(" }").unwrap();
        *rest = after.trim_start();
        let mut elements = map.split(", ").filter_map(|element| element.split_once(" : "));
        let found = elements.find(|(key, _)| is(key));
        return found.map_or(Found::No, |(_, verdict)| Found::Verdict(verdict.to_owned()));
    }
    if let Some(set) = after.strip_prefix("{ ") {
        let (set, after) = set.split_once(" }").unwrap();
        *rest = after.trim_start();
        return met(set.split(", ").any(is));
    }
    if let Some(masked) = after.strip_prefix("& ") {
        let (mask, after) = masked.split_once(" == ").unwrap();
        let (one, after) = after.split_once(' ').unwrap();
        *rest = after;
        return met(value.is_some_and(|value| value & number(mask) == number(one)));
    }
    let (one, after) = after.split_once(' ').unwrap();
    *rest = after;
    met(is(one))
}

fn udp(first: u16, last: u16) -> Ports {
    Ports { protocol: Protocol::Udp, first, last }
}

/// A server in the mode `allowlist` without users.
fn closed() -> Structure {
    let ports = HostPorts {
        sip: vec![udp(5060, 5060)],
        iax: vec![udp(4569, 4569)],
        media: vec![udp(10_000, 20_000)],
        sip_tcp: vec![Ports { protocol: Protocol::Tcp, first: 5060, last: 5061 }],
        ..HostPorts::default()
    };
    Structure { ports, ..Structure::default() }
}

const SPA_PORT: u16 = 40_000;

/// The same with users.
fn with(knock: bool, spa: bool, agents: bool) -> Structure {
    let mut structure = closed();
    if knock {
        let condition = "if.lease_28800s.sip".to_owned();
        let class = KnockClass { id: "1".to_owned(), condition, idle: 28_800, lasts: 604_800 };
        let chain = ConditionChain { windows: None, idle: Some(28_800), opening: None };
        structure.conditions.insert(class.condition.clone(), chain);
        let sequences = vec![(Secret::new([4000, 2000, 3000]), 0)];
        structure.knocks = KnockRules { sequences, classes: vec![class] };
    }
    let ports = if spa { vec![SPA_PORT] } else { Vec::new() };
    let watched = Watched { spa: Secret::new(ports), agents, ..Watched::default() };
    structure.watched = Arc::new(watched);
    structure
}

/// What users cost a stranger's UDP packets: one look-up of its source where anybody can knock, and of its port
/// where anybody sends SPA packets; the way there is so much shorter that it passes no more expressions. What
/// may be somebody's REGISTER with a secret user agent is compared once more.
#[test]
fn users_lengthen_no_way_of_a_strangers_datagram() {
    let without = Rules::of(&closed());
    for (knock, spa, agents) in
        [(true, false, false), (false, true, false), (true, true, false), (true, true, true)]
    {
        let with = Rules::of(&with(knock, spa, agents));
        for (port, first) in [
            (5060, &b"REGISTER sip:192.0.2.1 SIP/2.0\r\n"[..]),
            (5060, b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\n"),
            (5060, b"\0\0"),
            (4569, b"\x80\0\0\0\0\0\0\0\0\0\x06\x0d"),
            (10_000, &[0x80; 32]),
            (53, b"query"),
        ] {
            for family in [Family::V4, Family::V6] {
                let packet = Packet { family, port, first };
                let ((before, _), (after, accepted)) = (without.judge(packet), with.judge(packet));
                let case = format!("{family:?} port {port}, {knock} {spa} {agents}");
                assert!(!accepted, "{case}");
                let may_open = agents && first.starts_with(b"REGISTER");
                assert_eq!(after.copied, may_open, "{case}");
                let more = if may_open { 5 } else { 0 };
                assert!(
                    after.expressions <= before.expressions + more,
                    "{case}: {} expressions, {} without users",
                    after.expressions,
                    before.expressions
                );
                let digit = if family == Family::V4 { '4' } else { '6' };
                let known = knock.then(|| format!("{}{digit}", names::KNOCK_KNOWN));
                let expected: Vec<String> = before.asked.iter().cloned().chain(known).collect();
                assert_eq!(after.asked, expected, "{case}");
            }
        }
    }
}

/// The packets for which these ways are there.
#[test]
fn what_opens_is_copied_and_dropped() {
    for (knock, spa, agents) in [(false, true, false), (true, true, true)] {
        let with = Rules::of(&with(knock, spa, agents));
        let first = b"REGISTER sip:192.0.2.1 SIP/2.0\r\n";
        for (port, copied) in [(SPA_PORT, true), (5060, agents), (4569, false), (53, false)] {
            let (passed, accepted) = with.judge(Packet { family: Family::V4, port, first });
            assert_eq!((passed.copied, accepted), (copied, false), "{port}");
        }
    }
}

/// Strangers reach the website only.
fn open() -> Structure {
    let web = vec![Ports { protocol: Protocol::Tcp, first: 443, last: 443 }];
    let opening = Opening { ports: web, ..Opening::default() };
    let rate = Rate { packets: 50, burst: 200 };
    let open = OpenServices {
        limited: opening.clone(),
        opening,
        admissions: Vec::new(),
        per_source: rate,
        total: rate,
    };
    Structure { open: Some(open), ..closed() }
}

/// A packet that is between two base chains while rules are loaded passes the old rules of the first and
/// the new ones of the second: no step from one structure to another accepts it between them.
#[test]
fn a_packet_under_way_while_rules_are_loaded_is_judged() {
    let mut elsewhere = closed();
    elsewhere.ports.sip = vec![udp(5070, 5070)];
    let structures =
        [closed(), open(), elsewhere, with(true, true, true), with(false, true, false)];
    let mut twice = 0;
    for (old, new) in structures.iter().flat_map(|old| structures.iter().map(move |new| (old, new)))
    {
        let mut texts = vec![render(old)];
        if new.raw_prerouting_judges_more_than(Some(old)) {
            texts.push(render_judging_twice(new));
            twice += 1;
        }
        texts.push(render(new));
        let loads: Vec<Rules> = texts.iter().map(|text| Rules::read(text)).collect();
        for pair in loads.windows(2) {
            for port in [4569, 5060, 5070, 53] {
                let first = b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\n";
                let packet = Packet { family: Family::V4, port, first };
                let accepted = pair[0].accept_in("raw_prerouting", packet)
                    && pair[1].accept_in("prerouting", packet);
                assert!(!accepted, "port {port}, from {old:?} to {new:?}");
            }
        }
    }
    assert!((1..structures.len() * structures.len()).contains(&twice), "{twice}");
}
