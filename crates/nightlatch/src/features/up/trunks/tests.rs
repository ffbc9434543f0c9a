//! What the plan says about trunks and phones.

use nightlatch_core::config::Rules;
use nightlatch_core::features::accounts::{self, Account, Entry};
use nightlatch_core::features::{Change, State};
use nightlatch_core::probe::Probe;
use nightlatch_core::service::Grant;
use nightlatch_core::time::Time;

use super::super::dry_run;
use super::*;
use crate::shell::pbx::{
    Console, Contact, Driver, Identify, Place, Registration, Server, Transport,
};

const NOW: Time = Time::from_millis(1000);

fn account(name: &str, range: &str, services: &str) -> Change {
    accounts::put(Account {
        name: name.parse().unwrap(),
        entries: vec![Entry::Range(range.parse().unwrap())],
        services: Grant::parse(services).unwrap(),
        until: None,
        note: String::new(),
        allow_private: false,
        since: NOW,
        by: String::new(),
    })
}

fn contact(name: &str, address: &str, registered: bool) -> Contact {
    Contact {
        name: name.to_owned(),
        protocol: Protocol::Udp,
        address: address.parse().unwrap(),
        port: 5060,
        registered,
        driver: Driver::Pjsip,
        removal: None,
    }
}

fn trunk(name: &str, addresses: &[&str]) -> Trunk {
    let place = |address: &&str| Place {
        protocol: Protocol::Udp,
        address: SocketAddr::new(address.parse().unwrap(), 5060),
    };
    Trunk {
        registration: Registration {
            name: name.to_owned(),
            server: Server {
                host: "sip.example.net".to_owned(),
                port: None,
                transport: Some(Transport::Udp),
            },
            registrar: None,
            driver: Driver::Pjsip,
            state: RegistrationState::Registered,
        },
        places: addresses.iter().map(place).collect(),
        unread: Vec::new(),
    }
}

fn plan(accounts: &[Change], answer: &PbxAnswer, trunks: &[Trunk]) -> Trunks {
    plan_with(accounts, answer, trunks, &[])
}

fn plan_with(
    accounts: &[Change],
    answer: &PbxAnswer,
    trunks: &[Trunk],
    flows: &[LiveFlow],
) -> Trunks {
    let mut state = State::default();
    for change in accounts {
        let _ = state.apply(change.clone());
    }
    let catalogue = Rules::default().catalogue(&state.posture().site);
    let known = Known { answer, trunks, named: &[], is_there: true, flows };
    let ranges: Vec<AddrRange> = known.ranges(&catalogue).into_iter().collect();
    let mode = state.posture().mode;
    let found = dry_run::found(state, Probe { ranges: ranges.clone(), ..Probe::default() });
    let allowed = ranges.into_iter().zip(found.ranges).collect();
    Trunks::of(&known, &allowed, &catalogue, mode)
}

fn commands(advice: &[Advice]) -> Vec<&str> {
    advice.iter().map(|it| it.command.as_str()).collect()
}

#[test]
fn trunks_by_registration_continue() {
    let answer = PbxAnswer { asked: vec![Console::Asterisk], ..PbxAnswer::default() };
    let one = plan(&[], &answer, &[trunk("itsp", &["203.0.113.70"])]);
    assert!(one.registered[0].starts_with("itsp at sip.example.net (203.0.113.70; registered)"));
    assert_eq!(one.inbound_lost, []);
    assert!(one.media.is_some());
    let addresses = ["203.0.113.70", "203.0.113.71", "2001:db8::70"];
    let several = plan(
        &[account("a", "203.0.113.71", "sip"), account("b", "203.0.113.70", "web")],
        &answer,
        &[trunk("itsp", &addresses)],
    );
    assert_eq!(
        commands(&several.inbound_lost),
        ["nightlatch allow itsp 203.0.113.70 2001:db8::70 --services sip"]
    );
}

#[test]
fn trunks_without_a_registration_are_lost() {
    let answer = PbxAnswer {
        asked: vec![Console::Asterisk],
        contacts: vec![
            contact("fixed", "203.0.113.80", false),
            contact("known", "203.0.113.81", false),
            contact("itsp", "203.0.113.70", false),
        ],
        identifies: vec![Identify {
            endpoint: "fixed".to_owned(),
            ranges: vec!["203.0.113.80".parse().unwrap(), "198.51.100.0/28".parse().unwrap()],
        }],
        ..PbxAnswer::default()
    };
    let plan =
        plan(&[account("k", "203.0.113.81", "all")], &answer, &[trunk("itsp", &["203.0.113.70"])]);
    assert_eq!(
        commands(&plan.inbound_lost),
        ["nightlatch allow fixed 203.0.113.80 198.51.100.0/28 --services sip"]
    );
}

#[test]
fn phones_without_an_account_are_named() {
    let answer = PbxAnswer {
        asked: vec![Console::Asterisk],
        contacts: vec![
            contact("1001", "203.0.113.7", true),
            contact("1002; rm -rf /\x1b[2J", "203.0.113.8", true),
            contact("1003", "127.0.0.1", true),
        ],
        ..PbxAnswer::default()
    };
    let plan = plan(&[account("office", "203.0.113.7", "web")], &answer, &[]);
    assert_eq!(
        commands(&plan.unlisted_phones),
        ["nightlatch allow phone-1002--rm--rf---2J 203.0.113.8 --services sip"]
    );
    assert!(!plan.unlisted_phones[0].text.contains('\x1b'));
}

#[test]
fn the_plan_says_why_a_pbx_was_not_asked() {
    let reason = Some("the console of 3CX is not supported".to_owned());
    let answer = PbxAnswer { not_asked: reason, ..PbxAnswer::default() };
    let plan = plan(&[], &answer, &[]);
    assert!(plan.unread[0].contains("was not asked"), "{:?}", plan.unread);
    // Running flows reveal its trunks.
    let flow = |protocol, peer: &str, local_port, began| LiveFlow {
        protocol,
        peer: peer.parse().unwrap(),
        peer_port: 5060,
        local_port,
        began,
        host_sends: true,
    };
    let flows = [
        flow(Protocol::Udp, "203.0.113.70", 5060, Began::Host),
        flow(Protocol::Udp, "203.0.113.71", 5060, Began::Peer),
        flow(Protocol::Udp, "203.0.113.72", 40_000, Began::Host),
        flow(Protocol::Tcp, "203.0.113.73", 40_000, Began::Host),
    ];
    let plan = plan_with(&[], &answer, &[], &flows);
    assert_eq!(
        commands(&plan.inbound_lost),
        ["nightlatch allow SIP-peers-of-this-host 203.0.113.70 203.0.113.73 --services sip"]
    );
}
