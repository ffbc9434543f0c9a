//! Users: what is decided, written down, recorded and answered; and where secrets must not be.

use std::net::IpAddr;

use super::*;
use crate::features::users::{self, Card, Kind, NewUser, Opens, Secrets, User, UserName};
use crate::features::{Fact, Feature as _};
use crate::row::Row;
use crate::secret::Entropy;

/// Random bytes that a test knows.
fn entropy(salt: u8) -> Entropy {
    let bytes = (0..Entropy::LENGTH).map(|at| (at * 37 + at / 7 * 11).to_le_bytes()[0] ^ salt);
    Entropy::new(bytes.collect())
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

/// `anna sip,web knock,spa`
fn new(text: &str) -> NewUser {
    let words: Vec<&str> = text.split(' ').collect();
    let [user, services, kinds] = words.as_slice() else { panic!("{text}") };
    NewUser {
        hours: None,
        name: name(user),
        services: Some(Grant::parse(services).unwrap()),
        kinds: Kind::parse_list(kinds).unwrap(),
        agent: None,
        idle: None,
        permanent: false,
        note: "at home".to_owned(),
        any_address: false,
        require_address: false,
    }
}

fn add(text: &str, salt: u8) -> Request {
    Request::of(users::Request::Add { new: Box::new(new(text)), entropy: entropy(salt) })
}

fn set(user: &str, services: Option<&str>) -> Request {
    let services = services.map(|text| Grant::parse(text).unwrap());
    let edit = users::Edit { services, ..users::Edit::default() };
    Request::of(users::Request::Set { name: name(user), edit })
}

fn rotate(user: &str, kinds: &str, salt: u8) -> Request {
    let kinds = Kind::parse_list(kinds).unwrap();
    Request::of(users::Request::Rotate {
        name: name(user),
        kinds,
        agent: None,
        entropy: entropy(salt),
    })
}

fn revoke(user: &str) -> Request {
    Request::of(users::Request::Revoke { name: name(user) })
}

fn card(user: &str, again: bool) -> Request {
    Request::of(users::Request::Card { name: name(user), again })
}

fn open(user: &str, address: &str, lasts: Option<u64>) -> Request {
    let (address, lasts) = (address.parse().unwrap(), lasts.map(Duration::from_secs));
    let (name, permanent, services) = (name(user), false, None);
    Request::of(users::Request::Open(users::Open { name, address, lasts, permanent, services }))
}

fn shown(done: Done) -> Card {
    match done.said.into_iter().next() {
        Some(features::Reply::Users(users::Reply::Card(card))) => *card,
        other => panic!("{other:?}"),
    }
}

fn secrets(desk: &Desk, user: &str) -> Secrets {
    desk.engine.state().users.secrets[&name(user)].clone()
}

fn user(desk: &Desk, text: &str) -> User {
    desk.engine.state().users.all[&name(text)].clone()
}

/// Every text of which secrets consist.
fn texts(secrets: &Secrets) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(knock) = &secrets.knock {
        texts.extend(knock.reveal().map(|port| port.to_string()));
    }
    if let Some(spa) = &secrets.spa {
        texts.extend([spa.key.reveal().clone(), spa.hmac_key.reveal().clone()]);
        texts.push(spa.port.reveal().to_string());
    }
    if let Some(agent) = &secrets.agent {
        texts.extend(agent.text.as_ref().map(|text| text.reveal().clone()));
        for bytes in [agent.key.reveal(), agent.hash.reveal()] {
            texts.push(serde_json::to_string(bytes).unwrap());
            texts.push(format!("{bytes:?}"));
        }
    }
    texts
}

#[test]
fn without_services_credentials_open_telephony_only() {
    let mut desk = Desk::on();
    let unnamed = NewUser { services: None, ..new("anna sip knock,spa") };
    let request = users::Request::Add { new: Box::new(unnamed), entropy: entropy(0) };
    desk.done(Request::of(request));
    let services = user(&desk, "anna").services;
    assert_eq!(services, Grant::parse("iax,rtp,sip,sip-tls").unwrap());
    let knocks = desk.engine.state().users.knocks();
    assert!(knocks.iter().all(|knock| knock.opens.services == services));
}

#[test]
fn a_user_is_made_changed_and_revoked() {
    let mut desk = Desk::on();
    let before = desk.engine.state().clone();
    let done = desk.done(add("anna sip,web knock,spa,agent", 0));
    assert_eq!(done, changed([users::Reply::Added(user(&desk, "anna")).into()]));
    let anna = user(&desk, "anna");
    assert_eq!(anna.credentials.keys().copied().collect::<Vec<_>>(), Kind::ALL);
    assert_eq!((anna.by.as_str(), anna.note.as_str(), anna.since), ("anna", "at home", START));
    assert_eq!(desk.stored(&before), *desk.engine.state());

    let done = desk.done(set("anna", Some("sip")));
    assert_eq!(done.said, [users::Reply::Changed(user(&desk, "anna")).into()]);
    assert_eq!(user(&desk, "anna").services, Grant::parse("sip").unwrap());
    assert!(!desk.done(set("anna", Some("sip"))).changed);

    desk.done(revoke("anna"));
    assert_eq!(*desk.engine.state(), before);
    assert_eq!(desk.stored(&before), before);
    assert_eq!(
        desk.log(),
        ["anna: user-add anna", "anna: user-set anna", "anna: user-revoke anna"]
    );
    // The name is free again, for somebody else.
    desk.done(add("anna sip spa", 1));
}

#[test]
fn a_card_is_shown_once_and_again_only_if_asked_for() {
    let mut desk = Desk::on();
    desk.done(add("anna sip,web knock,spa,agent", 0));
    let made = secrets(&desk, "anna");
    let first = shown(desk.done(card("anna", false)));
    assert_eq!(first.secrets, made);
    assert_eq!(first.user.card_shown, Some(START));
    assert_eq!((first.idle.as_secs(), first.longest.as_secs()), (8 * 3600, 7 * 86_400));
    assert!(first.ports.iter().any(|ports| ports.first == 5060));
    desk.now = START.after(Duration::from_secs(60));
    let refused = desk.refused(RefusalKind::No, card("anna", false));
    assert_eq!(refused, because(users::Refusal::Shown { name: name("anna"), at: START }));
    // The user agent is a hash by now.
    let again = shown(desk.done(card("anna", true)));
    let agent = again.secrets.agent.unwrap();
    assert_eq!((&agent.text, &again.secrets.spa), (&None, &made.spa));
    let text = made.agent.unwrap().text.unwrap();
    assert_eq!(agent.hash_of(text.reveal().as_bytes()), agent.hash);
    assert_eq!(
        desk.log(),
        ["anna: user-add anna", "anna: user-card anna", "anna: user-card-again anna"]
    );
    // What is new is shown once more.
    let before = user(&desk, "anna");
    desk.done(rotate("anna", "agent", 3));
    let card = shown(desk.done(card("anna", false)));
    assert!(card.secrets.agent.unwrap().text.is_some());
    let fingerprint = |user: &User, kind| user.credentials[&kind].fingerprint.clone();
    assert_eq!(fingerprint(&before, Kind::Spa), fingerprint(&card.user, Kind::Spa));
    assert_ne!(fingerprint(&before, Kind::Agent), fingerprint(&card.user, Kind::Agent));
}

#[test]
fn where_the_disk_refuses_nothing_is_shown_and_nothing_changes() {
    let mut desk = Desk::on();
    desk.done(add("anna sip knock,spa,agent", 0));
    desk.store = Err("the disk is full".to_owned());
    for request in [
        card("anna", false),
        rotate("anna", "none", 5),
        revoke("anna"),
        add("bob sip spa", 1),
        set("anna", Some("web")),
    ] {
        desk.refused(RefusalKind::Failed, request);
    }
    desk.store = Ok(());
    shown(desk.done(card("anna", false)));
}

#[test]
fn all_old_credentials_go_when_none_is_named() {
    let mut desk = Desk::on();
    desk.done(add("anna sip knock,spa,agent", 0));
    let before = secrets(&desk, "anna");
    desk.done(rotate("anna", "none", 9));
    let after = secrets(&desk, "anna");
    let (before, after) = (texts(&before), texts(&after));
    assert!(before.iter().all(|text| !after.contains(text)), "{before:?} {after:?}");
    // A kind that is not there is added.
    desk.done(add("bob sip none", 1));
    desk.done(rotate("bob", "spa", 2));
    assert_eq!(user(&desk, "bob").credentials.len(), 1);
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let mut desk = Desk::on();
    desk.done(add("anna sip knock", 0));
    let wrong = |desk: &mut Desk, request, kind, expected: users::Refusal| {
        assert_eq!(desk.refused(kind, request), because(expected));
    };
    let (no, bad) = (RefusalKind::No, RefusalKind::Wrong);
    let anna = Box::new(user(&desk, "anna"));
    wrong(&mut desk, add("anna web spa", 1), no, users::Refusal::Exists(anna));
    wrong(&mut desk, add("bob all spa", 1), bad, users::Refusal::AllServices);
    let mut nothing = new("bob sip spa");
    nothing.services = Some(Grant::of([]));
    let nothing = users::Request::Add { new: Box::new(nothing), entropy: entropy(1) };
    wrong(&mut desk, Request::of(nothing), bad, users::Refusal::NoServices);
    let long = NewUser { note: "x".repeat(1001), ..new("bob sip spa") };
    let long = users::Request::Add { new: Box::new(long), entropy: entropy(1) };
    wrong(&mut desk, Request::of(long), bad, users::Refusal::LongNote { most: 1000 });
    let without =
        users::Request::Add { new: new("bob sip spa").into(), entropy: Entropy::default() };
    wrong(&mut desk, Request::of(without), RefusalKind::Failed, users::Refusal::NoEntropy);
    let unknown = || users::Refusal::Unknown { name: name("bob"), near: None };
    for request in [
        set("bob", Some("sip")),
        revoke("bob"),
        rotate("bob", "spa", 1),
        card("bob", true),
        open("bob", "203.0.113.7", None),
    ] {
        wrong(&mut desk, request, no, unknown());
    }
    wrong(&mut desk, set("anna", None), bad, users::Refusal::NothingToSet);
    wrong(&mut desk, set("anna", Some("all")), bad, users::Refusal::AllServices);
    let nowhere = desk.refused(bad, add("bob nothing spa", 1));
    assert!(
        matches!(nowhere, Cause::Feature(it) if matches!(*it, features::Refusal::Users(users::Refusal::NoSuchService { .. })))
    );
    for seconds in [59, 7 * 86_400 + 1] {
        let idle = Some(Duration::from_secs(seconds));
        let request = users::Request::Set {
            name: name("anna"),
            edit: users::Edit { idle, ..users::Edit::default() },
        };
        let (least, most) = (Duration::from_secs(60), Duration::from_secs(7 * 86_400));
        wrong(&mut desk, Request::of(request), bad, users::Refusal::Limit { least, most });
    }
    desk.done(add("bob sip none", 1));
    wrong(&mut desk, card("bob", false), no, users::Refusal::NoCredentials { name: name("bob") });
    let none = rotate("bob", "none", 1);
    wrong(&mut desk, none, no, users::Refusal::NoCredentials { name: name("bob") });
}

#[test]
fn there_are_a_thousand_users_at_most() {
    let mut desk = Desk::on();
    let mut ports = std::collections::BTreeSet::new();
    for number in 0..users::MAX_USERS {
        // Other bytes for each, all from one sequence.
        let mut dice = number as u64 + 1;
        let mut next = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice.to_be_bytes()[0]
        };
        let entropy = Entropy::new((0..Entropy::LENGTH).map(|_| next()).collect());
        let new = Box::new(NewUser { name: name(&format!("n{number}")), ..new("x sip knock,spa") });
        desk.done(Request::of(users::Request::Add { new, entropy }));
    }
    for secrets in desk.engine.state().users.secrets.values() {
        for port in *secrets.knock.as_ref().unwrap().reveal() {
            assert!(ports.insert(("tcp", port)), "{port} is in two sequences");
        }
        assert!(ports.insert(("udp", *secrets.spa.as_ref().unwrap().port.reveal())));
    }
    let refused = desk.refused(RefusalKind::No, add("one-more sip spa", 1));
    assert_eq!(refused, because(users::Refusal::TooMany { most: 1000 }));
}

/// What a request makes known to other features.
fn facts(desk: &Desk, request: Request) -> Vec<Fact> {
    let Request::Do(Ask { requests, .. }) = request else { panic!() };
    let Some(features::Request::Users(request)) = requests.into_iter().next() else { panic!() };
    let caller = anna();
    let view = desk.engine.view(&caller, false, desk.now);
    desk.engine.state().users.asked(request, &view).unwrap().effects.facts
}

#[test]
fn others_hear_what_a_user_opens_and_may() {
    let own = vec![(range("198.51.100.1"), crate::posture::OWN_ADDRESS.to_owned())];
    let mut desk = Desk::new(State::with_posture(Posture {
        site: Site { guarded: own, ..Site::default() },
        ..Posture::default()
    }));
    desk.done(add("anna sip,web spa", 0));
    let services = Grant::parse("sip,web").unwrap();
    let address: IpAddr = "203.0.113.7".parse().unwrap();
    let opens = |idle, longest| {
        Fact::UserOpens(features::UserOpens {
            at: None,
            permanent: false,
            user: "anna".to_owned(),
            credential: "by hand".to_owned(),
            address,
            services: services.clone(),
            idle: Duration::from_secs(idle),
            longest: Some(Duration::from_secs(longest)),
            hours: None,
        })
    };
    assert_eq!(facts(&desk, open("anna", "203.0.113.7", None)), [opens(28_800, 604_800)]);
    let mapped = open("anna", "::ffff:203.0.113.7", Some(7200));
    assert_eq!(facts(&desk, mapped), [opens(7200, 7200)]);
    let reply = users::Reply::Opened(Opens {
        name: name("anna"),
        address,
        services: services.clone(),
        idle: Duration::from_secs(60),
        longest: Some(Duration::from_secs(60)),
    });
    assert_eq!(desk.done(open("anna", "203.0.113.7", Some(60))).said, [reply.into()]);
    for (address, lasts) in [
        ("127.0.0.1", None),
        ("::1", None),
        ("0.0.0.0", None),
        ("224.0.0.1", None),
        ("ff02::1", None),
        ("198.51.100.1", None),
        ("203.0.113.7", Some(604_801)),
    ] {
        desk.refused(RefusalKind::Wrong, open("anna", address, lasts));
    }
    let may = |services: Option<&str>| {
        let may = services.map(|text| features::UserRights {
            services: Grant::parse(text).unwrap(),
            hours: None,
        });
        Fact::UserMay { user: "anna".to_owned(), may }
    };
    assert_eq!(facts(&desk, set("anna", Some("sip"))), [may(Some("sip"))]);
    assert_eq!(facts(&desk, set("anna", Some("web,sip"))), []);
    assert_eq!(facts(&desk, revoke("anna")), [may(None)]);
    assert_eq!(facts(&desk, rotate("anna", "spa", 4)), []);
}

/// Known secrets are in the card and in the row of the secrets, and nowhere else that the engine gives.
#[test]
fn secrets_are_nowhere_else() {
    let mut desk = Desk::on();
    let mut planted = Vec::new();
    let mut given = String::new();
    for (request, is_card) in [
        (add("anna sip,web knock,spa,agent", 0), false),
        (set("anna", Some("sip")), false),
        (card("anna", false), true),
        (card("anna", true), true),
        (rotate("anna", "knock", 7), false),
        (rotate("anna", "none", 8), false),
        (Request::of(users::Request::List), false),
        (Request::of(users::Request::Show { name: name("anna") }), false),
        (Request::Status, false),
        (revoke("anna"), false),
    ] {
        given += &format!("{request:?} {}", serde_json::to_string(&request).unwrap());
        let reply = desk.ask(request);
        given += &format!("{reply:?}");
        if !is_card {
            given += &serde_json::to_string(&reply).unwrap();
        }
        let secrets = desk.engine.state().users.secrets.values();
        planted.extend(secrets.flat_map(texts));
        let why = desk.why("203.0.113.7", None);
        given += &format!("{:?} {why:?}", desk.engine);
    }
    given += &format!("{:?} {:?} {:?}", desk.changes, desk.records, desk.told);
    given += &serde_json::to_string(&desk.records).unwrap();
    let rows: Vec<Row> = desk.changes.iter().map(|change| change.row().unwrap()).collect();
    given += &format!("{rows:?}");
    let public = rows.iter().filter(|row| !row.is_secret).filter_map(|row| row.body.as_deref());
    given += &public.collect::<String>();
    assert!(planted.len() > 20);
    for secret in &planted {
        // A port is five digits, which a moment may have too.
        let is_found =
            if secret.len() > 5 { given.contains(secret) } else { has_number(&given, secret) };
        assert!(!is_found, "{secret} shows");
    }
    let secret: String =
        rows.iter().filter(|it| it.is_secret).filter_map(|it| it.body.clone()).collect();
    assert!(planted.iter().filter(|text| !text.contains(", ")).all(|text| secret.contains(text)));
}

/// Whether a number is in a text, not as a part of a longer one.
fn has_number(text: &str, number: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|found| found == number)
}

#[test]
fn permanent_addresses_open_what_is_named_and_end_unused() {
    use crate::condition::{self, LEASE, LEASE_END};
    use crate::learned::Element;
    const DAY: u64 = 86_400;

    let mut desk = Desk::on();
    desk.done(add("anna sip,ssh,web none", 0));
    desk.done(add("root ssh none", 1));
    let open = |user: &str, address: &str, services: Option<&str>| {
        Request::of(users::Request::Open(users::Open {
            name: name(user),
            address: address.parse().unwrap(),
            lasts: None,
            permanent: true,
            services: services.map(|text| Grant::parse(text).unwrap()),
        }))
    };
    let services = |desk: &Desk| -> Vec<String> {
        let leases = desk.engine.state().leases.all.values();
        leases.map(|lease| format!("{}: {}", lease.key, lease.services)).collect()
    };
    desk.done(open("anna", "203.0.113.7", None));
    assert_eq!(services(&desk), ["anna 203.0.113.7 permanent: sip"]);
    desk.refused(RefusalKind::Wrong, open("root", "203.0.113.7", None));
    desk.refused(RefusalKind::Wrong, open("anna", "203.0.113.7", Some("iax")));
    desk.done(open("anna", "203.0.113.7", Some("sip,web")));
    // One for a time beside it, by which more is open; the user then loses something.
    let (name, lasts) = (name("anna"), None);
    let address = "203.0.113.7".parse().unwrap();
    let beside = users::Open { name, address, lasts, permanent: false, services: None };
    desk.done(Request::of(users::Request::Open(beside)));
    desk.done(set("anna", Some("sip,ssh,iax")));
    assert_eq!(
        services(&desk),
        ["anna 203.0.113.7: iax, sip, ssh", "anna 203.0.113.7 permanent: sip"]
    );
    let read = |desk: &mut Desk, days: u64| {
        let until = desk.now.after(Duration::from_secs(days * DAY));
        let element = |set, until| Element { set, key: condition::key(address), until };
        let end = desk.now.after(Duration::from_secs(900 * DAY));
        let elements = vec![element(&LEASE, until), element(&LEASE_END, end)];
        desk.feed(Event::SetsRead(Some(elements)));
        desk.wait(10);
    };
    // Nine days without a packet end the one, not the other; thirty days end both.
    desk.wait(9 * DAY);
    read(&mut desk, 21);
    assert_eq!(services(&desk), ["anna 203.0.113.7 permanent: sip"]);
    desk.wait(21 * DAY);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    desk.wait(10);
    assert_eq!(services(&desk), [""; 0]);
    // Four of them; revoked with the user.
    for last in 1..=6 {
        desk.done(open("anna", &format!("203.0.113.{last}"), None));
    }
    assert_eq!(services(&desk).len(), 4);
    desk.done(revoke("anna"));
    assert_eq!(services(&desk), [""; 0]);
}
