//! Knocks: the kernel opens an address by itself, and a lease is made of that.

use super::*;
use crate::condition::{self, LEASE, LEASE_END};
use crate::features::leases::{Lease, LeaseKey};
use crate::features::users::{self, Kind, NewUser, UserName};
use crate::knock::{self, KNOCKED};
use crate::learned::{Element, LearnedSets};
use crate::secret::Entropy;

const ADDRESS: &str = "203.0.113.7";
const HOUR: u64 = 3600;
const WEEK: u64 = 7 * 24 * HOUR;

fn add(user: &str, services: &str, permanent: bool, salt: u8) -> Request {
    let bytes = (0..Entropy::LENGTH).map(|at| (at * 41 + at / 5 * 13).to_le_bytes()[0] ^ salt);
    let new = NewUser {
        name: user.parse().unwrap(),
        services: Some(Grant::parse(services).unwrap()),
        kinds: [Kind::Knock].into(),
        agent: None,
        idle: None,
        hours: None,
        any_address: false,
        require_address: false,
        permanent,
        note: String::new(),
    };
    let entropy = Entropy::new(bytes.collect());
    Request::of(users::Request::Add { new: Box::new(new), entropy })
}

fn edit(user: &str, edit: users::Edit) -> Request {
    Request::of(users::Request::Set { name: user.parse().unwrap(), edit })
}

impl Desk {
    fn ports(&self, user: &str) -> [u16; 3] {
        let name: UserName = user.parse().unwrap();
        *self.engine.state().users.secrets[&name].knock.as_ref().unwrap().reveal()
    }

    /// What the kernel has after a user has knocked so many seconds ago.
    fn knocked(&self, user: &str, ago: u64, lasts: u64) -> Vec<Element> {
        let address = ADDRESS.parse().unwrap();
        let until = |lasts: u64| self.now.after(Duration::from_secs(lasts - ago));
        let key = condition::key(address);
        vec![
            Element { set: &LEASE, key, until: until(8 * HOUR) },
            Element { set: &LEASE_END, key, until: until(lasts) },
            Element {
                set: &KNOCKED,
                key: knock::key(address, self.ports(user)[2]),
                until: until(lasts),
            },
        ]
    }

    fn leases(&self) -> Vec<Lease> {
        self.engine.state().leases.all.values().cloned().collect()
    }

    fn openings(&self) -> usize {
        self.log().iter().filter(|line| line.contains(": open ")).count()
    }
}

#[test]
fn a_lease_is_made_of_a_knock_once() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip,web", false, 0));
    desk.now = desk.now.after(Duration::from_secs(100));
    let elements = desk.knocked("anna", 4, WEEK);
    assert!(!desk.why(ADDRESS, Some("udp/5060")).verdict.passes);
    desk.feed(Event::SetsRead(Some(elements.clone())));
    let at = START.after(Duration::from_secs(96));
    let lease = Lease {
        key: LeaseKey { user: "anna".into(), address: ADDRESS.parse().unwrap(), permanent: false },
        credential: "knock".to_owned(),
        services: Grant::parse("sip,web").unwrap(),
        hours: None,
        idle: 8 * HOUR,
        since: at,
        until: Some(at.after(Duration::from_secs(WEEK))),
    };
    assert_eq!(desk.leases(), [lease]);
    let knocked = elements[2];
    let gone = Unlearn::Exactly([(knocked.set, knocked.key)].into());
    assert_eq!(desk.unlearned, [gone]);
    assert_eq!(desk.openings(), 1);
    // What the kernel was asked before it was told to forget it, or what is read after a crash.
    let stale = Element { until: knocked.until.after(Duration::from_secs(1)), ..knocked };
    desk.feed(Event::SetsRead(Some(vec![elements[0], elements[1], stale])));
    assert_eq!((desk.openings(), desk.leases()[0].since), (1, at));
    // The person knocks again.
    desk.now = desk.now.after(Duration::from_secs(60));
    let again = desk.knocked("anna", 0, WEEK);
    desk.feed(Event::SetsRead(Some(again)));
    assert_eq!((desk.openings(), desk.leases()[0].since), (2, desk.now));
}

/// The kernel tells of the packet at once, and its sets are read later.
#[test]
fn the_lease_is_made_at_once() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip,web", false, 0));
    let [_, _, port] = desk.ports("anna");
    let syn = |port, did| {
        let source = ADDRESS.parse().unwrap();
        Event::Feature(users::Event::Syn(users::Syn { source, port, did }).into())
    };
    desk.now = desk.now.after(Duration::from_secs(50));
    desk.feed(syn(port, users::Did::Completed));
    assert_eq!((desk.openings(), desk.leases()[0].since), (1, desk.now));
    let elements = desk.knocked("anna", 0, WEEK);
    let gone = Unlearn::Exactly([(elements[2].set, elements[2].key)].into());
    assert_eq!(desk.unlearned.pop(), Some(gone));
    desk.now = desk.now.after(Duration::from_secs(1));
    desk.feed(Event::SetsRead(Some(elements)));
    assert_eq!((desk.openings(), desk.leases().len()), (1, 1), "it was the same knock");
    desk.feed(syn(port ^ 1, users::Did::Completed));
    assert_eq!(desk.openings(), 1, "nobody's port");
    let told = desk.told.len();
    for _ in 0..20 {
        desk.feed(syn(port, users::Did::Failed));
    }
    for last in [1, 1, 2, 3, 4] {
        let (source, did) = ([192, 0, 2, last].into(), users::Did::Overflowed);
        desk.feed(Event::Feature(users::Event::Syn(users::Syn { source, port, did }).into()));
    }
    let source = ADDRESS.parse().unwrap();
    let wrong = users::Notice::WrongKnocks { source, tries: 5 };
    assert_eq!(desk.told[told..], [notice(wrong), notice(users::Notice::KnocksFull)]);
}

#[test]
fn until_then_it_counts_as_the_kernel_has_it() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip", false, 0));
    let elements = desk.knocked("anna", 4, WEEK);
    desk.engine.learned.sets = elements.iter().copied().collect();
    let passes = |desk: &Desk, to: &str| {
        let why = desk.engine.why(ADDRESS.parse().unwrap(), Some(to.parse().unwrap()), desk.now);
        why.verdict.passes
    };
    assert!(passes(&desk, "udp/5060") && !passes(&desk, "tcp/443"));
    desk.engine.learned.sets = elements[1..].iter().copied().collect();
    assert!(!passes(&desk, "udp/5060"), "it has ended");
    desk.engine.learned.sets = elements.into_iter().collect();
    desk.done(block("203.0.113.0/24"));
    assert!(!passes(&desk, "udp/5060"), "it is blocked");
}

#[test]
fn what_belongs_to_nobody_opens_nothing() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip", false, 0));
    let known = desk.knocked("anna", 0, WEEK);
    // An old sequence, and one whose lease has ended.
    let unknown = Element { key: knock::key(ADDRESS.parse().unwrap(), 7), ..known[2] };
    for elements in [vec![known[0], known[1], unknown], vec![known[1], known[2]]] {
        let element = *elements.last().unwrap();
        desk.feed(Event::SetsRead(Some(elements)));
        let gone = Unlearn::Exactly([(element.set, element.key)].into());
        assert_eq!((desk.unlearned.pop(), desk.leases()), (Some(gone), vec![]));
    }
    assert_eq!(desk.openings(), 0);
}

/// The daemon was stopped when somebody knocked, and the sets were saved since.
#[test]
fn a_start_ends_no_knock() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip", false, 0));
    let elements = desk.knocked("anna", 10, WEEK);
    let mut engine = Engine::new(desk.engine.state().clone(), Config::default());
    engine.restore_learned(elements.iter().copied().collect::<LearnedSets>());
    desk.engine = engine;
    desk.unlearned.clear();
    desk.feed(Event::Started);
    assert_eq!(desk.unlearned, []);
    desk.feed(Event::SetsRead(Some(elements)));
    assert_eq!(desk.leases().len(), 1);
}

#[test]
fn a_knock_may_open_permanently() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip,web", true, 0));
    let elements = desk.knocked("anna", 0, knock::MAX_OPEN.as_secs());
    desk.feed(Event::SetsRead(Some(elements)));
    let lease = desk.leases().remove(0);
    assert!(lease.key.permanent && lease.until.is_none(), "{lease:?}");
    assert_eq!((lease.services, lease.idle), (Grant::parse("sip").unwrap(), 30 * 24 * HOUR));
    let refusal = users::Refusal::NoneUnnamed { name: "ben".parse().unwrap() };
    let why = desk.refused(RefusalKind::Wrong, add("ben", "web,ssh", true, 9));
    assert_eq!(why, because(refusal));
    let web = Some(Grant::parse("web").unwrap());
    let edit_web = edit("anna", users::Edit { services: web, ..users::Edit::default() });
    desk.refused(RefusalKind::Wrong, edit_web);
    desk.done(add("ben", "web", false, 9));
    desk.done(add("carl", "sip", false, 21));
    let permanent = |permanent| Request::of(users::Request::Permanent { permanent });
    let said = |permanent, changed: &[&str], refused: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        users::Reply::Permanent { permanent, changed: names(changed), refused: names(refused) }
    };
    assert_eq!(desk.done(permanent(true)), changed([said(true, &["carl"], &["ben"]).into()]));
    assert_eq!(desk.done(permanent(false)), changed([said(false, &["anna", "carl"], &[]).into()]));
    let (audit, count) = (desk.log(), desk.log().len());
    assert_eq!(audit[count - 2..], ["anna: user-set anna", "anna: user-set carl"]);
}

/// What closes goes to the kernel while the disk hangs, and what opens waits for it.
#[test]
fn a_new_sequence_waits_for_the_disk() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip", false, 0));
    let can_knock = |desk: &Desk| desk.engine.sent().unwrap().1.knocks.sequences.len();
    assert_eq!(can_knock(&desk), 1);
    let ask = |desk: &mut Desk, request| {
        let event = Event::Asked { ticket: Ticket(99), caller: anna(), request };
        desk.engine.handle(event, desk.now)
    };
    let actions = ask(&mut desk, add("ben", "sip", false, 9));
    assert!(matches!(actions.as_slice(), [Action::Commit { .. }]), "{actions:?}");
    assert_eq!(can_knock(&desk), 1);
    let actions = desk.engine.handle(Event::Stored(Err("full".to_owned())), desk.now);
    desk.execute(actions);
    assert_eq!(can_knock(&desk), 1);
    desk.done(add("ben", "sip", false, 9));
    assert_eq!(can_knock(&desk), 2);
    let revoke = Request::of(users::Request::Revoke { name: "anna".parse().unwrap() });
    desk.engine.handle(Event::SetsRead(Some(Vec::new())), desk.now);
    ask(&mut desk, revoke);
    let actions = desk.engine.handle(Event::SetsRead(Some(Vec::new())), desk.now);
    let applies = |action: &Action| matches!(action, Action::Apply(it) if it.structure.is_some());
    assert!(actions.iter().any(applies), "{actions:?}");
    assert_eq!(can_knock(&desk), 1);
    let actions = desk.engine.handle(Event::Stored(Err("full".to_owned())), desk.now);
    desk.execute(actions);
    assert_eq!(can_knock(&desk), 2, "it is taken back");
}

/// The table follows the sequences: a revoked one is in no chain, and no set of its class counts.
#[test]
fn the_table_has_the_sequences() {
    let mut desk = Desk::on();
    desk.done(add("anna", "sip", false, 0));
    desk.done(add("ben", "sip", false, 9));
    desk.done(add("carl", "web", false, 21));
    let knocks = |desk: &Desk| desk.engine.sent().unwrap().1.knocks;
    let before = knocks(&desk);
    assert_eq!((before.sequences.len(), before.classes.len()), (3, 2));
    assert_eq!(desk.projections.last(), Some(&Project::Difference));
    let name = "ben".parse().unwrap();
    desk.done(Request::of(users::Request::Revoke { name }));
    let after = knocks(&desk);
    assert_eq!((after.sequences.len(), after.classes.len()), (2, 2));
    let ids = |knocks: &crate::ruleset::KnockRules| {
        knocks.classes.iter().map(|class| class.id.clone()).collect::<Vec<_>>()
    };
    let shared = ids(&before).iter().filter(|id| ids(&after).contains(*id)).count();
    assert_eq!(shared, 1, "the class of anna is another, that of carl is not");
    let copy = serde_json::to_string(&desk.engine.sent().unwrap().1).unwrap();
    for port in desk.ports("anna") {
        assert!(!copy.contains(&port.to_string()), "the copy on disk has no sequence");
    }
}
