//! Which claim wins, in examples and against a model that looks at each address by itself.

use crate::features::exemptions::{self, Exemption};
use crate::features::{accounts, blocks, denials};
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::audit::ourselves;
use crate::condition::Condition;
use crate::config::Rules;
use crate::features::accounts::{Account, Entry};
use crate::features::blocks::Block;
use crate::features::denials::{Denial, DenialCause};
use crate::features::{Change, State};
use crate::hours::Hours;
use crate::policy::{self, Flow, Packet, What, World};
use crate::posture::{Mode, Posture, Protection};
use crate::signalling::{FirstBytes, LearnedBy, Peer};
use crate::time::Time;

const NOW: Time = Time::from_millis(1_000_000);

fn grant(text: &str) -> Grant {
    Grant::parse(text).unwrap()
}

/// An account of one range. Its name is its number.
fn account(number: usize, range: AddrRange, services: Grant) -> Change {
    accounts::put(Account {
        hours: None,
        name: format!("a{number}").parse().unwrap(),
        entries: vec![Entry::Range(range)],
        services,
        until: None,
        note: String::new(),
        allow_private: false,
        since: NOW,
        by: ourselves().to_string(),
    })
}

fn block(range: AddrRange) -> Change {
    let (reason, by) = (String::new(), ourselves().to_string());
    blocks::put(Block { range, until: None, reason, since: NOW, by })
}

/// An exemption of one range. Its name is its number.
fn exemption(number: usize, range: AddrRange) -> Change {
    exemptions::put(Exemption {
        name: format!("e{number}").parse().unwrap(),
        exempt: vec![Entry::Range(range)],
        since: NOW,
        by: ourselves().to_string(),
    })
}

fn denial(range: AddrRange, scope: DenialScope) -> Change {
    let cause = DenialCause::AccountGone { account: "gone".to_owned() };
    denials::put(Denial { scope, ..Denial::new(range, cause, NOW) })
}

/// The pieces of both families.
fn all_pieces(state: &State) -> Vec<(AddrRange, Answer)> {
    let of = |family| {
        let (all, mut claims) = (AddrRange::all(family), Vec::new());
        state.claims(all, NOW, &mut |claim| claims.push(claim));
        pieces(&claims, &all)
    };
    [Family::V4, Family::V6].into_iter().flat_map(of).collect()
}

fn show(answer: &Answer) -> String {
    let standing = match &answer.stance {
        Stance::Stranger => String::new(),
        Stance::Listed => "listed".to_owned(),
        Stance::Spared => "spared".to_owned(),
        Stance::Blocked => "blocked".to_owned(),
        Stance::Account { grant, walled, conditional } => {
            let conditions = conditional.grants.iter().map(|(condition, grant)| {
                let hours = condition.hours.as_ref().map(|hours| format!(" {hours}"));
                let idle = conditional.idle.filter(|_| condition.leased);
                let lease = idle.map(|idle| format!(" leased {}s", idle.as_secs()));
                format!(", if{}{}: {grant}", hours.unwrap_or_default(), lease.unwrap_or_default())
            });
            let conditions: String = conditions.collect();
            format!("{grant}{conditions}{}", if *walled { ", walled" } else { "" })
        }
    };
    match answer.denied {
        None => standing,
        Some(_) if standing.is_empty() => "denied".to_owned(),
        Some(_) => format!("{standing}, rest denied"),
    }
}

/// Claims as `192.0.2.0/24 sip`, `192.0.2.0/24 block` or `192.0.2.0/24 deny`.
fn check(claims: &[&str], expected: &[&str]) {
    let mut state = State::default();
    for (number, claim) in claims.iter().enumerate() {
        let (range, what) = claim.split_once(' ').unwrap();
        let range = range.parse().unwrap();
        let _ = state.apply(match what {
            "block" => block(range),
            "deny" => denial(range, DenialScope::Everything),
            services => account(number, range, grant(services)),
        });
    }
    let pieces = all_pieces(&state);
    let shown: Vec<String> =
        pieces.iter().map(|(range, answer)| format!("{range} {}", show(answer))).collect();
    assert_eq!(shown, expected, "{claims:?}");
}

#[test]
fn unions_and_blocks() {
    check(&[], &[]);
    check(
        &["192.0.2.0/24 sip", "192.0.2.16 web"],
        &["192.0.2.0/28 sip", "192.0.2.16 sip, web", "192.0.2.17-192.0.2.255 sip"],
    );
    check(&["192.0.2.0/24 sip", "192.0.2.128/25 all"], &["192.0.2.0/25 sip", "192.0.2.128/25 all"]);
    // The block is the narrower one: it wins. The account is: it wins, inside a wall.
    check(
        &["192.0.2.0/30 sip", "192.0.2.3 block"],
        &["192.0.2.0-192.0.2.2 sip", "192.0.2.3 blocked"],
    );
    check(
        &["192.0.2.1 sip", "192.0.2.0/30 block"],
        &["192.0.2.0 blocked", "192.0.2.1 sip, walled", "192.0.2.2/31 blocked"],
    );
    check(&["192.0.2.1 sip", "192.0.2.1 block"], &["192.0.2.1 blocked"]);
    // Neighbours with equal answers stay apart.
    check(&["192.0.2.0 sip", "192.0.2.1 sip"], &["192.0.2.0 sip", "192.0.2.1 sip"]);
    // The ends of the address space, and both families side by side.
    check(
        &["255.255.255.255 sip", "0.0.0.0/0 block", "::/0 web", ":: web"],
        &[
            "0.0.0.0-255.255.255.254 blocked",
            "255.255.255.255 sip, walled",
            ":: web",
            "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff web",
        ],
    );
}

#[test]
fn denials_leave_what_accounts_grant() {
    check(
        &["192.0.2.0/30 sip", "192.0.2.3 block", "192.0.2.2/31 deny", "192.0.2.4 deny"],
        &[
            "192.0.2.0/31 sip",
            "192.0.2.2 sip, rest denied",
            "192.0.2.3 blocked",
            "192.0.2.4 denied",
        ],
    );
    check(
        &["192.0.2.1 sip", "192.0.2.0/30 block", "192.0.2.1 deny"],
        &["192.0.2.0 blocked", "192.0.2.1 sip, walled, rest denied", "192.0.2.2/31 blocked"],
    );
}

/// What holds for an address, looked at by itself and without `Weighing`.
fn simple_answer(claims: &[(AddrRange, usize)], grants: &[Grant], here: &AddrRange) -> Answer {
    let covering = || claims.iter().filter(|(range, _)| range.covers(here));
    let narrowest = |is: fn(usize) -> bool| {
        covering().filter(|(_, kind)| is(*kind)).map(|(range, _)| range.width()).min()
    };
    let account = narrowest(|kind| kind < 3);
    let block = narrowest(|kind| kind == 3);
    let denied = covering().filter_map(|(_, kind)| match kind {
        4 => Some(DenialScope::Everything),
        5 => Some(DenialScope::ExceptMedia),
        _ => None,
    });
    let denied = denied.max();
    let blocked = Answer { stance: Stance::Blocked, ..Answer::default() };
    match (account, block) {
        (None, None) if covering().any(|(_, kind)| *kind == 6) => {
            Answer { stance: Stance::Spared, denied, ..Answer::default() }
        }
        (None, None) => Answer { stance: Stance::Stranger, denied, ..Answer::default() },
        (None, Some(_)) => blocked,
        (Some(account), Some(block)) if block <= account => blocked,
        (Some(_), block) => {
            let of = covering().filter_map(|(_, kind)| grants.get(*kind));
            let names: Vec<String> =
                of.flat_map(|grant| Vec::<String>::from(grant.clone())).collect();
            let grant = Grant::try_from(names).unwrap();
            Answer {
                stance: Stance::Account {
                    grant,
                    walled: block.is_some(),
                    conditional: Conditional::default(),
                },
                denied,
                ..Answer::default()
            }
        }
    }
}

proptest! {
    #[test]
    fn the_pieces_equal_a_look_at_each_address(
        claims in proptest::collection::vec((0u128..32, 0u128..12, 0usize..7), 0..12)
    ) {
        let grants = [grant("sip"), grant("web,rtp"), Grant::All];
        let highest = Family::V4.highest();
        let mut state = State::default();
        let mut claims: Vec<(AddrRange, usize)> = claims
            .iter()
            .map(|(first, width, kind)| {
                // The upper half lies at the end of the address space.
                let first = if *first >= 16 { highest - 31 + first } else { *first };
                let last = (first + width).min(highest);
                (AddrRange::new(Family::V4, first, last).unwrap(), *kind)
            })
            .collect();
        // There is one block and one denial of a range at most: the last counts.
        let group = |kind: usize| if kind == 5 { 4 } else { kind };
        for at in (0..claims.len()).rev() {
            let (range, kind) = claims[at];
            let later = claims.iter().skip(at + 1);
            let replaced = |(other, other_kind): &(AddrRange, usize)| {
                *other == range && group(*other_kind) == group(kind)
            };
            if (3..6).contains(&kind) && later.clone().any(replaced) {
                claims.remove(at);
            }
        }
        for (number, (range, kind)) in claims.iter().enumerate() {
            let _ = state.apply(match kind {
                3 => block(*range),
                4 => denial(*range, DenialScope::Everything),
                5 => denial(*range, DenialScope::ExceptMedia),
                6 => exemption(number, *range),
                kind => account(number, *range, grants[*kind].clone()),
            });
        }
        let found = all_pieces(&state);
        for pair in found.windows(2) {
            prop_assert!(pair[0].0.last() < pair[1].0.first());
        }
        for at in (0..64).chain(highest - 40..=highest) {
            let here = AddrRange::new(Family::V4, at, at).unwrap();
            let answer = found.iter().find(|(range, _)| range.covers(&here)).map(|(_, a)| a);
            let expected = simple_answer(&claims, &grants, &here);
            prop_assert_eq!(answer.cloned().unwrap_or_default(), expected, "at {}", at);
        }
    }
}

fn stranger() -> Answer {
    Answer::default()
}

fn of_account(services: &str, walled: bool) -> Answer {
    Answer {
        stance: Stance::Account {
            grant: grant(services),
            walled,
            conditional: Conditional::default(),
        },
        ..Answer::default()
    }
}

#[test]
fn what_closes_is_known_to_close() {
    let blocked = || Answer { stance: Stance::Blocked, ..Answer::default() };
    let listed = || Answer { stance: Stance::Listed, ..Answer::default() };
    let spared = || Answer { stance: Stance::Spared, ..Answer::default() };
    let denied = |answer, scope| Answer { denied: Some(scope), ..answer };
    let (all, media) = (DenialScope::Everything, DenialScope::ExceptMedia);
    let narrowing = [
        (stranger(), blocked()),
        (of_account("all", true), blocked()),
        (of_account("sip", false), stranger()),
        (of_account("sip", false), listed()),
        (stranger(), listed()),
        (spared(), stranger()),
        (spared(), denied(spared(), media)),
        (denied(spared(), media), denied(spared(), all)),
        (of_account("sip", false), denied(spared(), all)),
        (spared(), listed()),
        (of_account("sip", false), spared()),
        (spared(), blocked()),
        (of_account("sip,web", false), of_account("web", false)),
        (of_account("all", false), of_account("sip", false)),
        (of_account("sip", false), of_account("sip", true)),
        (stranger(), denied(stranger(), media)),
        (denied(stranger(), media), denied(stranger(), all)),
        (of_account("sip", false), denied(stranger(), all)),
        (of_account("sip", false), denied(of_account("sip", false), all)),
    ];
    for (before, after) in narrowing {
        assert!(after.is_at_most(&before), "{before:?} -> {after:?}");
        assert!(!before.is_at_most(&after), "{after:?} -> {before:?}");
    }
    // Neither gives less than the other in every mode.
    for (one, other) in [
        (stranger(), of_account("sip", true)),
        (spared(), of_account("sip", true)),
        (of_account("sip", false), of_account("web", false)),
        (of_account("sip", false), denied(of_account("all", false), all)),
    ] {
        assert!(!one.is_at_most(&other) && !other.is_at_most(&one), "{one:?}, {other:?}");
    }
}

const HERE: &str = "203.0.113.7";

fn in_mode(state: &State, mode: Mode) -> State {
    let mut state = state.clone();
    let _ = state.apply(crate::features::firewall::set_mode(mode));
    state
}

/// The packets of [`HERE`] that pass, by mode, by whether the host knows it as a peer, and by what
/// arrives.
fn passing(state: &State) -> BTreeSet<String> {
    let rules = Rules::default();
    let catalogue = rules.catalogue(&state.posture().site);
    let peer = |by: LearnedBy| {
        let peer = Peer { by, address: HERE.parse().unwrap(), port: 40_000, local_port: 5060 };
        (peer, NOW.after(by.timeout()))
    };
    let known = [LearnedBy::Registered, LearnedBy::Called, LearnedBy::Asked].map(peer);
    let udp = |port| What::Udp { from: 40_000, port };
    let tcp = |port| What::Tcp { port };
    let ping = What::Icmp { kind: 8, code: 0 };
    let mut arriving = Vec::new();
    for what in [udp(5060), udp(10_000), udp(9), tcp(22), tcp(80), tcp(5060), ping] {
        for flow in [Flow::New, Flow::PeerBegan, Flow::HostBegan] {
            for first in ["INVITE sip:x SIP/2.0", "SIP/2.0 200 OK"] {
                let packet = Packet::new(HERE.parse().unwrap(), what);
                arriving.push(Packet { flow, first: FirstBytes::of(first.as_bytes()), ..packet });
            }
        }
    }
    let mut passing = BTreeSet::new();
    for (mode, is_known) in
        [(Mode::Open, false), (Mode::Open, true), (Mode::Allowlist, false), (Mode::Allowlist, true)]
    {
        let world = World {
            state: &in_mode(state, mode),
            rules: &rules,
            catalogue: &catalogue,
            assume_listed: None,
            learned: &known.iter().filter(|_| is_known).copied().collect(),
            now: NOW,
        };
        let passes = |packet: &&Packet| policy::judge(&world, packet).passes;
        let shown = |packet| format!("{mode:?} {is_known} {packet:?}");
        passing.extend(arriving.iter().filter(passes).map(shown));
    }
    passing
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Where one answer is at most another, no packet passes by the one that would not by the other.
    #[test]
    fn what_is_at_most_something_lets_nothing_more_pass(
        claims in proptest::collection::vec(
            (0usize..3, 0usize..6, any::<bool>(), any::<bool>()), 0..5)
    ) {
        let ranges = ["203.0.113.7", "203.0.113.4/30", "203.0.113.0/24"];
        let grants = ["sip", "ssh,web", "all"];
        let here = AddrRange::from(HERE.parse::<std::net::IpAddr>().unwrap());
        let side = |is_in: fn(&(usize, usize, bool, bool)) -> bool| {
            let protection = Protection::On { since: NOW };
            let posture = Posture { protection, ..Posture::default() };
            let mut state = State::with_posture(posture);
            for (number, (at, kind, ..)) in claims.iter().enumerate().filter(|(_, it)| is_in(it)) {
                let range = ranges[*at].parse().unwrap();
                let _ = state.apply(match kind {
                    3 => block(range),
                    4 => denial(range, DenialScope::Everything),
                    5 => denial(range, DenialScope::ExceptMedia),
                    kind => account(number, range, grant(grants[*kind])),
                });
            }
            let mut claims = Vec::new();
            state.claims(here, NOW, &mut |claim| claims.push(claim));
            let answer = pieces(&claims, &here).pop().map(|(_, answer)| answer);
            (answer.unwrap_or_default(), passing(&state))
        };
        let (one, passes) = side(|(.., is_in, _)| *is_in);
        let (other, others) = side(|(.., is_in)| *is_in);
        if one.is_at_most(&other) {
            let more: Vec<&String> = passes.difference(&others).collect();
            prop_assert!(more.is_empty(), "{:?} instead of {:?} lets pass {:?}", one, other, more);
        }
    }
}

#[test]
fn an_exemption_counts_where_no_account_and_no_block_does() {
    let sip = grant("sip");
    let check = |says: &[Says<'_>], expected: &str| {
        let range = "192.0.2.0/24".parse().unwrap();
        let claims =
            says.iter().map(|says| Claim { over: range, says: *says, by: By::Blocks(&range) });
        let found = pieces(&claims.collect::<Vec<Claim<'_>>>(), &AddrRange::all(Family::V4));
        let shown: Vec<String> = found.iter().map(|(_, answer)| show(answer)).collect();
        assert_eq!(shown.join("; "), expected, "{says:?}");
    };
    check(&[Says::Spare], "spared");
    check(&[Says::Spare, Says::List], "spared");
    check(&[Says::Spare, Says::Allow(&sip)], "sip");
    check(&[Says::Spare, Says::Block], "blocked");
    check(&[Says::Spare, Says::Deny(DenialScope::Everything)], "spared, rest denied");
}

#[test]
fn what_is_granted_under_conditions() {
    let (all, sip, web) = (Grant::All, grant("sip"), grant("web"));
    let office = Hours::parse("Mon-Fri 07:00-19:00", "UTC").unwrap();
    let hours = |grant| Says::AllowIf { grant, hours: Some(&office), idle: None };
    let lease = |grant, idle| {
        let idle = Some(Duration::from_secs(idle));
        Says::AllowIf { grant, hours: None, idle }
    };
    let check = |says: &[Says<'_>], expected: &str| {
        let range = "192.0.2.0/24".parse().unwrap();
        let claims =
            says.iter().map(|says| Claim { over: range, says: *says, by: By::Blocks(&range) });
        let claims: Vec<Claim<'_>> = claims.collect();
        let found = pieces(&claims, &AddrRange::all(Family::V4));
        let shown: Vec<String> = found.iter().map(|(_, answer)| show(answer)).collect();
        assert_eq!(shown.join("; "), expected, "{says:?}");
        // What is removed again leaves nothing.
        let mut weighing = Weighing::default();
        claims.iter().for_each(|claim| weighing.add(claim));
        claims.iter().for_each(|claim| weighing.remove(claim));
        assert_eq!(weighing.answer(), Answer::default());
    };
    check(&[hours(&sip)], ", if Mon-Fri 07:00-19:00: sip");
    check(&[lease(&sip, 60)], ", if leased 60s: sip");
    check(&[lease(&sip, 60), lease(&web, 30)], ", if leased 60s: sip, web");
    check(&[Says::Allow(&web), lease(&sip, 60)], "web, if leased 60s: sip");
    check(&[hours(&web), lease(&sip, 60)], ", if leased 60s: sip, if Mon-Fri 07:00-19:00: web");
    check(&[Says::Allow(&all), lease(&sip, 60), hours(&web)], "all");
    check(&[lease(&sip, 60), Says::Block], "blocked");
    check(
        &[lease(&sip, 60), Says::Deny(DenialScope::Everything)],
        ", if leased 60s: sip, rest denied",
    );
    check(&[lease(&sip, 60), Says::List], ", if leased 60s: sip");
}

#[test]
fn what_closes_under_conditions_is_known_to_close() {
    let leased = Condition { hours: None, leased: true };
    let answer = |always: &str, under: &[(&Condition, &str)], idle: Option<u64>| {
        let grants = under.iter().map(|(condition, names)| ((*condition).clone(), grant(names)));
        let idle = idle.map(Duration::from_secs);
        let conditional = Conditional { grants: grants.collect(), idle };
        let always = if always.is_empty() { Grant::of([]) } else { grant(always) };
        Answer {
            stance: Stance::Account { grant: always, walled: false, conditional },
            ..Answer::default()
        }
    };
    let hours = Hours::parse("07:00-19:00", "UTC").unwrap();
    let hours = Condition { hours: Some(hours), leased: false };
    let narrowing = [
        (answer("", &[(&leased, "sip,web")], Some(60)), answer("", &[(&leased, "sip")], Some(60))),
        (answer("", &[(&leased, "sip")], Some(60)), answer("", &[(&leased, "sip")], Some(30))),
        (answer("sip", &[], None), answer("", &[(&hours, "sip")], None)),
        (answer("", &[(&hours, "sip")], None), stranger()),
        (answer("sip", &[(&hours, "web")], None), of_account("sip", false)),
    ];
    for (before, after) in narrowing {
        assert!(after.is_at_most(&before), "{} < {}", show(&after), show(&before));
        assert!(!before.is_at_most(&after), "{} > {}", show(&before), show(&after));
    }
    let (one, other) =
        (answer("", &[(&leased, "sip")], Some(60)), answer("", &[(&hours, "sip")], None));
    assert!(!one.is_at_most(&other) && !other.is_at_most(&one));
}
