//! An account is changed: whoever stays notices nothing, whoever goes ends within a second.

use std::net::SocketAddr;
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};

use super::ground::{
    Echo, Stream, TIMEOUT, Talk, answers_udp, asks_from, both, ignores_tcp, ignores_udp, protect,
    unspecified,
};
use crate::support::{self, Installation, now, wait_until};

/// How long a running flow may outlive its access: "within a second", and what the machine needs.
const ENDS_WITHIN: Duration = Duration::from_millis(1500);
/// A flow that sends every 10 ms and was silent for so long was disturbed.
const PAUSE: Duration = Duration::from_millis(350);

/// What runs between a phone and the server, of one family.
struct Running {
    signalling: Talk,
    media: Talk,
    pages: Stream,
}

impl Running {
    fn all(&self) -> [Duration; 3] {
        [self.signalling.silent_for(), self.media.silent_for(), self.pages.silent_for()]
    }
}

/// Signalling, a call's media and a TCP connection of a host, of both families. The ports are the host's
/// alone.
fn begin(stage: &Stage, phone: &Host, number: u16) -> Vec<Running> {
    let server = stage.host("server").unwrap();
    let begin = |own| {
        let place = |port| SocketAddr::new(own, port);
        Running {
            signalling: Talk::between(phone, server, place(if number == 0 { 5060 } else { 4569 })),
            media: Talk::between(phone, server, place(10_000 + number)),
            pages: Stream::between(phone, server, place(if number == 0 { 80 } else { 443 })),
        }
    };
    both(server).into_iter().map(begin).collect()
}

/// Makes a change, and returns the longest pause of each flow meanwhile and for two seconds after: of
/// signalling, media and the connection.
fn pauses(flows: &[Running], change: impl FnOnce() + Send) -> [Duration; 3] {
    let mut longest = [Duration::ZERO; 3];
    std::thread::scope(|scope| {
        let change = scope.spawn(change);
        let mut after = None;
        loop {
            for flow in flows {
                for (longest, silent) in longest.iter_mut().zip(flow.all()) {
                    *longest = silent.max(*longest);
                }
            }
            if after.is_none() && change.is_finished() {
                after = Some(now());
            }
            if after.is_some_and(|after| after.elapsed() > Duration::from_secs(2)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        change.join().unwrap();
    });
    longest
}

fn all_run(flows: &[Running]) {
    wait_until("all flows get through", TIMEOUT, || {
        flows.iter().flat_map(Running::all).all(|silent| silent < Duration::from_millis(50))
    });
}

/// These end, and stay so: a pause of half a second is the end of them.
fn ends<'a>(silent: impl Fn() -> Vec<Duration> + 'a) {
    let quiet = Duration::from_millis(500);
    wait_until("the flows end", ENDS_WITHIN + quiet, || silent().iter().all(|it| *it > quiet));
    std::thread::sleep(Duration::from_millis(800));
    assert!(silent().iter().all(|it| *it > quiet), "{:?}", silent());
}

/// The addresses of a host, separated by a comma.
fn addresses(host: &Host) -> String {
    both(host).map(|address| address.to_string()).join(",")
}

fn setting(stage: &Stage) -> (&Host, &Host, &Host) {
    let host = |name| stage.host(name).unwrap();
    (host("server"), host("office"), host("traveller"))
}

/// Both are undisturbed by what is done.
fn untouched(flows: &[Running], change: impl FnOnce() + Send) {
    let longest = pauses(flows, change);
    assert!(longest.iter().all(|it| *it < PAUSE), "{longest:?}");
}

#[test]
fn who_stays_in_an_account_notices_no_change() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office, traveller) = setting(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let nightlatch = &nightlatch;
    nightlatch.must(&["allow", "phones", &addresses(office), "--services", "sip,iax,web"]);
    let stays = begin(&stage, office, 0);
    all_run(&stays);
    untouched(&stays, || {
        let add = ["account", "add", "phones", &addresses(traveller), "192.0.2.99"];
        nightlatch.must(&add);
    });
    let goes = begin(&stage, traveller, 1);
    all_run(&goes);
    // Another name, note and end: for nobody anything changes.
    for change in [
        &["account", "set", "phones", "--rename", "berlin"][..],
        &["account", "set", "berlin", "--note", "moved", "--for", "8h"],
        &["account", "set", "berlin", "--until", "2999-12-31 18:00 +01:00"],
        &["account", "set", "berlin", "--until", "never", "--rename", "phones"],
        &["account", "set", "phones", "--services", "sip,iax,web,ssh"],
        &["account", "drop", "phones", "192.0.2.99"],
    ] {
        untouched(&stays, || {
            nightlatch.must(change);
        });
        all_run(&goes);
    }
    untouched(&stays, || {
        nightlatch.must(&["account", "drop", "phones", &addresses(traveller)]);
        ends(|| goes.iter().flat_map(Running::all).collect());
    });
    // Added again, the phone is served at once, the flow that was cut too.
    untouched(&stays, || {
        nightlatch.must(&["account", "add", "phones", &addresses(traveller)]);
    });
    wait_until("the phone is served again", TIMEOUT, || {
        let talks = goes.iter().flat_map(|it| [&it.signalling, &it.media]);
        talks.clone().all(|talk| talk.silent_for() < Duration::from_millis(50))
    });
}

#[test]
fn fewer_services_end_what_they_carried_and_nothing_else() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office, _) = setting(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let nightlatch = &nightlatch;
    nightlatch.must(&["allow", "phones", &addresses(office), "--services", "sip,web"]);
    let flows = begin(&stage, office, 0);
    all_run(&flows);
    let [signalling, media, pages] = pauses(&flows, || {
        nightlatch.must(&["account", "set", "phones", "--services", "sip"]);
    });
    assert!(signalling < PAUSE && media < PAUSE, "{signalling:?} {media:?}");
    assert!(pages > Duration::from_secs(1), "{pages:?}");
    ends(|| flows.iter().map(|it| it.pages.silent_for()).collect());
    drop(flows);
    // The other way round: calls end, signalling and media, and pages go on.
    nightlatch.must(&["account", "set", "phones", "--services", "sip,web"]);
    let flows = begin(&stage, office, 0);
    all_run(&flows);
    let [signalling, media, pages] = pauses(&flows, || {
        nightlatch.must(&["account", "set", "phones", "--services", "web"]);
    });
    assert!(pages < PAUSE, "{pages:?}");
    assert!(signalling.min(media) > Duration::from_secs(1), "{signalling:?} {media:?}");
    ends(|| {
        flows.iter().flat_map(|it| [it.signalling.silent_for(), it.media.silent_for()]).collect()
    });
}

#[test]
fn an_end_that_is_set_comes() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office, _) = setting(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["allow", "phones", &addresses(office), "--services", "sip,web"]);
    let flows = begin(&stage, office, 0);
    all_run(&flows);
    nightlatch.must(&["account", "set", "phones", "--for", "2s"]);
    std::thread::sleep(Duration::from_secs(1));
    all_run(&flows);
    wait_until("the account has ended", ENDS_WITHIN + Duration::from_secs(1), || {
        !nightlatch.command(&["show", "phones"]).output().unwrap().status.success()
    });
    ends(|| flows.iter().flat_map(Running::all).collect());
}

/// Lists keep out whom they name, except who is exempt; an exemption opens nothing else.
#[test]
fn an_exemption_spares_from_lists_and_opens_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office, traveller) = setting(&stage);
    let _echo = Echo::on(server, &[5060], &[22]);
    let (nightlatch, _daemon) = protect(server, "[open]\nservices = [\"sip\"]\n");
    let reaches = |host: &Host, open: bool| {
        for own in both(server) {
            let place = SocketAddr::new(own, 5060);
            assert!(if open { answers_udp(host, place) } else { ignores_udp(host, place) });
            assert!(ignores_tcp(host, SocketAddr::new(own, 22)));
        }
    };
    let exempt = |more: &[&str]| {
        nightlatch.must(&[&["exempt"], more].concat());
    };
    exempt(&["add", "doctor", &addresses(office)]);
    // In mode allowlist it is a stranger.
    reaches(office, false);
    nightlatch.must(&["mode", "open"]);
    let list = nightlatch.directory().join("list");
    let named = [addresses(office), addresses(traveller)].join(",").replace(',', "\n");
    std::fs::write(&list, named).unwrap();
    nightlatch.must(&["feed", "add", "bad", list.to_str().unwrap()]);
    reaches(office, true);
    reaches(traveller, false);
    // While a phone keeps its socket, lists count and do not count, at once.
    let place = SocketAddr::new(server.v4(), 5060);
    let bind = || std::net::UdpSocket::bind(unspecified(place));
    let phone = office.run(bind).unwrap().unwrap();
    for _ in 0..3 {
        assert!(asks_from(&phone, place, TIMEOUT));
        exempt(&["remove", "doctor"]);
        assert!(!asks_from(&phone, place, Duration::from_millis(300)));
        exempt(&["add", "doctor", &addresses(office)]);
    }
    let why = nightlatch.json(&["why", &office.v4().to_string(), "--to", "udp/5060"]);
    assert_eq!(why["exemptions"][0]["name"], "doctor", "{why}");
    assert_eq!((&why["passes"], why["lists"].as_array().map(Vec::len)), (&true.into(), Some(0)));
    assert_eq!(nightlatch.json(&["exempt", "list"])["exemptions"][0]["name"], "doctor");
    // An administrator's block wins.
    nightlatch.must(&["block", &office.v4().to_string()]);
    assert!(!asks_from(&phone, place, Duration::from_millis(300)));
    let said = nightlatch.must(&["exempt", "add", "doctor2", &office.v4().to_string()]);
    assert!(said.contains("is still blocked"), "{said}");
}

/// What a list says that is wrong changes nothing.
#[test]
fn wrong_input_is_refused_with_its_place() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office, _) = setting(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let list = nightlatch.directory().join("phones.txt");
    let path = list.to_str().unwrap();
    std::fs::write(&list, "# phones\n203.0.113.7 # Anna\n\n2001:db8:2::/64\n").unwrap();
    nightlatch.must(&["allow", "office", "--from", path, "203.0.113.9", "--services", "sip"]);
    let before = nightlatch.json(&["list"]);
    let entries = before["list"]["accounts"][0]["entries"].as_array().unwrap().len();
    assert_eq!(entries, 3, "{before}");
    let write = |text: &str| std::fs::write(&list, text).unwrap();
    write("203.0.113.20\n203.0.113.300\n");
    let wrong = ["account", "add", "office", "--from", path];
    refused(&nightlatch, &wrong, 2, "phones.txt, line 2: \"203.0.113.300\" is not an IPv4");
    refused(&nightlatch, &["account", "add", "office", "--from", "/nowhere"], 1, "cannot be read");
    refused(&nightlatch, &["account", "add", "office", "--from", "/"], 1, "cannot be read");
    write("\n# nobody\n");
    refused(&nightlatch, &wrong, 2, "has no address");
    for (command, code, said) in [
        ("account add offcie 203.0.113.1", 1, "did you mean \"office\"?"),
        ("remove ofice", 1, "did you mean \"office\"?"),
        ("show ofice", 1, "did you mean \"office\"?"),
        ("account set ofice --note x", 1, "did you mean \"office\"?"),
        ("account drop ofice 203.0.113.7", 1, "did you mean \"office\"?"),
        ("allow office 203.0.113.8", 1, "\"nightlatch account add office 203.0.113.8\""),
        ("allow x 203.0.113.8 --services spi", 2, "did you mean \"sip\"?"),
        ("account drop office 203.0.113.8", 1, "it has 203.0.113.9, 203.0.113.7, 2001:db8:2::/64"),
        (
            "account drop office 203.0.113.7,203.0.113.9 2001:db8:2::/64",
            1,
            "\"nightlatch remove office\"",
        ),
        ("account set office", 2, "nothing to change"),
        ("account set office --services web --for 1h --until never", 2, "cannot be used with"),
        ("account set office --until tomorrow", 2, "\"2026-12-31 18:00\" (UTC)"),
        ("account set office --until 2001-01-01T00:00", 2, "is in the past"),
        ("account set office --rename a/b", 2, "is not a valid account name"),
        ("account add office 203.0.0.0/15", 1, "131,072 addresses"),
        (
            "account add office 203.0.0.0/15",
            1,
            "\"nightlatch account add office 203.0.0.0/15 --force\"",
        ),
        ("allow wide 2001:db8::/31", 1, "\"nightlatch allow wide 2001:db8::/31 --force\""),
        ("exempt add wide 10.0.0.0/8", 1, "\"nightlatch exempt add wide 10.0.0.0/8 --force\""),
        ("exempt add wide 0.0.0.0/0 --force", 2, "covers a large part of the internet"),
        ("exempt remove nobody", 1, "there is no exemption"),
        ("exempt add x", 2, "required arguments"),
        ("exempt add x 203.0.113.300", 2, "is not an IPv4"),
        ("acount add office 203.0.113.8", 2, "account"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        refused(&nightlatch, &words, code, said);
    }
    assert_eq!(nightlatch.json(&["list"]), before);
    assert_eq!(
        support::told(&nightlatch.run_it(&["log", "--verify"])).matches("office").count(),
        0
    );
    let _ = office;
}

fn refused(nightlatch: &Installation<'_>, command: &[&str], code: i32, said: &str) {
    let output = nightlatch.run_it(command);
    let told = support::told(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {told}");
    assert!(told.contains(said), "{command:?}: \"{said}\" is not in: {told}");
}
