//! Accounts, blocks, the mode: what is done, what is refused, and why.

use super::*;
use crate::api::Refusal;
use crate::features::feeds;
use crate::ranges::Untouchable;
use nightlatch_parse::ranges::RangeList;

fn no(desk: &mut Desk, request: Request) -> Cause {
    desk.refused(RefusalKind::No, request)
}

fn wrong(desk: &mut Desk, request: Request) -> Cause {
    desk.refused(RefusalKind::Wrong, request)
}

#[test]
fn an_account_comes_and_goes() {
    let mut desk = Desk::on();
    let (office, joe) =
        ("office 203.0.113.7,2001:db8::/64 sip,web", "joe 203.0.113.8 all for 28800");
    assert_eq!(desk.done(allow(office)), changed([opened(office)]));
    assert_eq!(desk.done(allow(joe)), changed([opened(joe)]));
    assert_eq!(desk.projections, [Project::Difference, Project::Difference]);
    assert_eq!(desk.cuts, []);
    assert_eq!(desk.done(remove("office")), changed([removed(office)]));
    assert_eq!(desk.cuts, [Flows::Of(vec![range("203.0.113.7"), range("2001:db8::/64")])]);
    assert_eq!(desk.log(), ["anna: allow office", "anna: allow joe", "anna: remove office"]);
    let before = &desk.records[2];
    assert_eq!(before.before["name"], "office");
    assert!(before.after.is_null() && desk.records[0].before.is_null());
    let told = [opened(office), opened(joe), removed(office)];
    assert_eq!(desk.told, told.map(|reply| told_done(changed([reply]))));
    assert!(desk.told.iter().all(|told| told.level() == Level::Info));
}

#[test]
fn a_name_is_taken_or_unknown() {
    let mut desk = Desk::on();
    let office = "office 203.0.113.7 sip";
    desk.done(allow(office));
    assert_eq!(
        no(&mut desk, allow("office 203.0.113.8 sip")),
        because(accounts::Refusal::Exists(Box::new(made(office))))
    );
    let name = || "joe".parse().unwrap();
    let unknown = || because(accounts::Refusal::Unknown { name: name() });
    assert_eq!(no(&mut desk, remove("joe")), unknown());
    let show = accounts::Request::Show { name: name() };
    assert_eq!(no(&mut desk, Request::of(show)), unknown());
    let show = accounts::Request::Show { name: "office".parse().unwrap() };
    let shown = accounts::Reply::One(made(office));
    assert_eq!(desk.done(Request::of(show)), unchanged([shown.into()]));
}

#[test]
fn an_account_needs_addresses_services_and_a_measure() {
    let mut desk = Desk::on();
    let no_address = because(accounts::Refusal::NoAddress { name: "x".parse().unwrap() });
    let nobody = NewAccount { entries: Vec::new(), ..account("x 192.0.2.1 all") };
    assert_eq!(wrong(&mut desk, Request::of(accounts::Request::Allow(nobody))), no_address);
    let nothing = NewAccount { services: Grant::parse("").unwrap(), ..account("x 192.0.2.1 all") };
    assert_eq!(
        wrong(&mut desk, Request::of(accounts::Request::Allow(nothing))),
        because(accounts::Refusal::NoServices)
    );
    let known = [
        "iax",
        "manager",
        "openvpn",
        "ping",
        "provisioning",
        "rtp",
        "sip",
        "sip-tls",
        "ssh",
        "web",
        "webrtc",
        "wireguard",
    ];
    let known = known.map(|name| name.parse::<ServiceName>().unwrap()).to_vec();
    assert_eq!(
        wrong(&mut desk, allow("x 192.0.2.1 spi")),
        because(accounts::Refusal::NoSuchService { name: "spi".parse().unwrap(), known })
    );
    for wide in ["0.0.0.0/0", "::/0", "64.0.0.0/4", "2000::/3", "2001:d00::/10"] {
        assert_eq!(
            wrong(&mut desk, allow(&format!("x 192.0.2.1,{wide} sip"))),
            because(accounts::Refusal::Everybody { range: range(wide) })
        );
    }
    for nobody in ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::1", "255.255.255.255"]
    {
        assert_eq!(
            wrong(&mut desk, allow(&format!("x {nobody} sip"))),
            because(accounts::Refusal::NobodyElse { range: range(nobody) })
        );
    }
    for fits in ["a 64.0.0.0/5 sip", "b 2001:d00::/11 sip"] {
        desk.done(allow(fits));
    }
}

#[test]
fn a_long_account_is_answered_whole() {
    let mut desk = Desk::on();
    let many: Vec<String> =
        (0..10_000u32).map(|n| format!("10.0.{}.{}", n >> 8, n & 255)).collect();
    let many = format!("many {} sip", many.join(","));
    assert_eq!(desk.done(allow(&many)), changed([opened(&many)]));
    assert_eq!(desk.done(remove("many")), changed([removed(&many)]));
}

#[test]
fn a_block_says_whom_it_hits() {
    let mut desk = Desk::on();
    for text in ["203.0.113.9", "203.0.113.9 for 604800"] {
        assert_eq!(desk.done(block(text)), changed([blocked(text)]));
    }
    // The second one takes the place of the first, and the log has both.
    assert_eq!(desk.engine.state().blocks.all.len(), 1);
    assert_eq!(desk.records[1].before["range"], "203.0.113.9");
    desk.done(allow("office 203.0.113.0/24 all"));
    desk.done(allow("joe 203.0.113.20 all"));
    let stays_open = accounts::Reply::StaysOpen { name: "joe".to_owned() };
    let shut_out = accounts::Reply::ShutOut { name: "office".to_owned() };
    assert_eq!(
        desk.done(block("203.0.113.16/28")),
        changed([blocked("203.0.113.16/28"), stays_open.into(), shut_out.into()])
    );
    assert_eq!(desk.cuts.last(), Some(&Flows::Of(vec![range("203.0.113.16/28")])));
    let new = "new 203.0.113.9 sip";
    let stays_blocked = blocks::Reply::StaysBlocked { range: range("203.0.113.9") };
    assert_eq!(desk.done(allow(new)), changed([opened(new), stays_blocked.into()]));
    assert_eq!(desk.done(unblock("203.0.113.9")), changed([unblocked("203.0.113.9")]));
    for (text, around) in [("203.0.113.9", None), ("203.0.113.17", Some(range("203.0.113.16/28")))]
    {
        assert_eq!(
            no(&mut desk, unblock(text)),
            because(blocks::Refusal::NotBlocked { range: range(text), around })
        );
    }
}

#[test]
fn some_things_are_never_blocked() {
    let mut desk = Desk::on();
    for (blocked, network, what) in [
        ("127.0.0.1", "127.0.0.0/8", Untouchable::Loopback),
        ("::1", "::1", Untouchable::Loopback),
        ("fe80::1", "fe80::/10", Untouchable::Link),
        ("169.254.1.1", "169.254.0.0/16", Untouchable::Link),
        ("224.0.0.251", "224.0.0.0/4", Untouchable::Multicast),
    ] {
        let (range, network) = (range(blocked), network.to_owned());
        let expected = because(blocks::Refusal::Untouchable { range, network, what });
        assert_eq!(wrong(&mut desk, block(blocked)), expected);
        // Nor by force.
        assert_eq!(wrong(&mut desk, block(&format!("{blocked} force"))), expected);
    }
    assert_eq!(
        wrong(&mut desk, block("0.0.0.0/0 force")),
        because(blocks::Refusal::Everybody { range: range("0.0.0.0/0") })
    );
    assert_eq!(
        no(&mut desk, block("198.51.100.0/24")),
        because(blocks::Refusal::Guarded {
            range: range("198.51.100.0/24"),
            guarded: range("198.51.100.254"),
            what: "the gateway".to_owned()
        })
    );
    desk.done(block("198.51.100.0/24 force"));
}

#[test]
fn the_callers_own_session_is_not_cut_by_mistake() {
    let mut desk = Desk::on();
    desk.caller = anna_from("203.0.113.7");
    desk.done(allow("home 203.0.113.7 ssh,web"));
    assert_eq!(no(&mut desk, remove("home")), locked_out("203.0.113.7"));
    assert_eq!(no(&mut desk, block("203.0.113.7")), locked_out("203.0.113.7"));
    // The account is more specific than this block: the session stays.
    desk.done(block("203.0.113.0/24 for 60"));
    // A second account keeps the session.
    desk.done(allow("also 203.0.113.0/29 ssh"));
    desk.done(remove("also"));
    desk.done(
        Request::of(accounts::Request::Remove { name: "home".parse().unwrap() }).forced(true),
    );
    // Who is cut already can lose nothing.
    desk.done(block("203.0.113.7"));
}

#[test]
fn a_session_that_comes_by_the_mode_is_kept_too() {
    let config = Config::read("[open]\nservices = [\"ssh\"]").unwrap();
    let mut desk = Desk::on();
    desk.engine = Engine::new(desk.engine.state().clone(), config);
    assert_eq!(desk.done(mode(Mode::Open)), changed([mode_set(Mode::Open, &["ssh"])]));
    desk.caller = anna_from("2001:db8::7");
    assert_eq!(no(&mut desk, mode(Mode::Allowlist)), locked_out("2001:db8::7"));
    desk.done(Request::of(firewall::Request::Mode { mode: Mode::Allowlist }).forced(true));
}

#[test]
fn the_mode_changes_once() {
    let mut desk = Desk::on();
    let open = ["sip", "sip-tls"];
    assert_eq!(desk.done(mode(Mode::Open)), changed([mode_set(Mode::Open, &open)]));
    let already = firewall::Reply::ModeAlready { mode: Mode::Open };
    assert_eq!(desk.done(mode(Mode::Open)), unchanged([already.into()]));
    assert_eq!(desk.done(mode(Mode::Allowlist)), changed([mode_set(Mode::Allowlist, &open)]));
    assert_eq!(desk.log(), ["anna: mode mode", "anna: mode mode"]);
    assert_eq!(
        (&desk.records[1].before, &desk.records[1].after),
        (&"open".into(), &"allowlist".into())
    );
    // Strangers' flows are cut and their peers forgotten.
    assert_eq!(desk.cuts, [Flows::BegunByPeers]);
    assert_eq!(desk.unlearned, [Unlearn::UnregisteredExcept(std::collections::BTreeSet::new())]);
}

#[test]
fn while_the_firewall_is_off_changes_say_so() {
    let mut desk = Desk::new(State::default());
    let office = "office 203.0.113.7 sip";
    for (request, reply) in [
        (allow(office), opened(office)),
        (block("203.0.113.9"), blocked("203.0.113.9")),
        (unblock("203.0.113.9"), unblocked("203.0.113.9")),
        (mode(Mode::Open), mode_set(Mode::Open, &["sip", "sip-tls"])),
        (remove("office"), removed(office)),
    ] {
        let waits = Done { waits_for_up: true, stood: false, ..changed([reply]) };
        assert_eq!(desk.done(request), waits);
        assert_eq!(desk.told.last(), Some(&told_done(waits)));
    }
}

#[test]
fn what_cannot_be_written_down_does_not_happen() {
    for request in [
        allow("new 203.0.113.8 all"),
        remove("office"),
        block("203.0.113.9"),
        unblock("192.0.2.0/24"),
        mode(Mode::Open),
        down(),
    ] {
        let mut desk = Desk::on();
        desk.done(allow("office 203.0.113.7 sip"));
        desk.done(block("192.0.2.0/24"));
        let table = desk.table.clone();
        let error = "database or disk is full".to_owned();
        desk.store = Err(error.clone());
        assert_eq!(
            desk.refused(RefusalKind::Failed, request.clone()),
            Cause::NotWritten { error: error.clone() }
        );
        assert_eq!(desk.table.ruleset(), table.ruleset());
        let told = desk.told.last().unwrap();
        assert_eq!(*told, Told::Trouble(Trouble::NotWritten { error }));
        assert_eq!(told.level(), Level::Error);
        // With room again it goes on.
        desk.store = Ok(());
        desk.done(request);
    }
}

#[test]
fn what_the_kernel_refuses_is_tried_again() {
    let mut desk = Desk::on();
    let error = "nft is not installed: install the package nftables".to_owned();
    desk.kernel = Err(error.clone());
    let why = Cause::NotInKernel { error: error.clone(), again_in: Duration::from_secs(5) };
    assert_eq!(
        desk.ask(allow("office 203.0.113.7 sip")),
        Reply::Refused(Refusal::new(RefusalKind::Failed, why))
    );
    assert_eq!(desk.engine.state().accounts.all.len(), 1);
    desk.wait(5);
    desk.wait(5);
    let status = desk.status();
    assert_eq!(status.trouble, Some(error));
    desk.kernel = Ok(());
    desk.wait(5);
    assert_eq!(desk.projections.last(), Some(&Project::Whole));
    let status = desk.status();
    assert_eq!(status.trouble, None);
    assert_eq!(desk.engine.next_deadline(), None);
}

#[test]
fn a_retry_is_not_needed_after_a_change_that_went_well() {
    let mut desk = Desk::on();
    desk.kernel = Err("busy".to_owned());
    desk.ask(allow("a 203.0.113.7 sip"));
    desk.kernel = Ok(());
    desk.done(allow("b 203.0.113.8 sip"));
    assert_eq!(desk.engine.next_deadline(), None);
}

#[test]
fn a_new_configuration_holds_at_once_or_not_at_all() {
    let mut desk = Desk::on();
    let ask = |desk: &mut Desk, config: Result<Config, String>| {
        let (ticket, caller) = (Ticket(0), desk.caller.clone());
        desk.feed(Event::Configured { ticket, caller, config });
        desk.replies.pop().unwrap()
    };
    let error = "line 2: what".to_owned();
    let why = Cause::Configuration { error: error.clone() };
    assert_eq!(
        ask(&mut desk, Err(error)),
        Reply::Refused(Refusal::new(RefusalKind::Configuration, why))
    );
    assert_eq!(desk.projections, []);
    let config = Config::read("[services]\nsip = [\"udp/5070\"]").unwrap();
    let read = firewall::Reply::ConfigurationRead;
    assert_eq!(ask(&mut desk, Ok(config)), Reply::Done(changed([read.into()])));
    assert_eq!(
        (desk.log(), desk.projections.len()),
        (vec!["anna: reload configuration".to_owned()], 1)
    );
    desk.done(allow("office 203.0.113.7 sip"));
    let why = desk.why("203.0.113.7", Some("udp/5070"));
    assert!(why.verdict.passes, "{why:?}");
}

/// In mode open SSH may answer strangers, but not those on a list.
#[test]
fn a_listed_caller_does_not_lose_the_account_that_lets_him_in() {
    let mut config = Config::default();
    config.firewall.open.insert(ServiceName::known("ssh"));
    let protection = Protection::On { since: START };
    let posture = Posture { mode: Mode::Open, protection, ..Posture::default() };
    let mut state = State::with_posture(posture);
    let caller = Caller { origin: Some("203.0.113.7".parse().unwrap()), ..anna() };
    let origin = AddrRange::from(caller.origin.unwrap());
    let account = Account {
        name: "anna".parse().unwrap(),
        entries: vec![Entry::Range(origin)],
        services: Grant::All,
        until: None,
        note: String::new(),
        allow_private: false,
        since: START,
        by: String::new(),
    };
    let _ = state.apply(accounts::put(account));
    let remove = |listed: bool, why: &str| {
        let mut engine = Engine::new(state.clone(), config.clone());
        if listed {
            let mut content = RangeList::default();
            content.push(origin);
            content.merge();
            let (name, content) = ("bad".parse().unwrap(), std::sync::Arc::new(content));
            engine.note([feeds::Event::InForce { name, content }.into()], START);
        }
        let request =
            Request::of(accounts::Request::Remove { name: "anna".parse().unwrap() }).forced(false);
        let asked = Event::Asked { ticket: Ticket(1), caller: caller.clone(), request };
        assert_eq!(engine.handle(asked, START), [Engine::read_sets()]);
        let actions = engine.handle(Event::SetsRead(None), START);
        let refused = Refusal::new(RefusalKind::No, locked_out("203.0.113.7"));
        assert_eq!(actions, [Action::Reply(Ticket(1), Reply::Refused(refused))], "{why}");
    };
    remove(false, "a removed address is denied SSH even though it is open to strangers");
    remove(true, "the account is removed, and the caller shut out");
}

/// Two programs that load tables at once are in each other's way for a moment, in which the
/// machine may be open.
#[test]
fn the_kernel_is_tried_again_soon_and_then_less_often() {
    let mut desk = Desk::on();
    desk.kernel = Err("another program removes it".to_owned());
    desk.ask(allow("office 203.0.113.7 all"));
    let loaded = |actions: Vec<Action>| match actions.as_slice() {
        [Action::Load(load)] => load.to,
        other => panic!("{other:?}"),
    };
    let mut last = 0;
    for pause in [0, 0, 0, 0, 50, 100, 200, 400, 500, 500] {
        let due = desk.engine.next_deadline().unwrap();
        assert_eq!(due.since(desk.now), Duration::from_millis(pause));
        desk.now = due;
        last = loaded(desk.engine.handle_timeout(desk.now));
        let result = desk.kernel.clone();
        desk.engine.handle(Event::Applied { to: last, result }, desk.now);
    }
    let due = desk.engine.next_deadline().unwrap();
    assert_eq!(loaded(desk.engine.handle_timeout(due)), last + 1);
    // Strangers may have come in while there was no table.
    let actions = desk.engine.handle(Event::Applied { to: last + 1, result: Ok(()) }, due);
    let [Action::ListFlows { of, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(of.as_slice(), [Flows::BegunByPeers]);
    assert_eq!(desk.engine.next_deadline(), None);
}
