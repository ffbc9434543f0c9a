//! Bans: in the kernel before the disk has them, as long as the records say.

mod steps;

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::attack::{Attack, Evidence, Weight};
use crate::engine::batch::Waiting;
use crate::features::Fact;
use crate::features::bans::{self, Ban, NeverBanned, NewBan, Notice, Spared};
use crate::policy::Reason;
use crate::signalling::{LearnedBy, Peer};
use nightlatch_parse::log::Service;

/// So many attempts from there, the last one so many seconds after the beginning.
fn attack(source: &str, weight: Weight, last: u64) -> Attack {
    let last = START.after(Duration::from_secs(last));
    let evidence = Evidence {
        score: 6,
        networks: false,
        service: Service::Sip,
        attempts: 6,
        since: START,
        last,
        threshold: (5, 600),
        accounts_tried: 2,
        accounts: vec!["100".to_owned()],
        lines: Vec::new(),
    };
    Attack { source: range(source), weight, trusted_since: None, bantime: None, evidence }
}

impl Desk {
    /// What the engine does about attacks, before anything has answered.
    fn attacked(&mut self, attacks: Vec<Attack>) -> Vec<Action> {
        let facts = attacks.into_iter().map(Fact::Attacked).collect();
        self.engine.decide_urgently(Waiting::Facts(facts), self.now)
    }

    /// The same, with all answers.
    fn attack(&mut self, source: &str, weight: Weight, last: u64) {
        let actions = self.attacked(vec![attack(source, weight, last)]);
        self.execute(actions);
    }

    /// The PBX reports phones at these addresses, each on port 5062, and whether it heard from there.
    fn phones(&mut self, at: &[(&str, bool)]) {
        let contact = |(address, heard): &(&str, bool)| crate::pbx::PbxContact {
            extension: "204".to_owned(),
            address: address.parse().unwrap(),
            port: 5062,
            dynamic: true,
            heard: *heard,
        };
        let pbx = PbxPeers {
            answer: crate::pbx::PbxAnswer::Answered,
            contacts: at.iter().map(contact).collect(),
            ..PbxPeers::default()
        };
        let facts = vec![Fact::PbxReported(pbx)];
        let actions = self.engine.decide_urgently(Waiting::Facts(facts), self.now);
        self.execute(actions);
    }

    /// What `why` says of attacks from an address.
    fn never_banned(&mut self, address: &str) -> Option<NeverBanned> {
        let about = self.why(address, None).about;
        about.into_iter().find_map(|reply| match reply {
            features::Reply::Bans(bans::Reply::About { spared, .. }) => spared,
            _ => None,
        })
    }

    /// The banned ranges in the kernel, each with the seconds that it lasts from now on.
    fn banned(&self) -> Vec<(String, u64)> {
        let active = self
            .denied
            .iter()
            .filter(|((set, _), until)| set.name.starts_with("ban") && **until > self.now);
        let all = active.map(|((set, key), until)| {
            (format!("{} {}", set.name, key.address), until.since(self.now).as_secs())
        });
        all.collect()
    }

    /// Whether the kernel has exactly what the records say.
    fn agrees(&self) -> bool {
        let mut wanted = BTreeMap::new();
        self.engine.state().denied(&mut |it| {
            wanted.extend((it.until > self.now).then_some(((it.set, it.key), it.until)));
        });
        let mut found = self.denied.clone();
        found.retain(|_, until| *until > self.now);
        wanted == found
    }
}

fn ban(address: &str, seconds: Option<u64>) -> Request {
    let lasts = seconds.map(Duration::from_secs);
    let new = NewBan { range: range(address), lasts, reason: String::new() };
    Request::of(bans::Request::Ban(new))
}

fn unban(address: &str) -> Request {
    Request::of(bans::Request::Unban { range: range(address) })
}

#[test]
fn the_kernel_has_a_ban_before_anything_is_written() {
    let mut desk = Desk::on();
    // A commit runs, and the disk hangs.
    let event =
        Event::Asked { ticket: Ticket(1), caller: anna(), request: allow("joe 203.0.113.7 all") };
    let hanging = desk.engine.handle(event, desk.now);
    assert!(matches!(hanging.last(), Some(Action::Commit { .. })), "{hanging:?}");
    let actions = desk.attacked(vec![
        attack("192.0.2.1", Weight::Full, 1),
        attack("2001:db8:5::/56", Weight::Full, 1),
    ]);
    let [Action::Deny(deny)] = actions.as_slice() else { panic!("{actions:?}") };
    assert!(deny.is_urgent && deny.stale.is_empty() && deny.elements.len() == 2, "{deny:?}");
    let why = desk.why("192.0.2.1", None);
    assert!(matches!(why.verdict.reason, Reason::Banned { .. }), "{why:?}");
    desk.execute(actions);
    assert_eq!(
        desk.banned(),
        [("ban 192.0.2.1".to_owned(), 900), ("ban56_ 2001:db8:5::".to_owned(), 900)]
    );
    // One by hand too, which is answered when it is written.
    let event = Event::Asked { ticket: Ticket(2), caller: anna(), request: ban("192.0.2.2", None) };
    let actions = desk.engine.handle(event, desk.now);
    assert!(matches!(actions.as_slice(), [Action::Deny(_)]), "{actions:?}");
    desk.execute(actions);
    assert!(desk.replies.is_empty() && desk.changes.is_empty());
    // The disk answers after all.
    desk.execute(hanging);
    assert_eq!(desk.replies.len(), 2);
    assert_eq!(
        desk.log().iter().filter(|line| line.contains(" ban ")).count(),
        3,
        "{:?}",
        desk.log()
    );
    assert_eq!(desk.denials, 2);
    assert!(desk.agrees());
    let restored = desk.stored(&State::default());
    assert_eq!(restored.bans, desk.engine.state().bans);
}

#[test]
fn a_ban_holds_where_it_cannot_be_written() {
    let mut desk = Desk::on();
    desk.store = Err("disk is full".to_owned());
    desk.attack("192.0.2.1", Weight::Full, 1);
    let Reply::Refused(refusal) = desk.ask(ban("192.0.2.2", None)) else { panic!() };
    assert!(matches!(refusal.why, Cause::NotRecorded { .. }), "{refusal:?}");
    assert_eq!(desk.banned().len(), 2);
    assert!(desk.changes.is_empty());
    // Nor is one ended that is not written down.
    assert!(matches!(desk.ask(unban("192.0.2.2")), Reply::Refused(_)));
    assert_eq!(desk.banned().len(), 2);
    assert!(desk.agrees());
    desk.store = Ok(());
    desk.wait(11);
    assert_eq!(desk.stored(&State::default()).bans, desk.engine.state().bans);
    assert_eq!(desk.engine.state().bans.all.len(), 2);
}

#[test]
fn an_ended_ban_leaves_the_kernel_when_that_is_written() {
    let mut desk = Desk::on();
    desk.done(ban("192.0.2.1", Some(600)));
    desk.attack("192.0.2.2", Weight::Full, 1);
    let event = Event::Asked { ticket: Ticket(7), caller: anna(), request: unban("192.0.2.1") };
    let committing = desk.engine.handle(event, desk.now);
    assert!(matches!(committing.as_slice(), [Action::Commit { .. }]), "{committing:?}");
    // Another program flushes the table meanwhile: what is not on disk has not ended.
    let (by, found) = ("nft".to_owned(), "gone".to_owned());
    let load = desk.engine.handle(Event::Tampered { by, found }, desk.now);
    desk.execute(load);
    assert_eq!(desk.banned().len(), 2);
    // Banned again meanwhile, it stays so.
    let again = desk.attacked(vec![attack("192.0.2.1", Weight::Full, 5)]);
    desk.execute(again);
    desk.execute(committing);
    assert_eq!(desk.banned().len(), 2);
    assert!(desk.agrees());
    desk.done(unban("192.0.2.1"));
    assert_eq!(desk.banned().len(), 1);
    // The lines of before, read once more after a crash, do not begin it anew.
    desk.attack("192.0.2.1", Weight::Full, 0);
    assert_eq!(desk.banned().len(), 1);
    desk.done(Request::of(bans::Request::UnbanAll));
    assert_eq!(desk.banned().len(), 0);
    let nothing = bans::Refusal::NotBanned { range: range("192.0.2.1") };
    assert_eq!(desk.refused(RefusalKind::No, unban("192.0.2.1")), because(nothing));
    assert!(desk.agrees());
}

#[test]
fn who_comes_back_is_banned_for_longer() {
    let mut desk = Desk::on();
    let left = |desk: &Desk| desk.banned().first().map(|(_, left)| *left);
    let mut last = 1;
    for expected in [900, 3600, 21_600, 86_400, 604_800, 604_800] {
        desk.attack("192.0.2.1", Weight::Full, last);
        assert_eq!(left(&desk), Some(expected));
        // Packets that were on their way, and lines that are read once more.
        desk.attack("192.0.2.1", Weight::Full, last);
        desk.attack("192.0.2.1", Weight::Full, last + 1);
        assert_eq!(left(&desk), Some(expected));
        desk.wait(expected + 10);
        last = desk.now.since(START).as_secs();
        assert_eq!(left(&desk), None);
    }
    // Two quiet weeks make it two less.
    desk.wait(2 * 604_800);
    last = desk.now.since(START).as_secs();
    desk.attack("192.0.2.1", Weight::Full, last);
    assert_eq!(left(&desk), Some(604_800));
    desk.wait(604_800 * 10);
    assert_eq!(desk.engine.state().bans.all.len(), 0, "it is forgotten");
    last = desk.now.since(START).as_secs();
    desk.attack("192.0.2.1", Weight::Full, last);
    assert_eq!(left(&desk), Some(900));
}

#[test]
fn what_could_be_forged_is_brief_and_bounded() {
    let mut desk = Desk::on();
    let attacks = (0..1200_u32).map(|number| {
        attack(&format!("192.0.{}.{}", 3 + number / 256, number % 256), Weight::Brief, 1)
    });
    let actions = desk.attacked(attacks.collect());
    desk.execute(actions);
    let banned = desk.banned();
    assert_eq!(banned.len(), 1000);
    assert!(banned.iter().all(|(_, left)| *left == 600));
    let full = |told: &Told| {
        matches!(told, Told::Notice(features::Notice::Bans(Notice::Full { brief: true, .. })))
    };
    assert!(desk.told.iter().any(full));
    // One transaction for all of them, and a few words.
    assert_eq!(desk.denials, 1);
    let told = desk.told.iter().filter(|told| told.level() == Level::Info).count();
    assert!(told < 40, "{told}");
    // There is always room for what is certain; and it replaces what is not.
    desk.attack("192.0.3.1", Weight::Full, 2);
    let longest = desk.banned().into_iter().max_by_key(|(_, left)| *left);
    assert_eq!(longest, Some(("ban 192.0.3.1".to_owned(), 900)));
    // That does not make it a repetition.
    desk.wait(1000);
    desk.attack("192.0.3.2", Weight::Full, 999);
    assert_eq!(desk.banned(), [("ban 192.0.3.2".to_owned(), 900)]);
}

#[test]
fn who_is_never_banned() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.20,2001:db8:7::/48 sip"));
    for source in [
        "203.0.113.20",
        "2001:db8:7:1::/64",
        "198.51.100.254", // the gateway
        "10.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "fe80::/64",
    ] {
        desk.attack(source, Weight::Full, 1);
        assert_eq!(desk.banned(), [], "{source}");
        let told = desk.told.pop();
        let is_notice =
            matches!(told, Some(Told::Notice(features::Notice::Bans(Notice::Spared { .. }))));
        assert!(is_notice, "{source}: {told:?}");
    }
    let mut trusted = attack("192.0.2.1", Weight::Full, 1);
    trusted.trusted_since = Some(START);
    let actions = desk.attacked(vec![trusted]);
    desk.execute(actions);
    assert_eq!(desk.banned(), []);
    for wrong in ["203.0.113.20", "198.51.100.254"] {
        assert!(matches!(desk.ask(ban(wrong, None)), Reply::Refused(_)), "{wrong}");
    }
    let network = bans::Refusal::Network { range: range("192.0.2.0/24") };
    assert_eq!(desk.refused(RefusalKind::Wrong, ban("192.0.2.0/24", None)), because(network));
    // Nor is the caller's own session ended.
    desk.caller = anna_from("192.0.2.9");
    let _ = desk.done(allow("admin 192.0.2.8 ssh"));
    assert!(matches!(desk.ask(ban("192.0.2.8", None)), Reply::Refused(_)));
}

#[test]
fn an_account_in_a_banned_network_stays_allowed() {
    let mut desk = Desk::on();
    desk.done(allow("early 2001:db8:66:1::20 all"));
    desk.attack("2001:db8:66:1::/64", Weight::Full, 1);
    let passes =
        |desk: &mut Desk, address: &str| desk.why(address, Some("udp/5060")).verdict.passes;
    let banned = |desk: &mut Desk, address: &str| {
        let reason = desk.why(address, None).verdict.reason;
        matches!(reason, Reason::Banned { .. })
    };
    assert!(passes(&mut desk, "2001:db8:66:1::20") && banned(&mut desk, "2001:db8:66:1::21"));
    let excepted = |desk: &Desk| desk.table.ruleset().unwrap().excepted;
    assert_eq!(excepted(&desk), [range("2001:db8:66:1::20")]);
    // One that is added later too, at once; and the ban stays.
    desk.done(allow("late 2001:db8:66:1::30 all"));
    assert!(passes(&mut desk, "2001:db8:66:1::30"));
    assert_eq!(excepted(&desk).len(), 2);
    assert_eq!(desk.banned().len(), 1);
    // The end of the account is the end of that.
    desk.done(remove("late"));
    assert!(banned(&mut desk, "2001:db8:66:1::30"));
    assert_eq!(excepted(&desk).len(), 1);
    // Where all of it is allowed, the ban ends.
    desk.done(allow("whole 2001:db8:66:1::/64 all"));
    assert_eq!(desk.banned(), []);
    desk.attack("192.0.2.1", Weight::Full, 1);
    desk.done(allow("four 192.0.2.1 sip"));
    assert_eq!(desk.banned(), []);
    assert!(desk.agrees());
    let compiled = desk.engine.desired(desk.now).unwrap();
    assert_eq!(compiled.excepted, excepted(&desk));
}

/// What a restart finds is what was acknowledged.
#[test]
fn a_restart_puts_all_bans_back() {
    let mut desk = Desk::on();
    let attacks = (0..3000_u32)
        .map(|number| attack(&format!("192.1.{}.{}", number / 256, number % 256), Weight::Full, 1));
    let actions = desk.attacked(attacks.collect());
    desk.execute(actions);
    assert_eq!(desk.banned().len(), 3000);
    let before = State::with_posture(desk.engine.state().posture().clone());
    let mut again = Desk::new(desk.stored(&before));
    again.now = desk.now.after(Duration::from_secs(60));
    again.feed(Event::Started);
    let banned: BTreeSet<u64> = again.banned().into_iter().map(|(_, left)| left).collect();
    assert_eq!((again.banned().len(), banned), (3000, BTreeSet::from([840])));
    assert!(again.agrees());
    let kept: Vec<&Ban> = again.engine.state().bans.all.values().collect();
    assert_eq!(kept.len(), 3000);
}

/// The clock is set back, or forward: the kernel has what the records say then.
#[test]
fn a_clock_that_is_set() {
    let mut desk = Desk::on();
    desk.feed(Event::SetsRead(Some(Vec::new())));
    desk.done(ban("192.0.2.1", Some(600)));
    desk.done(ban("192.0.2.2", Some(86_400)));
    let denials = desk.denials;
    desk.wait(10);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    assert_eq!(desk.denials, denials, "nothing is sent while the clock goes on");
    // The kernel counts on by its own clock.
    let jump = |desk: &mut Desk, to: Time| {
        let (from, back) = (desk.now, desk.now > to);
        desk.now = to;
        let by = if back { from.since(to) } else { to.since(from) };
        for until in desk.denied.values_mut() {
            *until = match back {
                true => Time::from_millis(until.millis() - i64::try_from(by.as_millis()).unwrap()),
                false => until.after(by),
            };
        }
        desk.feed(Event::SetsRead(Some(Vec::new())));
        assert!(desk.agrees());
    };
    let day = desk.now.after(Duration::from_secs(3600));
    jump(&mut desk, day);
    assert_eq!(desk.banned().len(), 1);
    jump(&mut desk, START);
    assert_eq!(desk.banned().len(), 2);
}

/// What is limited where, and how strictly: `sip 203.0.113.20`.
fn limited(desk: &Desk) -> Vec<String> {
    let active = desk
        .denied
        .iter()
        .filter(|((set, _), until)| set.name.starts_with("limit_") && **until > desk.now);
    active
        .map(|((set, key), _)| {
            let port = if key.port == 0 { String::new() } else { format!(" port {}", key.port) };
            format!("{} {}{port}", set.name.trim_start_matches("limit_"), key.address)
        })
        .collect()
}

#[test]
fn who_has_an_account_is_limited() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.20 sip"));
    desk.phones(&[("203.0.113.20", true), ("192.0.2.5", false)]);
    desk.attack("203.0.113.20", Weight::Full, 1);
    assert_eq!(limited(&desk), ["free 203.0.113.20 port 5062", "sip 203.0.113.20"]);
    let rules = |desk: &Desk| desk.table.ruleset().unwrap().structure.limited.len();
    assert_eq!(rules(&desk), 1);
    let is_of_bans = |told: &&Told| matches!(told, Told::Notice(features::Notice::Bans(_)));
    let told = |desk: &Desk| desk.told.iter().filter(is_of_bans).count();
    assert_eq!(told(&desk), 1);
    let why = desk.why("203.0.113.20", Some("udp/5060"));
    assert!(why.verdict.passes, "{why:?}");
    // What was on its way makes nothing stricter; what goes on does, and is told once.
    desk.wait(5);
    desk.attack("203.0.113.20", Weight::Full, 5);
    assert_eq!((limited(&desk).len(), told(&desk)), (2, 1));
    desk.wait(60);
    desk.attack("203.0.113.20", Weight::Full, 65);
    desk.attack("203.0.113.20", Weight::Full, 66);
    assert_eq!(limited(&desk).last().unwrap(), "strict 203.0.113.20");
    assert_eq!(told(&desk), 2);
    // It ends an hour after the attack; the rules go when it is forgotten.
    desk.wait(3601);
    assert_eq!(limited(&desk), [] as [&str; 0]);
    desk.wait(2 * 86_400);
    assert_eq!((desk.engine.state().bans.all.len(), rules(&desk)), (0, 0));
    // One that only claims an address is not spared for that.
    desk.attack("192.0.2.5", Weight::Full, 200_000);
    assert_eq!(desk.banned().len(), 1);
    // Nor is an administrator ever banned, or limited.
    desk.caller = anna_from("192.0.2.9");
    let _ = desk.status();
    desk.attack("192.0.2.9", Weight::Full, 200_000);
    assert_eq!((desk.banned().len(), limited(&desk).len()), (1, 0));
}

/// What `why` announces is what happens when an attack comes.
#[test]
fn why_says_that_a_ban_would_spare_an_address() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.20,2001:db8:7:1::5 sip"));
    let server = |address: &str| {
        let (by, address) = (LearnedBy::Registered, address.parse().unwrap());
        let peer = Peer { by, address, port: 5060, local_port: 5060 };
        peer.until(START.after(Duration::from_secs(3600)))
    };
    let servers = ["198.51.100.70", "2001:db8:70::5"].map(server);
    desk.feed(Event::SetsRead(Some(servers.to_vec())));
    desk.phones(&[("198.51.100.20", true), ("198.51.100.21", false), ("2001:db8:20::20", true)]);
    desk.caller = anna_from("192.0.2.9");
    let _ = desk.status();
    let registered = || Some(Spared::Registered);
    let names = vec!["office".to_owned()];
    let gateway = Spared::Guarded { what: "the gateway".to_owned() };
    let office = Spared::Allowed { names: names.clone() };
    let cases = [
        ("198.51.100.20", registered(), true),
        ("198.51.100.70", registered(), true),
        ("2001:db8:20::20", registered(), true),
        ("2001:db8:20::99", registered(), true),
        ("2001:db8:70::5", registered(), false),
        ("2001:db8:70::99", None, false),
        ("198.51.100.21", None, false),
        ("192.0.2.1", None, false),
        ("192.0.2.9", Some(Spared::Administers), false),
        ("203.0.113.20", Some(office.clone()), true),
        ("2001:db8:7:1::5", Some(office), false),
        ("198.51.100.254", Some(gateway), false),
    ];
    for (number, (address, because, is_limited)) in (1..).zip(cases) {
        let because = because.map(|because| NeverBanned { because, limited: is_limited });
        assert_eq!(desk.never_banned(address), because, "{address}");
        let is_spared = because.is_some();
        let source = match address.parse().unwrap() {
            address @ IpAddr::V6(_) => AddrRange::network(address, 64).unwrap().to_string(),
            IpAddr::V4(_) => address.to_owned(),
        };
        desk.attack(&source, Weight::Full, 1000 * number);
        let address = address.parse().unwrap();
        let reason = desk.engine.why(address, None, desk.now).verdict.reason;
        assert_eq!(matches!(reason, Reason::Banned { .. }), !is_spared, "{address}: {reason:?}");
        let found = limited(&desk);
        assert_eq!(
            found.iter().any(|it| it.starts_with("sip ")),
            is_limited,
            "{address}: {found:?}"
        );
        desk.done(Request::of(bans::Request::UnbanAll));
    }
    // Who is banned already is not said to be spared.
    desk.done(ban("198.51.100.20", None));
    assert_eq!(desk.never_banned("198.51.100.20"), None);
}
