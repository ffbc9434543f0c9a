//! Accounts, blocks, the mode: what is done, what is refused, and in which words.

use super::*;
use crate::ledger::{Account, HostName};
use crate::service::ServiceName;
use nightlatch_parse::ranges::RangeList;

fn no(desk: &mut Desk, request: Request) -> String {
    desk.refused(RefusalKind::No, request)
}

fn wrong(desk: &mut Desk, request: Request) -> String {
    desk.refused(RefusalKind::Wrong, request)
}

#[test]
fn an_account_comes_and_goes() {
    let mut desk = Desk::on();
    assert_eq!(
        desk.done(allow("office 203.0.113.7,2001:db8::/64 sip,web")),
        "account \"office\" is open: 203.0.113.7, 2001:db8::/64 for sip, web\nif this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow office-media NETWORK --services rtp\""
    );
    assert_eq!(
        desk.done(allow("joe 203.0.113.8 all for 28800")),
        "account \"joe\" is open: 203.0.113.8 for all, until 2026-11-20 17:17:00 UTC (8h)"
    );
    assert_eq!(desk.projections, [Project::Difference, Project::Difference]);
    assert_eq!(desk.cuts, []);
    assert_eq!(
        desk.done(remove("office")),
        "account \"office\" is removed: 203.0.113.7, 2001:db8::/64 for sip, web is closed, running connections and media streams are cut"
    );
    assert_eq!(desk.cuts, [Flows::Of(vec![range("203.0.113.7"), range("2001:db8::/64")])]);
    assert_eq!(desk.log(), ["anna: allow office", "anna: allow joe", "anna: remove office"]);
    let removed = &desk.records[2];
    assert_eq!(removed.before["name"], "office");
    assert!(removed.after.is_null() && desk.records[0].before.is_null());
    let told: Vec<&str> = desk.told.iter().map(|(_, message)| message.as_str()).collect();
    assert!(told[0].starts_with("anna: account \"office\" is open"), "{told:?}");
}

#[test]
fn a_name_is_taken_or_unknown() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7 sip"));
    assert_eq!(
        no(&mut desk, allow("office 203.0.113.8 sip")),
        "account \"office\" exists already (203.0.113.7 for sip): use \"nightlatch show office\", remove it first, or take another name"
    );
    let unknown = "there is no account \"joe\": \"nightlatch list\" shows all of them";
    assert_eq!(no(&mut desk, remove("joe")), unknown);
    assert_eq!(no(&mut desk, Request::Show { name: "joe".parse().unwrap() }), unknown);
    let Reply::Account(shown) = desk.ask(Request::Show { name: "office".parse().unwrap() }) else {
        panic!()
    };
    assert_eq!((shown.by.as_str(), shown.since), ("anna", START));
}

#[test]
fn an_account_needs_addresses_services_and_a_measure() {
    let mut desk = Desk::on();
    let nobody = NewAccount { entries: Vec::new(), ..account("x 192.0.2.1 all") };
    assert_eq!(wrong(&mut desk, Request::Allow(nobody)), "account \"x\" needs an address");
    let (name, addresses): (HostName, _) = ("office.example.net".parse().unwrap(), Vec::new());
    let host = Entry::Host { name, addresses };
    let unresolved = NewAccount { entries: vec![host], ..account("x 192.0.2.1 all") };
    assert_eq!(wrong(&mut desk, Request::Allow(unresolved)), "account \"x\" needs an address");
    let nothing = NewAccount { services: Grant::parse("").unwrap(), ..account("x 192.0.2.1 all") };
    assert_eq!(wrong(&mut desk, Request::Allow(nothing)), "name at least one service, or \"all\"");
    assert_eq!(
        wrong(&mut desk, allow("x 192.0.2.1 spi")),
        "there is no service \"spi\" on this server: write all, or some of iax, manager, openvpn, ping, provisioning, rtp, sip, sip-tls, ssh, web, webrtc, wireguard"
    );
    for wide in ["0.0.0.0/0", "::/0", "64.0.0.0/4", "2000::/3", "2001:d00::/10"] {
        let range = range(wide);
        assert_eq!(
            wrong(&mut desk, allow(&format!("x 192.0.2.1,{wide} sip"))),
            format!(
                "{range} is a great part of the internet, and an account of it would let nearly everybody in: name the networks you trust, or use \"nightlatch mode open\""
            )
        );
    }
    for nobody in ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::1", "255.255.255.255"]
    {
        assert_eq!(
            wrong(&mut desk, allow(&format!("x {nobody} sip"))),
            format!(
                "{nobody} is the machine itself or nobody in particular: nobody comes in from there"
            )
        );
    }
    for fits in ["a 64.0.0.0/5 sip", "b 2001:d00::/11 sip"] {
        desk.done(allow(fits));
    }
}

#[test]
fn a_long_account_is_named_in_few_words() {
    let mut desk = Desk::on();
    let many: Vec<String> =
        (0..10_000u32).map(|n| format!("10.0.{}.{}", n >> 8, n & 255)).collect();
    let message = desk.done(allow(&format!("many {} sip", many.join(","))));
    assert_eq!(
        message,
        "account \"many\" is open: 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 9995 more for sip\nif this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow many-media NETWORK --services rtp\""
    );
    assert!(desk.done(remove("many")).len() < 200);
}

#[test]
fn a_block_says_whom_it_hits() {
    let mut desk = Desk::on();
    assert_eq!(desk.done(block("203.0.113.9")), "203.0.113.9 is blocked");
    assert_eq!(
        desk.done(block("203.0.113.9 for 604800")),
        "203.0.113.9 is blocked until 2026-11-27 09:17:00 UTC (7d)"
    );
    // The second one takes the place of the first, and the log has both.
    assert_eq!(desk.engine.ledger().blocks.len(), 1);
    assert_eq!(desk.records[1].before["range"], "203.0.113.9");
    desk.done(allow("office 203.0.113.0/24 all"));
    desk.done(allow("joe 203.0.113.20 all"));
    assert_eq!(
        desk.done(block("203.0.113.16/28")),
        "203.0.113.16/28 is blocked\naccount \"joe\" stays open: it is more specific than the block\nattention: this shuts out addresses of account \"office\""
    );
    assert_eq!(desk.cuts.last(), Some(&Flows::Of(vec![range("203.0.113.16/28")])));
    assert_eq!(
        desk.done(allow("new 203.0.113.9 sip")),
        "account \"new\" is open: 203.0.113.9 for sip\nattention: 203.0.113.9 is blocked and stays shut out: \"nightlatch unblock 203.0.113.9\"\nif this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow new-media NETWORK --services rtp\""
    );
    assert_eq!(desk.done(unblock("203.0.113.9")), "203.0.113.9 is no longer blocked");
    assert_eq!(
        no(&mut desk, unblock("203.0.113.9")),
        "203.0.113.9 is not blocked: \"nightlatch list\" shows all blocks"
    );
    assert_eq!(
        no(&mut desk, unblock("203.0.113.17")),
        "203.0.113.17 itself is not blocked, but 203.0.113.16/28 is: \"nightlatch unblock 203.0.113.16/28\""
    );
}

#[test]
fn some_things_are_never_blocked() {
    let mut desk = Desk::on();
    for (blocked, network, what) in [
        ("127.0.0.1", "127.0.0.0/8", "the loopback network"),
        ("::1", "::1", "the loopback address"),
        ("fe80::1", "fe80::/10", "the link's own addresses"),
        ("169.254.1.1", "169.254.0.0/16", "the link's own addresses"),
        ("224.0.0.251", "224.0.0.0/4", "multicast"),
    ] {
        let expected = format!("{blocked} cannot be blocked: it reaches into {network}, {what}");
        assert_eq!(wrong(&mut desk, block(blocked)), expected);
        // Nor by force.
        assert_eq!(wrong(&mut desk, block(&format!("{blocked} force"))), expected);
    }
    assert_eq!(
        wrong(&mut desk, block("0.0.0.0/0 force")),
        "0.0.0.0/0 is a great part of the internet: to be invisible to everybody but your accounts, use \"nightlatch mode allowlist\""
    );
    assert_eq!(
        no(&mut desk, block("198.51.100.0/24")),
        "198.51.100.0/24 is not blocked: 198.51.100.254 is the gateway, and the server needs it; if you are sure, add --force"
    );
    desk.done(block("198.51.100.0/24 force"));
}

#[test]
fn the_callers_own_session_is_not_cut_by_mistake() {
    let mut desk = Desk::on();
    desk.caller = anna_from("203.0.113.7");
    desk.done(allow("home 203.0.113.7 ssh,web"));
    let refusal = "nothing was changed: this would end your own session from 203.0.113.7; allow 203.0.113.7 in another account first, or add --force";
    assert_eq!(no(&mut desk, remove("home")), refusal);
    assert_eq!(no(&mut desk, block("203.0.113.7")), refusal);
    // The account is more specific than this block: the session stays.
    desk.done(block("203.0.113.0/24 for 60"));
    // A second account keeps the session.
    desk.done(allow("also 203.0.113.0/29 ssh"));
    desk.done(remove("also"));
    desk.done(Request::Remove { name: "home".parse().unwrap(), force: true });
    // Who is cut already can lose nothing.
    desk.done(block("203.0.113.7"));
}

#[test]
fn a_session_that_comes_by_the_mode_is_kept_too() {
    let rules = Rules::read("[open]\nservices = [\"ssh\"]").unwrap();
    let mut desk = Desk::on();
    desk.engine = Engine::new(desk.engine.ledger().clone(), rules);
    assert_eq!(
        desk.done(mode(Mode::Open)),
        "the mode is open now: strangers reach ssh, under rate limits"
    );
    desk.caller = anna_from("2001:db8::7");
    assert_eq!(
        no(&mut desk, mode(Mode::Allowlist)),
        "nothing was changed: this would end your own session from 2001:db8::7; allow 2001:db8::7 in another account first, or add --force"
    );
    desk.done(Request::Mode { mode: Mode::Allowlist, force: true });
}

#[test]
fn the_mode_changes_once() {
    let mut desk = Desk::on();
    assert_eq!(
        desk.done(mode(Mode::Open)),
        "the mode is open now: strangers reach sip, sip-tls, under rate limits"
    );
    assert_eq!(desk.done(mode(Mode::Open)), "the mode is open already");
    assert_eq!(
        desk.done(mode(Mode::Allowlist)),
        "the mode is allowlist now: strangers are dropped, including their established signalling; media streams to which this host sends continue"
    );
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
    let mut desk = Desk::new(Ledger::default());
    let off = "the firewall is OFF: this counts when \"nightlatch up\" puts it up";
    for request in [
        allow("office 203.0.113.7 sip"),
        block("203.0.113.9"),
        unblock("203.0.113.9"),
        mode(Mode::Open),
        remove("office"),
    ] {
        let message = desk.done(request);
        assert_eq!(message.lines().last(), Some(off), "{message}");
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
        Request::Down,
    ] {
        let mut desk = Desk::on();
        desk.done(allow("office 203.0.113.7 sip"));
        desk.done(block("192.0.2.0/24"));
        let table = desk.table.clone();
        desk.store = Err("database or disk is full".to_owned());
        assert_eq!(
            desk.refused(RefusalKind::Failed, request.clone()),
            "nothing was changed: the change could not be written down: database or disk is full"
        );
        assert_eq!(desk.table.ruleset(), table.ruleset());
        assert_eq!(desk.told.last().unwrap().0, Level::Error);
        // With room again it goes on.
        desk.store = Ok(());
        desk.done(request);
    }
}

#[test]
fn what_the_kernel_refuses_is_tried_again() {
    let mut desk = Desk::on();
    desk.kernel = Err("nft is not installed: install the package nftables".to_owned());
    let Reply::Refused(refusal) = desk.ask(allow("office 203.0.113.7 sip")) else { panic!() };
    assert_eq!(refusal.kind, RefusalKind::Failed);
    assert_eq!(
        refusal.message,
        "it is written down, but the kernel does not have it yet (nft is not installed: install the package nftables); it is tried again at once, and then every 5 seconds"
    );
    assert_eq!(desk.engine.ledger().accounts.len(), 1);
    desk.wait(5);
    desk.wait(5);
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert!(!status.intact);
    assert_eq!(status.warnings, ["nft is not installed: install the package nftables"]);
    desk.kernel = Ok(());
    desk.wait(5);
    assert_eq!(desk.projections.last(), Some(&Project::Whole));
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert!(status.intact && status.warnings.is_empty());
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
    let ask = |desk: &mut Desk, rules: Result<Rules, String>| {
        let (ticket, caller) = (Ticket(0), desk.caller.clone());
        desk.feed(Event::Configured { ticket, caller, rules });
        desk.replies.pop().unwrap()
    };
    let Reply::Refused(refusal) = ask(&mut desk, Err("line 2: what".to_owned())) else { panic!() };
    assert_eq!(
        (refusal.kind, refusal.message.as_str()),
        (RefusalKind::Configuration, "line 2: what")
    );
    assert_eq!(desk.projections, []);
    let rules = Rules::read("[services]\nsip = [\"udp/5070\"]").unwrap();
    let Reply::Done { message } = ask(&mut desk, Ok(rules)) else { panic!() };
    assert_eq!(message, "the configuration was read again and holds now");
    assert_eq!(
        (desk.log(), desk.projections.len()),
        (vec!["anna: reload configuration".to_owned()], 1)
    );
    desk.done(allow("office 203.0.113.7 sip"));
    let to = Some("udp/5070".parse().unwrap());
    let Reply::Why(why) = desk.ask(Request::Why { address: "203.0.113.7".parse().unwrap(), to })
    else {
        panic!()
    };
    assert!(why.passes, "{}", why.sentence);
}

/// In mode open SSH may answer strangers, but not those on a list.
#[test]
fn a_listed_caller_does_not_lose_the_account_that_lets_him_in() {
    let mut rules = Rules::default();
    rules.open.insert(ServiceName::known("ssh"));
    let mut ledger = Ledger { mode: Mode::Open, ..Ledger::default() };
    ledger.protection = Protection::On { since: START };
    let caller = Caller { origin: Some("203.0.113.7".parse().unwrap()), ..anna() };
    let origin = AddrRange::from(caller.origin.unwrap());
    let account = Account {
        name: "anna".parse().unwrap(),
        entries: vec![Entry::Range(origin)],
        services: Grant::All,
        until: None,
        note: String::new(),
        since: START,
        by: String::new(),
    };
    let _ = ledger.apply(Change::PutAccount(account));
    let remove = |listed: bool| {
        let mut engine = Engine::new(ledger.clone(), rules.clone());
        if listed {
            let mut content = RangeList::default();
            content.push(origin);
            content.merge();
            engine.lists.put_feed("bad".parse().unwrap(), std::sync::Arc::new(content));
        }
        let request = Request::Remove { name: "anna".parse().unwrap(), force: false };
        let asked = Event::Asked { ticket: Ticket(1), caller: caller.clone(), request };
        assert_eq!(engine.handle(asked, START), [Action::ReadPeers]);
        let actions = engine.handle(Event::PeersUnreadable, START);
        matches!(actions.as_slice(), [Action::Reply(_, Reply::Refused(_))])
    };
    assert!(remove(false), "a removed address is denied SSH even though it is open to strangers");
    assert!(remove(true), "the account is removed, and the caller shut out");
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
    let [Action::Teach(taught), Action::ListFlows { of, .. }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!((taught.len(), of.as_slice()), (0, [Flows::BegunByPeers].as_slice()));
    assert_eq!(desk.engine.next_deadline(), None);
}
