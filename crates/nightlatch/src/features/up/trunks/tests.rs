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
        hours: None,
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

/// Addresses and names of the catalogue of providers.
#[test]
fn providers_of_trunks_are_proposed_by_name() {
    let enable = "nightlatch provider enable twilio";
    let identified = |ranges: &[&str]| PbxAnswer {
        identifies: vec![Identify {
            endpoint: "carrier".to_owned(),
            ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        }],
        ..PbxAnswer::default()
    };
    // All addresses are the provider's: it is proposed instead of an account.
    let trunks = plan(&[], &identified(&["54.172.60.0/30", "54.244.51.1"]), &[]);
    assert_eq!(trunks.inbound_lost.len(), 1, "{trunks:?}");
    assert_eq!(trunks.inbound_lost[0].command, enable);
    assert!(trunks.inbound_lost[0].text.contains("belongs to Twilio"), "{trunks:?}");
    // Only some are: the account that allows all of them.
    let trunks = plan(&[], &identified(&["54.172.60.0/30", "203.0.113.7"]), &[]);
    assert!(trunks.inbound_lost[0].command.starts_with("nightlatch allow carrier "), "{trunks:?}");
    // What is allowed is no concern.
    let allowed = account("carrier", "54.172.60.0/24", "sip");
    assert_eq!(plan(&[allowed], &identified(&["54.172.60.0/30"]), &[]).inbound_lost, []);

    // A registration by name, at one address, and at several.
    for addresses in [&["203.0.113.80"][..], &["203.0.113.80", "203.0.113.81"]] {
        let mut registered = trunk("work", addresses);
        registered.registration.server.host = "Toronto5.voip.ms".to_owned();
        let trunks = plan(&[], &PbxAnswer::default(), &[registered]);
        assert_eq!(trunks.inbound_lost, [], "{trunks:?}");
        assert_eq!(trunks.providers.len(), 1, "{trunks:?}");
        assert_eq!(trunks.providers[0].command, "nightlatch provider enable voip-ms --force");
        assert!(trunks.providers[0].text.contains("unverified"), "{trunks:?}");
    }
    // A server of its domain that the catalogue does not have stays an account.
    let mut registered = trunk("work", &["203.0.113.80", "203.0.113.81"]);
    registered.registration.server.host = "berlin9.voip.ms".to_owned();
    let trunks = plan(&[], &PbxAnswer::default(), &[registered]);
    let lost = &trunks.inbound_lost[0];
    assert!(lost.command.starts_with("nightlatch allow work 203.0.113.80 "), "{trunks:?}");
    assert!(lost.text.contains("VoIP.ms is voip-ms"), "{trunks:?}");
    assert_eq!(trunks.providers, []);
    // Nothing at all without a trunk of a provider.
    let trunks = plan(&[], &PbxAnswer::default(), &[trunk("work", &["203.0.113.80"])]);
    assert_eq!((trunks.providers, trunks.inbound_lost), (Vec::new(), Vec::new()));
}
