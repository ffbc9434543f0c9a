//! Every rule of the order, one by one, and each against the next.

use super::*;
use crate::audit::ourselves;
use crate::features::State;
use crate::features::accounts::{Account, Entry};
use crate::features::blocks::Block;
use crate::features::denials::{Denial, DenialCause};
use crate::features::{accounts, blocks, denials, firewall};
use crate::posture::Protection;
use crate::service::Grant;
use crate::signalling::FirstBytes;

/// The moment of every judgement here.
const NOW: Time = Time::from_millis(1_000_000);

/// A state from lines such as `allow office 203.0.113.0/24 sip,web`, `block 203.0.113.7`,
/// `mode open`, `off`; an end in seconds from now behind `for` (`for -1`: it is over).
fn state(lines: &[&str]) -> State {
    let mut state = State::default();
    let _ = state.apply(firewall::set_protection(Protection::On { since: NOW }));
    for line in lines {
        let (line, until) = match line.split_once(" for ") {
            Some((line, seconds)) => {
                let millis = seconds.parse::<i64>().unwrap() * 1000;
                (line, Some(Time::from_millis(NOW.millis() + millis)))
            }
            None => (*line, None),
        };
        let by = ourselves().to_string();
        let words: Vec<&str> = line.split(' ').collect();
        let _ = state.apply(match words.as_slice() {
            ["allow", name, ranges, services] => accounts::put(Account {
                hours: None,
                name: name.parse().unwrap(),
                entries: ranges.split(',').map(|r| Entry::Range(r.parse().unwrap())).collect(),
                services: Grant::parse(services).unwrap(),
                until,
                note: String::new(),
                allow_private: false,
                since: NOW,
                by,
            }),
            ["block", range] => {
                let (range, reason) = (range.parse().unwrap(), String::new());
                blocks::put(Block { range, until, reason, since: NOW, by })
            }
            ["mode", mode] => firewall::set_mode(mode.parse().unwrap()),
            ["deny", range] => {
                let cause = DenialCause::AccountGone { account: "gone".to_owned() };
                denials::put(Denial::new(range.parse().unwrap(), cause, NOW))
            }
            ["registered" | "called" | "asked" | "tcp", ..] => continue,
            ["off"] => firewall::set_protection(Protection::Off),
            _ => panic!("{line}"),
        });
    }
    state
}

/// A packet from words such as `203.0.113.7 udp/5060`; further words: `running` (the peer began
/// the flow), `answer` (the host did), `loopback`, `broadcast`, `multicast`, `elsewhere`,
/// `hops=255`, `from=67`.
fn packet(text: &str) -> Packet {
    let mut words = text.split(' ');
    let (peer, what) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
    let (mut from, mut hop_limit) = (40_000, 64);
    let mut packet = Packet::new(peer, What::Other(0));
    for word in words {
        match (word, word.split_once('=')) {
            ("running", _) => packet.flow = Flow::PeerBegan,
            ("answer", _) => packet.flow = Flow::HostBegan,
            ("loopback", _) => packet.on_loopback = true,
            ("broadcast", _) => packet.to = To::Broadcast,
            ("multicast", _) => packet.to = To::Multicast,
            ("elsewhere", _) => packet.to = To::Elsewhere,
            // The rest of the line is the payload.
            (_, Some(("payload", _))) => {
                let (_, payload) = text.split_once("payload=").unwrap();
                packet.first = FirstBytes::of(payload.as_bytes());
                break;
            }
            (_, Some(("hops", number))) => hop_limit = number.parse().unwrap(),
            (_, Some(("from", number))) => from = number.parse().unwrap(),
            _ => panic!("{word}"),
        }
    }
    let (protocol, number) = what.split_once('/').unwrap();
    packet.what = match protocol {
        "tcp" => What::Tcp { port: number.parse().unwrap() },
        "udp" => What::Udp { from, port: number.parse().unwrap() },
        "icmp" => {
            let (kind, code) = number.split_once('.').unwrap_or((number, "0"));
            What::Icmp { kind: kind.parse().unwrap(), code: code.parse().unwrap() }
        }
        "icmp6" => What::Icmp6 { kind: number.parse().unwrap(), hop_limit },
        "other" => What::Other(number.parse().unwrap()),
        _ => panic!("{protocol}"),
    };
    packet
}

fn shown(verdict: &Verdict) -> String {
    let reason = match &verdict.reason {
        Reason::Blocked { range } => format!("blocked {range}"),
        Reason::Denied { range } => format!("denied {range}"),
        Reason::Peer { by, .. } => format!("{by:?}").to_lowercase(),
        Reason::Account { names } => format!("account {}", names.join("+")),
        Reason::OpenService { service, limited: true } => format!("open {service} limited"),
        Reason::OpenService { service, limited: false } => format!("open {service}"),
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{} {reason}", if verdict.passes { "pass" } else { "drop" })
}

/// Parses known peers, e.g. `registered 203.0.113.70 5060`.
fn learned(lines: &[&str]) -> Learned {
    let peers = lines.iter().filter_map(|line| {
        let [by, address, port] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let by = match by {
            "registered" => LearnedBy::Registered,
            "called" => LearnedBy::Called,
            "asked" => LearnedBy::Asked,
            "tcp" => LearnedBy::RegisteredByTcp,
            _ => return None,
        };
        let local_port: u16 = port.parse().unwrap();
        let port = if local_port == 0 { 0 } else { 40_000 };
        let peer = Peer { by, address: address.parse().unwrap(), port, local_port };
        Some((peer, NOW.after(by.timeout())))
    });
    peers.collect()
}

fn check(lines: &[&str], what_arrives: &str, expected: &str) {
    let (state, rules) = (state(lines), Rules::default());
    let catalogue = rules.catalogue(&state.posture().site);
    let learned = learned(lines);
    let world = World {
        state: &state,
        rules: &rules,
        catalogue: &catalogue,
        assume_listed: None,
        learned: &learned,
        now: NOW,
    };
    let verdict = judge(&world, &packet(what_arrives));
    assert_eq!(shown(&verdict), expected, "{lines:?}: {what_arrives}");
}

#[test]
fn off_lets_everything_through() {
    check(&["off"], "192.0.2.1 tcp/22", "pass off");
    check(&["off", "block 192.0.2.1"], "192.0.2.1 udp/5060", "pass off");
}

#[test]
fn loopback_is_never_judged() {
    check(&[], "127.0.0.1 tcp/5038 loopback", "pass loopback");
    check(&["block 192.0.2.1"], "192.0.2.1 tcp/80 loopback", "pass loopback");
    // The address alone proves nothing: on the wire anybody can write it.
    check(&[], "127.0.0.1 tcp/5038", "drop stranger");
    check(&[], "::1 tcp/5038", "drop stranger");
}

#[test]
fn what_runs_goes_on_unless_its_peer_is_blocked() {
    check(&[], "192.0.2.1 udp/34567 from=53 answer", "pass answer");
    check(&[], "192.0.2.1 udp/5070 running", "pass running");
    check(&[], "192.0.2.1 icmp/0 answer", "pass answer");
    check(&["block 192.0.2.0/24"], "192.0.2.1 udp/5060 answer", "drop blocked 192.0.2.0/24");
    check(&["block 192.0.2.1"], "192.0.2.1 udp/5070 running", "drop blocked 192.0.2.1");
    // Inside a wider block an account's flows go on, also those to services it has no longer.
    let inside = ["block 192.0.2.0/24", "allow joe 192.0.2.1 sip"];
    check(&inside, "192.0.2.1 tcp/22 running", "pass running");
    check(&inside, "192.0.2.1 tcp/22 answer", "pass answer");
    check(&["block 192.0.2.1 for -1"], "192.0.2.1 udp/5070 running", "pass running");
}

#[test]
fn in_open_mode_guessers_stay_under_the_limits_in_a_running_flow_too() {
    let open = ["mode open", "allow joe 192.0.2.1 sip"];
    check(&open, "203.0.113.9 tcp/5060 running", "pass open sip limited");
    check(&open, "203.0.113.9 tcp/5060 answer", "pass answer");
    check(&open, "203.0.113.9 udp/12000 running", "pass running");
    check(&open, "192.0.2.1 tcp/5060 running", "pass running");
    check(&[], "203.0.113.9 tcp/5060 running", "pass running");
    // UDP signalling is judged packet by packet, whoever began the flow.
    check(&open, "203.0.113.9 udp/5060 answer", "pass open sip limited");
    check(&open, "192.0.2.1 udp/5060 running", "pass account joe");
    check(&[], "203.0.113.9 udp/5060 answer", "drop stranger");
}

#[test]
fn what_the_protocols_cannot_live_without_passes() {
    for (packet, passes) in [
        ("192.0.2.1 icmp/3.4", true),
        ("192.0.2.1 icmp/3.1", false),
        ("192.0.2.1 icmp/8", false),
        ("2001:db8::1 icmp6/2", true),
        ("2001:db8::1 icmp6/1", false),
        ("2001:db8::1 icmp6/128", false),
        ("fe80::1 icmp6/133 hops=255", true),
        ("fe80::1 icmp6/134 hops=255 multicast", true),
        ("2001:db8::1 icmp6/135 hops=255", true),
        ("2001:db8::1 icmp6/136 hops=255", true),
        ("2001:db8::1 icmp6/135 hops=254", false),
        ("fe80::1 icmp6/137 hops=255", false),
        ("fe80::1 icmp6/130 hops=1 multicast", true),
        ("fe80::1 icmp6/143 hops=1 multicast", true),
        ("fe80::1 icmp6/130 hops=255 multicast", false),
        ("2001:db8::1 icmp6/130 hops=1 multicast", false),
        ("198.51.100.254 udp/68 from=67 broadcast", true),
        ("198.51.100.254 udp/68 from=67", false),
        ("198.51.100.254 udp/68 from=66 broadcast", false),
        ("fe80::1 udp/546 from=547", true),
        ("2001:db8::1 udp/546 from=547", false),
    ] {
        check(&[], packet, if passes { "pass essential" } else { "drop stranger" });
    }
    // A block does not cut the link's own business: neither does the kernel's table.
    check(&["block 2001:db8::1"], "2001:db8::1 icmp6/135 hops=255", "pass essential");
}

#[test]
fn the_more_specific_wins_and_the_block_where_both_are_equal() {
    for (lines, expected) in [
        (["allow a 192.0.2.0/24 all", "block 192.0.2.1"], "drop blocked 192.0.2.1"),
        (["allow a 192.0.2.0/24 all", "block 192.0.2.0/24"], "drop blocked 192.0.2.0/24"),
        (["allow a 192.0.2.1 all", "block 192.0.2.0/24"], "pass account a"),
        (["allow a 192.0.2.0-192.0.2.2 all", "block 192.0.2.0/30"], "pass account a"),
        // Equal in width, though not the same: the block.
        (["allow a 192.0.2.0-192.0.2.3 all", "block 192.0.2.1-192.0.2.4"], BLOCKED_RANGE),
        // An account counts with its narrowest range.
        (["allow a 192.0.2.0/24,192.0.2.1 all", "block 192.0.2.0/30"], "pass account a"),
        (["allow a 192.0.2.0/24 all", "block 192.0.2.1 for -1"], "pass account a"),
        (["allow a 192.0.2.1 all for -1", "block 192.0.2.0/24"], "drop blocked 192.0.2.0/24"),
    ] {
        check(&lines, "192.0.2.1 tcp/22", expected);
    }
    // Of several blocks the most specific one is named.
    let two = ["block 192.0.2.0/24", "block 192.0.2.0/30"];
    check(&two, "192.0.2.1 tcp/22", "drop blocked 192.0.2.0/30");
    // IPv4 written as IPv6 is IPv4.
    check(&["block 192.0.2.1"], "::ffff:192.0.2.1 tcp/22", "drop blocked 192.0.2.1");
}

const BLOCKED_RANGE: &str = "drop blocked 192.0.2.1-192.0.2.4";

#[test]
fn an_account_opens_its_services() {
    let sip = ["allow office 192.0.2.0/24,2001:db8:2::/48 sip"];
    for (packet, expected) in [
        ("192.0.2.7 udp/5060", "pass account office"),
        ("192.0.2.7 tcp/5060", "pass account office"),
        ("192.0.2.7 udp/10000", "pass account office"),
        ("192.0.2.7 udp/20000", "pass account office"),
        ("192.0.2.7 udp/20001", "drop stranger"),
        ("192.0.2.7 tcp/10000", "drop stranger"),
        ("192.0.2.7 tcp/22", "drop stranger"),
        ("192.0.2.7 icmp/8", "drop stranger"),
        ("192.0.2.7 other/47", "drop stranger"),
        ("2001:db8:2::7 udp/5060", "pass account office"),
        ("2001:db8:3::7 udp/5060", "drop stranger"),
    ] {
        check(&sip, packet, expected);
    }
    let all = ["allow office 192.0.2.0/24 all"];
    for packet in ["tcp/1", "udp/65535", "icmp/8", "icmp/13", "other/47", "other/132"] {
        check(&all, &format!("192.0.2.7 {packet}"), "pass account office");
    }
    let ping = ["allow office 192.0.2.0/24 ping"];
    check(&ping, "192.0.2.7 icmp/8", "pass account office");
    check(&ping, "192.0.2.7 icmp/13", "drop stranger");
    // A name without a service (the configuration no longer has it) opens nothing.
    check(&["allow office 192.0.2.0/24 gone"], "192.0.2.7 udp/5060", "drop stranger");
}

#[test]
fn of_several_accounts_the_union_counts_and_each_for_itself() {
    let two = ["allow a 192.0.2.0/24 sip", "allow b 192.0.2.7 web,sip"];
    check(&two, "192.0.2.7 udp/5060", "pass account a+b");
    check(&two, "192.0.2.7 tcp/443", "pass account b");
    check(&two, "192.0.2.8 tcp/443", "drop stranger");
    let one = ["allow a 192.0.2.0/24 sip", "allow b 192.0.2.7 web,sip for -1"];
    check(&one, "192.0.2.7 udp/5060", "pass account a");
    check(&one, "192.0.2.7 tcp/443", "drop stranger");
    // An end holds from its very moment on.
    check(&["allow a 192.0.2.7 sip for 0"], "192.0.2.7 udp/5060", "drop stranger");
    check(&["allow a 192.0.2.7 sip for 1"], "192.0.2.7 udp/5060", "pass account a");
}

#[test]
fn a_wider_block_walls_an_account_in() {
    let walled = ["mode open", "allow joe 192.0.2.1 web", "block 192.0.2.0/24"];
    check(&walled, "192.0.2.1 tcp/443", "pass account joe");
    check(&walled, "192.0.2.1 udp/5060", "drop blocked 192.0.2.0/24");
    check(&walled, "192.0.2.2 udp/5060", "drop blocked 192.0.2.0/24");
    check(&walled, "203.0.113.1 udp/5060", "pass open sip limited");
}

#[test]
fn the_mode_decides_last() {
    for (packet, closed, open) in [
        ("203.0.113.9 udp/5060", "drop stranger", "pass open sip limited"),
        ("203.0.113.9 tcp/5061", "drop stranger", "pass open sip-tls limited"),
        ("203.0.113.9 udp/12000", "drop stranger", "pass open rtp"),
        ("203.0.113.9 tcp/22", "drop stranger", "drop stranger"),
        ("203.0.113.9 icmp/8", "drop stranger", "drop stranger"),
        ("2001:db8::9 udp/5060", "drop stranger", "pass open sip limited"),
    ] {
        check(&[], packet, closed);
        check(&["mode open"], packet, open);
    }
}

#[test]
fn what_is_for_others_is_not_ours_to_judge_unless_blocked() {
    check(&[], "192.0.2.1 tcp/80 elsewhere", "pass notforthishost");
    check(&[], "192.0.2.1 udp/5353 multicast", "drop stranger");
    check(&[], "192.0.2.1 udp/138 broadcast", "drop stranger");
    check(&["block 192.0.2.1"], "192.0.2.1 tcp/80 elsewhere", "drop blocked 192.0.2.1");
}

#[test]
fn known_peers_may_send_requests_and_responses() {
    let trunk = ["registered 203.0.113.70 5060"];
    let invite = "203.0.113.70 udp/5060 payload=INVITE sip:a SIP/2.0";
    check(&trunk, invite, "pass registered");
    check(&trunk, "203.0.113.70 udp/5060 payload=BYE sip:a SIP/2.0", "pass registered");
    check(&trunk, "203.0.113.70 udp/5060 payload=SIP/2.0 200 OK", "pass registered");
    check(&trunk, "203.0.113.70 udp/5060 payload=REGISTER sip:a", "drop stranger");
    check(&trunk, "203.0.113.70 udp/5060 running payload=REGISTER sip:a", "drop stranger");
    check(&trunk, "203.0.113.70 udp/5060 answer payload=register", "drop stranger");
    check(&trunk, "203.0.113.70 udp/10000 payload=INVITE sip:a", "drop stranger");
    check(&trunk, "203.0.113.71 udp/5060 answer payload=INVITE sip:a", "drop stranger");
    check(&trunk, "203.0.113.70 udp/5060 from=40001 payload=INVITE sip:a", "drop stranger");
    check(&trunk, "203.0.113.70 tcp/5060", "drop stranger");
    let opened = ["mode open", trunk[0]];
    check(&opened, "203.0.113.70 udp/5060 payload=REGISTER sip:a", "pass open sip limited");
    check(&opened, invite, "pass registered");
    check(&["called 203.0.113.70 5060"], invite, "pass called");
    let asked = ["asked 203.0.113.70 5060"];
    check(&asked, invite, "drop stranger");
    check(&asked, "203.0.113.70 udp/5060 payload=SIP/2.0 200 OK", "pass asked");
    check(&asked, "203.0.113.70 udp/4569 payload=SIP/2.0 200 OK", "drop stranger");
    let by_tcp = ["tcp 203.0.113.70 0"];
    check(&by_tcp, "203.0.113.70 tcp/5060", "pass registeredbytcp");
    check(&by_tcp, "203.0.113.70 tcp/5061", "pass registeredbytcp");
    check(&by_tcp, "203.0.113.70 tcp/443", "drop stranger");
    check(&by_tcp, invite, "drop stranger");
    // Blocks apply however wide they are; lists do not, nor does an account for another service.
    let iax = "203.0.113.70 udp/4569 payload=\u{1}";
    check(&["registered 203.0.113.70 4569"], iax, "pass registered");
    check(&[trunk[0], "block 203.0.113.0/24"], invite, "drop blocked 203.0.113.0/24");
    let walled = [trunk[0], "block 203.0.113.0/24", "allow web 203.0.113.70 web"];
    check(&walled, invite, "drop blocked 203.0.113.0/24");
    check(&[trunk[0], "allow web 203.0.113.70 web"], invite, "pass registered");
}

#[test]
fn denials_apply_to_services_that_no_account_grants() {
    let denied = ["mode open", "deny 203.0.113.7", "registered 203.0.113.7 5060"];
    for refused in
        ["udp/5060", "tcp/5061", "udp/10000 answer", "tcp/443 running", "udp/5060 running"]
    {
        let packet = format!("203.0.113.7 {refused}");
        check(&denied, &packet, "drop denied 203.0.113.7");
    }
    check(&denied, "203.0.113.7 udp/5060 payload=INVITE sip:a", "drop denied 203.0.113.7");
    // Flows that the host began from other ports continue.
    check(&denied, "203.0.113.7 udp/54321 answer", "pass answer");
    check(&denied, "203.0.113.7 tcp/443 elsewhere", "pass notforthishost");
    check(&denied, "203.0.113.8 udp/5060", "pass open sip limited");
    // What another account grants is not denied.
    let granted = ["deny 203.0.113.0/24", "allow phone 203.0.113.7 sip"];
    check(&granted, "203.0.113.7 udp/5060", "pass account phone");
    check(&granted, "203.0.113.7 udp/10000", "pass account phone");
    check(&granted, "203.0.113.7 tcp/443 running", "drop denied 203.0.113.0/24");
    check(
        &["deny 203.0.113.7", "allow office 203.0.113.7 all"],
        "203.0.113.7 udp/5060",
        "pass account office",
    );
}
