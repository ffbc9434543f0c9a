//! The dry run of `up`: what it finds, and that it leaves nothing behind.

use nightlatch_parse::country::Builder;
use nightlatch_parse::ranges::RangeList;

use super::*;
use crate::api::Refusal;
use crate::cut::{Began, LiveFlow};
use crate::features::accounts::AccountName;
use crate::features::countries::{self, CountryRules, FetchedTable};
use crate::features::feeds::{self, Feed, FeedState, Held};
use crate::lists::Version;
use crate::pbx::{PbxContact, PbxPeers};
use crate::policy::Reason;
use crate::probe::{Fate, Findings, FlowFinding, MAX_PROBED_FLOWS, Probe, RangeFinding, SshCaller};
use crate::service::Protocol;
use crate::signalling::LearnedBy;

/// On the feed.
const LISTED: &str = "203.0.113.66";
/// In a blocked country.
const ABROAD: &str = "198.51.100.9";
const STRANGER: &str = "192.0.2.9";

/// Mode open, with a feed and a country in force.
fn with_lists(protection: Protection) -> Desk {
    let feed = Feed {
        name: "bad".parse().unwrap(),
        source: "/bad.list".to_owned(),
        format: "auto".to_owned(),
        headers: Vec::new(),
        key_file: None,
        every: Duration::from_secs(3600),
        since: START,
        by: String::new(),
        origin: None,
    };
    let name = feed.name.clone();
    let posture = Posture { protection, mode: Mode::Open, ..Posture::default() };
    let mut state = State::with_posture(posture);
    state.apply(feeds::put(feed, FeedState { checked: Some(START), ..FeedState::default() }));
    let blocked = ["CN".parse().unwrap()].into();
    state.apply(countries::set_rules(CountryRules { blocked, ..CountryRules::default() }));
    let mut desk = Desk::new(state);
    let content: RangeList = [range(LISTED)].into_iter().collect();
    let mut table = Builder::new();
    table.add(range(ABROAD), "CN".parse().unwrap());
    let table = FetchedTable { table: table.build().into(), ..FetchedTable::default() };
    let (content, version) = (content.into(), Version::default());
    let kept = feeds::Event::Restored { name, content, version };
    desk.engine.restore([kept.into(), countries::Event::Restored(table).into()], START);
    let load = desk.engine.load_whole(START);
    desk.execute(vec![load]);
    desk
}

fn flow(peer: &str, protocol: Protocol, local_port: u16, began: Began) -> LiveFlow {
    let peer = peer.parse().unwrap();
    LiveFlow { protocol, peer, peer_port: 5060, local_port, began, host_sends: true }
}

/// TCP to the SIP port, which the peer began.
fn call(peer: &str) -> LiveFlow {
    flow(peer, Protocol::Tcp, 5060, Began::Peer)
}

fn caller(address: &str) -> SshCaller {
    SshCaller { address: address.parse().unwrap(), port: 22 }
}

fn ask(desk: &mut Desk, up: Up) -> (Done, Findings) {
    let mut done = desk.done(put_up(Up { dry_run: true, ..up }));
    let found = *done.findings.take().unwrap();
    (done, found)
}

fn probe(desk: &mut Desk, probe: Probe) -> Findings {
    ask(desk, Up { probe: Some(probe), ..Up::default() }).1
}

/// The accounts that would be made.
fn made(done: &Done) -> Vec<&AccountName> {
    let made = done.said.iter().filter_map(|reply| match reply {
        features::Reply::Accounts(accounts::Reply::Made { name }) => Some(name),
        _ => None,
    });
    made.collect()
}

/// The accounts as they will be.
fn all(done: &Done) -> &[Account] {
    let all = done.said.iter().find_map(|reply| match reply {
        features::Reply::Accounts(accounts::Reply::All(all)) => Some(all),
        _ => None,
    });
    all.unwrap()
}

/// All of the engine that a change could touch.
fn whole(desk: &Desk) -> (State, String) {
    let it = &desk.engine;
    let rest = format!(
        "{:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        it.projection,
        it.revision,
        it.learned,
        it.catalogue,
        it.config,
        it.state.feeds,
        it.state.countries,
        it.state.peers,
        it.merged,
        it.schedule,
        it.changes,
        it.cuts,
    );
    (it.state.clone(), rest)
}

#[test]
fn lists_in_force_count() {
    for protection in [Protection::Off, Protection::On { since: START }] {
        let mut desk = with_lists(protection);
        let flows = [LISTED, ABROAD, STRANGER].map(call).to_vec();
        let ports = [(Protocol::Tcp, 5060), (Protocol::Tcp, 80)].into();
        let found = probe(&mut desk, Probe { flows, ports, ..Probe::default() });
        let fates: Vec<Fate> = found.flows.iter().map(|it| it.fate).collect();
        assert_eq!(fates, [Fate::Ends, Fate::Ends, Fate::Continues]);
        // Strangers in general are on no list.
        let after: Vec<bool> = found.ports.iter().map(|it| it.after).collect();
        let stood = desk.engine.state().posture().stands();
        assert_eq!(after, [false, true], "tcp/80, tcp/5060");
        assert_eq!(found.ports.iter().all(|it| it.before), !stood);
        // An account counts more than a list.
        let accounts = vec![account(&format!("office {LISTED},{ABROAD} sip"))];
        let flows = [LISTED, ABROAD].map(call).to_vec();
        let probe = Some(Probe { flows, ..Probe::default() });
        let (done, found) = ask(&mut desk, Up { accounts, probe, ..Up::default() });
        assert!(found.flows.iter().all(|it| it.fate == Fate::Continues && it.is_allowed));
        assert_eq!(made(&done), [&"office".parse().unwrap()]);
    }
}

#[test]
fn a_caller_who_is_listed_is_told() {
    let mut desk = with_lists(Protection::Off);
    desk.engine.config.firewall.open.insert("ssh".parse().unwrap());
    let found = probe(&mut desk, Probe { caller: Some(caller(LISTED)), ..Probe::default() });
    let held = Held { name: "bad".parse().unwrap(), entry: range(LISTED), fetched: None };
    let held: features::Reply = feeds::Reply::Held(vec![held]).into();
    let found_caller = found.caller.as_ref().unwrap();
    assert_eq!(found_caller.shut_out, Some(Reason::Listed));
    assert!(found_caller.about.contains(&held), "{found_caller:?}");
    let why = Cause::LockedOut { origin: LISTED.parse().unwrap(), by: LockOut::Up };
    assert_eq!(found.refusal, Some(Refusal::new(RefusalKind::No, why.clone())));
    // The change itself is refused for the same reason, and with a trial it is not.
    let up = |trial| {
        let probe = Some(Probe { caller: Some(caller(LISTED)), ..Probe::default() });
        Up { trial, probe, ..Up::default() }
    };
    assert_eq!(desk.refused(RefusalKind::No, put_up(up(None))), why);
    let trial = Some(Duration::from_secs(60));
    assert_eq!(ask(&mut desk, up(trial)).1.refusal, None);
    // With an account he comes in, and still hears of the list.
    let admin = Some(account(&format!("admin {LISTED} all")));
    let (_, found) = ask(&mut desk, Up { admin: admin.clone(), ..up(None) });
    let found_caller = found.caller.unwrap();
    assert_eq!(found_caller.shut_out, None);
    assert!(found_caller.about.contains(&held), "{found_caller:?}");
    assert_eq!(found.refusal, None);
    desk.done(put_up(Up { admin, ..up(None) }));
    // Abroad.
    let found = probe(&mut desk, Probe { caller: Some(caller(ABROAD)), ..Probe::default() });
    let found = found.caller.unwrap();
    assert_eq!(found.shut_out, Some(Reason::Listed));
    let (country, entry) = (Some("CN".parse().unwrap()), Some(range(ABROAD)));
    let held = countries::Reply::Held(countries::Held { country, entry, fetched: None });
    assert!(found.about.contains(&held.into()), "{found:?}");
    // And where a block does it.
    desk.done(block(STRANGER));
    let found = probe(&mut desk, Probe { caller: Some(caller(STRANGER)), ..Probe::default() });
    let range = range(STRANGER);
    assert_eq!(found.caller.unwrap().shut_out, Some(Reason::Blocked { range }));
    assert_eq!(found.refusal, None, "it did not come in before either");
}

#[test]
fn each_kind_of_flow_has_its_fate() {
    let mut desk = Desk::new(State::default());
    let expected = [
        (flow(STRANGER, Protocol::Tcp, 80, Began::Peer), Fate::Ends),
        (flow(STRANGER, Protocol::Udp, 5060, Began::Peer), Fate::SignallingDenied),
        (flow(STRANGER, Protocol::Tcp, 5061, Began::Unknown), Fate::ContinuesUnknown),
        (flow(STRANGER, Protocol::Tcp, 40_000, Began::Host), Fate::Continues),
        (flow(STRANGER, Protocol::Udp, 10_002, Began::Unknown), Fate::Continues),
    ];
    let flows = expected.iter().map(|(flow, _)| *flow).collect();
    let found = probe(&mut desk, Probe { flows, ..Probe::default() });
    let fates: Vec<Fate> = found.flows.iter().map(|it| it.fate).collect();
    assert_eq!(fates, expected.map(|(_, fate)| fate));
    assert_eq!(found.flows.iter().filter(|it| it.is_media).count(), 1);
    let last = FlowFinding { fate: Fate::Continues, is_allowed: false, is_media: true };
    assert_eq!(found.flows.last(), Some(&last));
    assert!(Fate::SignallingDenied.is_lost() && !Fate::ContinuesAsVpn.is_lost());
}

#[test]
fn no_more_flows_are_judged_than_one_request_may_have() {
    let mut desk = Desk::new(State::default());
    let flows = vec![call(STRANGER); MAX_PROBED_FLOWS + 1];
    let found = probe(&mut desk, Probe { flows, ..Probe::default() });
    assert_eq!(found.flows.len(), MAX_PROBED_FLOWS);
}

#[test]
fn what_accounts_allow_is_found_as_it_will_be() {
    let mut desk = Desk::on();
    desk.done(allow("web 203.0.113.0/24 web"));
    let accounts = vec![account("trunks 203.0.113.8,198.51.100.0/28 sip")];
    let ranges = ["203.0.113.8", "203.0.113.9", "198.51.100.0/28", "198.51.100.0/27", STRANGER];
    let ranges = ranges.map(range).to_vec();
    let probe = Some(Probe { ranges, ..Probe::default() });
    let (done, found) = ask(&mut desk, Up { accounts, probe, ..Up::default() });
    let both = |sip, covered| RangeFinding { sip, covered };
    let expected = [
        both(true, true),
        both(false, true),
        both(true, true),
        both(false, true),
        both(false, false),
    ];
    assert_eq!(found.ranges, expected);
    let names: Vec<&str> = all(&done).iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["trunks", "web"]);
}

/// Whoever comes from elsewhere gets an account of another name.
#[test]
fn the_account_of_whoever_asks_gets_a_free_name() {
    let mut desk = Desk::new(State::default());
    let up = |addresses: &str| {
        let admin = Some(account(&format!("admin {addresses} all")));
        Up { admin, ..Up::default() }
    };
    for (addresses, made) in [
        ("203.0.113.7", vec!["admin"]),
        ("203.0.113.7", vec![]),
        ("203.0.113.7,192.0.2.7", vec!["admin-2"]),
        ("192.0.2.8", vec!["admin-3"]),
        ("192.0.2.7,192.0.2.8", vec![]),
    ] {
        let (done, _) = ask(&mut desk, up(addresses));
        let names: Vec<String> =
            super::probe::made(&done).iter().map(ToString::to_string).collect();
        assert_eq!(names, made, "{addresses}");
        desk.done(put_up(up(addresses)));
    }
    let second =
        &desk.engine.state().accounts.all.get(&"admin-2".parse().unwrap()).unwrap().entries;
    assert_eq!(*second, [Entry::Range(range("192.0.2.7"))]);
}

#[test]
fn a_dry_run_leaves_the_engine_as_it_was() {
    let pbx = PbxPeers {
        answer: crate::pbx::PbxAnswer::Answered,
        contacts: vec![PbxContact {
            extension: "1002".to_owned(),
            address: STRANGER.parse().unwrap(),
            port: 5060,
            dynamic: true,
            heard: true,
        }],
        ..PbxPeers::default()
    };
    let guarded = vec![(range("192.0.2.254"), "the gateway".to_owned())];
    for protection in [Protection::Off, Protection::On { since: START }] {
        for mode in [None, Some(Mode::Allowlist), Some(Mode::Open)] {
            let mut desk = with_lists(protection.clone());
            desk.done(allow("guest 203.0.113.20 sip"));
            desk.done(remove("guest"));
            let by = LearnedBy::Called;
            let address = STRANGER.parse().unwrap();
            let peer = Peer { by, address, port: 5060, local_port: 5060 };
            let until = START.after(Duration::from_secs(3600));
            desk.feed(read([(peer, until)]));
            let (before, records) = (whole(&desk), desk.records.len());
            let up = Up {
                mode,
                admin: Some(account("admin 203.0.113.7 all")),
                accounts: vec![account("office 203.0.113.20,198.51.100.0/24 sip")],
                site: Site { guarded: guarded.clone(), ..Site::default() },
                trial: Some(Duration::from_secs(60)),
                probe: Some(Probe {
                    caller: Some(caller(LISTED)),
                    flows: vec![call(LISTED)],
                    ..Probe::default()
                }),
                pbx: pbx.clone(),
                ..Up::default()
            };
            let (mut reply, _) = ask(&mut desk, up.clone());
            let after = whole(&desk);
            assert_eq!(after.0, before.0);
            assert_eq!(after.1, before.1, "{protection:?} {mode:?}");
            assert_eq!(desk.records.len(), records);
            assert_eq!(reply.stood, protection.stands());
            // What it said comes true.
            let done = desk.done(put_up(up));
            let all = desk.engine.state().accounts.all.values().cloned().collect();
            assert_eq!(reply.said.pop(), Some(accounts::Reply::All(all).into()));
            assert_eq!(done, reply);
        }
    }
}

/// The check is for all changes but the way back.
#[test]
fn a_trial_is_rolled_back_whoever_asks() {
    let mut desk = Desk::new(State::default());
    desk.engine.config.firewall.open.insert("ssh".parse().unwrap());
    desk.done(put_up(Up::default()));
    let trial = Some(Duration::from_secs(60));
    desk.done(put_up(Up { mode: Some(Mode::Open), trial, ..Up::default() }));
    desk.caller = anna_from(STRANGER);
    assert_eq!(desk.refused(RefusalKind::No, mode(Mode::Allowlist)), locked_out(STRANGER));
    let taken_back = firewall::Reply::TakenBack { to: Some(Mode::Allowlist) };
    assert_eq!(desk.done(rollback()), changed([taken_back.into()]));
}
