//! Leases and hours with running flows: who is leased out reaches what the user may use, as long as packets
//! come; calls continue; everything works while the daemon is stopped.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use nightlatch_core::time::Time;
use nightlatch_lab::stage::{Host, Plan, Stage};

use super::ground::{
    Echo, Stream, TIMEOUT, Talk, answers_udp, any, both, connect, ignores_tcp, ignores_udp,
    protect, shell,
};
use crate::support::{self, Installation, now, wait_until};

/// How long a running flow may outlive its access: "within a second", and what the machine needs.
const ENDS_WITHIN: Duration = Duration::from_millis(1500);
const QUIET: Duration = Duration::from_millis(500);

fn hosts(stage: &Stage) -> (&Host, &Host) {
    (stage.host("server").unwrap(), stage.host("traveller").unwrap())
}

/// Makes a user of telephony and pages, and opens both addresses of a host.
fn open(nightlatch: &Installation<'_>, phone: &Host, more: &[&str]) {
    let add = ["user", "add", "anna", "--services", "sip,web", "--keys", "none"];
    nightlatch.must(&add);
    for address in both(phone) {
        nightlatch.must(&[&["lease", "anna", &address.to_string()], more].concat());
    }
}

/// Signalling, a call's media and a page, of both families.
struct Flows {
    signalling: Vec<Talk>,
    media: Vec<Talk>,
    pages: Vec<Stream>,
}

impl Flows {
    fn begin(phone: &Host, server: &Host) -> Flows {
        let place = |own, port| SocketAddr::new(own, port);
        let own = both(server);
        let talks = |port| own.map(|own| Talk::between(phone, server, place(own, port))).into();
        let pages = own.map(|own| Stream::between(phone, server, place(own, 443))).into();
        Flows { signalling: talks(5060), media: talks(10_000), pages }
    }

    fn silent(&self) -> Vec<Duration> {
        let talks = self.signalling.iter().chain(&self.media).map(Talk::silent_for);
        talks.chain(self.pages.iter().map(Stream::silent_for)).collect()
    }
}

fn run(silent: impl Fn() -> Vec<Duration>) {
    wait_until("all flows get through", TIMEOUT, || {
        silent().iter().all(|silent| *silent < Duration::from_millis(50))
    });
}

fn end(silent: impl Fn() -> Vec<Duration>) {
    wait_until("the flows end", ENDS_WITHIN + QUIET, || silent().iter().all(|it| *it > QUIET));
    std::thread::sleep(Duration::from_millis(500));
    assert!(silent().iter().all(|it| *it > QUIET), "{:?}", silent());
}

/// The elements of a set in the kernel.
fn elements(server: &Host, set: &str) -> String {
    shell(server, &format!("nft list set inet nightlatch {set}"))
}

#[test]
fn an_address_is_leased_closed_and_revoked() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let [own4, own6] = both(server);
    let echo = Echo::on(server, &[5060], &[22, 443]);
    assert!(ignores_udp(phone, SocketAddr::new(own4, 5060)));
    open(&nightlatch, phone, &[]);
    for own in [own4, own6] {
        assert!(answers_udp(phone, SocketAddr::new(own, 5060)));
        assert!(connect(phone, SocketAddr::new(own, 443)).is_ok());
        assert!(ignores_tcp(phone, SocketAddr::new(own, 22)), "ssh was not named");
    }
    drop(echo);
    let flows = Flows::begin(phone, server);
    run(|| flows.silent());
    let leases = nightlatch.json(&["leases"]);
    let lease = &leases["leases"][0];
    assert_eq!((&lease["user"], &lease["credential"]), (&"anna".into(), &"by hand".into()));
    assert_eq!(
        (&lease["address"], &lease["in_call"]),
        (&both(phone)[0].to_string().into(), &true.into())
    );
    let why = nightlatch.must(&["why", &both(phone)[0].to_string(), "--to", "udp/5060"]);
    assert!(why.contains("lease of user \"anna\""), "{why}");
    // One of the two is closed: the other one goes on.
    nightlatch.must(&["close", &both(phone)[0].to_string()]);
    end(|| {
        vec![
            flows.signalling[0].silent_for(),
            flows.media[0].silent_for(),
            flows.pages[0].silent_for(),
        ]
    });
    run(|| {
        vec![
            flows.signalling[1].silent_for(),
            flows.media[1].silent_for(),
            flows.pages[1].silent_for(),
        ]
    });
    nightlatch.must(&["user", "revoke", "anna"]);
    end(|| flows.silent());
    assert_eq!(nightlatch.json(&["leases"])["leases"].as_array().unwrap().len(), 0);
    for set in ["lease4", "lease6", "lease_end4", "lease_end6"] {
        assert!(!elements(server, set).contains("expires"), "{set}");
    }
    let log = nightlatch.must(&["log"]);
    for word in ["open anna", "close anna", "revoke anna"] {
        assert!(log.contains(word), "{word}: {log}");
    }
}

#[test]
fn the_kernel_ends_a_lease_by_itself_and_keeps_it_during_a_call() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5061, 5060], &[443]);
    open(&nightlatch, phone, &["--for", "4s"]);
    let own = both(server);
    // A call of IPv4 alone; nobody else sends.
    let call = Talk::between(phone, server, SocketAddr::new(own[0], 10_000));
    run(|| vec![call.silent_for()]);
    daemon.kill();
    std::thread::sleep(Duration::from_secs(6));
    assert!(ignores_udp(phone, SocketAddr::new(own[1], 5060)), "it is over");
    assert!(ignores_tcp(phone, SocketAddr::new(own[1], 443)));
    assert!(answers_udp(phone, SocketAddr::new(own[0], 5060)), "the call runs");
    run(|| vec![call.silent_for()]);
    // The daemon that comes back ends the one and not the other.
    let _daemon = nightlatch.daemon();
    wait_until("one lease has ended", Duration::from_secs(60), || {
        nightlatch.json(&["leases"])["leases"].as_array().unwrap().len() == 1
    });
    assert!(answers_udp(phone, SocketAddr::new(own[0], 5060)));
    run(|| vec![call.silent_for()]);
    let log = nightlatch.must(&["log"]);
    assert!(log.contains(&format!("expire anna {}", both(phone)[1])), "{log}");
}

/// Whoever only sends to a media port would keep a lease, or hours, for ever; and its address may be forged.
#[test]
fn packets_to_a_media_port_without_an_answer_are_no_call() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[]);
    open(&nightlatch, phone, &["--for", "4s"]);
    let begin = now();
    while begin.elapsed() < Duration::from_secs(6) {
        for own in both(server) {
            let place = SocketAddr::new(own, 10_000);
            let send = || UdpSocket::bind(any(0)).and_then(|it| it.send_to(b"media", place));
            phone.run(send).unwrap().unwrap();
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for own in both(server) {
        assert!(ignores_udp(phone, SocketAddr::new(own, 5060)), "{own}");
    }
    for set in ["in_call4", "in_call6"] {
        assert!(!elements(server, set).contains("expires"), "{set}");
    }
}

/// Each accepted packet renews the lease, in a running flow too, and other packets do not.
#[test]
fn packets_renew_a_lease_also_after_a_flush_and_a_restart() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, daemon) = protect(server, "[users]\nlease = \"1m\"\n");
    let _echo = Echo::on(server, &[5060], &[22]);
    open(&nightlatch, phone, &[]);
    let own = both(server);
    let left = || -> Vec<u64> {
        let leases = nightlatch.json(&["leases"]);
        let now = nightlatch::shell::clock::now().millis();
        let leases = leases["leases"].as_array().unwrap().clone();
        let left = leases.iter().map(|lease| {
            let last = lease["last_packet"].as_i64().unwrap_or(0);
            u64::try_from((now - last).max(0) / 1000).unwrap()
        });
        left.collect()
    };
    std::thread::sleep(Duration::from_secs(5));
    assert!(left().iter().all(|seconds| *seconds >= 4), "{:?}", left());
    // What is not accepted renews nothing.
    assert!(ignores_tcp(phone, SocketAddr::new(own[0], 22)));
    assert!(left().iter().all(|seconds| *seconds >= 4), "{:?}", left());
    for own in own {
        assert!(answers_udp(phone, SocketAddr::new(own, 5060)));
    }
    assert!(left().iter().all(|seconds| *seconds <= 3), "{:?}", left());
    // Somebody flushes everything; then the daemon is killed and comes back.
    shell(server, "nft flush ruleset");
    wait_until("the table is there again", TIMEOUT, || {
        server
            .command("nft")
            .args(["list", "set", "inet", "nightlatch", "lease4"])
            .output()
            .unwrap()
            .status
            .success()
    });
    for own in own {
        assert!(answers_udp(phone, SocketAddr::new(own, 5060)));
    }
    daemon.kill();
    shell(server, "nft flush ruleset");
    let _daemon = nightlatch.daemon();
    for own in own {
        assert!(answers_udp(phone, SocketAddr::new(own, 5060)));
    }
    assert_eq!(left().len(), 2);
}

#[test]
fn running_flows_renew_each_address_by_its_own_limit() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let other = stage.host("attacker").unwrap();
    let (nightlatch, daemon) = protect(server, "[users]\nlease = \"1m\"\n");
    open(&nightlatch, phone, &[]);
    let add = ["user", "add", "ben", "--services", "sip,web", "--keys", "none"];
    nightlatch.must(&add);
    let both_open = ["--permanent", "--services", "sip,web"];
    for address in both(other) {
        nightlatch.must(&[&["lease", "ben", &address.to_string()][..], &both_open].concat());
    }
    let own = both(server);
    let pages =
        |host, port| own.map(|own| Stream::between(host, server, SocketAddr::new(own, port)));
    let flows = [pages(phone, 443), pages(other, 80)];
    run(|| flows.iter().flatten().map(Stream::silent_for).collect());
    daemon.kill();
    std::thread::sleep(Duration::from_secs(3));
    run(|| flows.iter().flatten().map(Stream::silent_for).collect());
    for (set, family) in [("lease4", 0), ("lease6", 1)] {
        let elements = elements(server, set);
        let expires = |host| {
            let address = both(host)[family].to_string();
            let element = elements.split([',', '{', '}']).find(|it| it.contains(&address));
            element.unwrap_or_else(|| panic!("{address}: {elements}")).trim().to_owned()
        };
        let just_now = |host, whole: &str, nearly: &str| {
            let found = expires(host);
            let (whole, nearly) = (format!("expires {whole}"), format!("expires {nearly}"));
            assert!(found.ends_with(&whole) || found.contains(&nearly), "{found}");
        };
        just_now(phone, "1m", "5");
        just_now(other, "30d", "29d23h59m5");
    }
}

#[test]
fn a_user_has_four_addresses_at_most() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, _) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["user", "add", "anna", "--services", "sip", "--keys", "none"]);
    for last in 1..=6 {
        nightlatch.must(&["lease", "anna", &format!("203.0.113.{last}")]);
    }
    let leases = nightlatch.json(&["leases"]);
    let mut addresses: Vec<&str> = leases["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["address"].as_str().unwrap())
        .collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["203.0.113.3", "203.0.113.4", "203.0.113.5", "203.0.113.6"]);
    // The refusal that would keep the caller's own session names this option.
    nightlatch.must(&["lease", "anna", "203.0.113.6", "--force"]);
    let output = nightlatch.run_it(&["close", "203.0.113.1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(support::told(&output).contains("203.0.113.1 has no lease"));
    // The services of the user are those of all that is open.
    nightlatch.must(&["user", "set", "anna", "--services", "web"]);
    let services = &nightlatch.json(&["leases"])["leases"][0]["services"];
    assert_eq!(services, &serde_json::json!(["web"]));
}

/// Hours that end at the next full minute that is at least so many seconds ahead, and that minute.
fn ending_soon(ahead: u64) -> (String, Time) {
    const MINUTE: i64 = 60_000;
    let now = nightlatch::shell::clock::now().after(Duration::from_secs(ahead));
    let end = Time::from_millis((now.millis() / MINUTE + 1) * MINUTE);
    let clock = |time: Time| {
        let of_day = time.millis().rem_euclid(86_400_000) / MINUTE;
        format!("{:02}:{:02}", of_day / 60, of_day % 60)
    };
    let begin = Time::from_millis(end.millis() - 60 * MINUTE);
    (format!("daily {}-{}", clock(begin), clock(end)), end)
}

#[test]
fn hours_end_in_the_kernel_and_a_call_continues() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, daemon) = protect(server, "");
    let (hours, end_of_hours) = ending_soon(15);
    let address = both(phone).map(|address| address.to_string()).join(",");
    let allow =
        ["allow", "phone", &address, "--services", "sip,web", "--hours", &hours, "--zone", "UTC"];
    nightlatch.must(&allow);
    let own = both(server);
    let _echo = Echo::on(server, &[4569], &[80]);
    let flows = Flows::begin(phone, server);
    run(|| flows.silent());
    let web = |open: bool| {
        own.iter().all(|own| {
            let place = SocketAddr::new(*own, 80);
            if open { connect(phone, place).is_ok() } else { ignores_tcp(phone, place) }
        })
    };
    assert!(web(true));
    // The daemon is stopped: the kernel's clock alone ends the hours.
    daemon.kill();
    let left = end_of_hours.since(nightlatch::shell::clock::now());
    std::thread::sleep(left.saturating_sub(Duration::from_secs(1)));
    assert!(web(true) || left < Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(1200));
    assert!(web(false), "the hours are over");
    let call =
        || flows.signalling.iter().chain(&flows.media).map(Talk::silent_for).collect::<Vec<_>>();
    run(call);
    let _daemon = nightlatch.daemon();
    // The page ends, the call does not.
    let pages = || flows.pages.iter().map(Stream::silent_for).collect::<Vec<_>>();
    let start = now();
    wait_until("the pages end", TIMEOUT, || pages().iter().all(|it| *it > QUIET));
    run(call);
    assert!(start.elapsed() < TIMEOUT);
    let why = nightlatch.run_it(&["why", &both(phone)[0].to_string(), "--to", "tcp/443"]);
    assert_eq!(why.status.code(), Some(1), "{}", support::told(&why));
    assert!(support::told(&why).contains("only daily"), "{}", support::told(&why));
    // Without hours it is open at any time.
    nightlatch.must(&["account", "set", "phone", "--hours", "always"]);
    assert!(web(true));
}
