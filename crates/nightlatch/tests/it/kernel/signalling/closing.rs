//! Closing signalling: strangers' running flows end, those of this host's calls do not.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use nightlatch_lab::packet::{Packet, flags};
use nightlatch_lab::stage::{Host, Stage};

use super::super::ground::{
    Prober, Stream, TIMEOUT, Talk, any, both, patiently, protect, run, shell,
};
use super::ends::{
    End, INVITE, OPTIONS, REGISTER, REQUESTS, RESPONSE, everything, is_restored, learned,
};
use super::{Scene, stage};
use crate::support::{now, wait_until};

const QUIET: Duration = Duration::from_millis(500);

fn end(talks: &[Talk], what: &str) {
    wait_until(what, TIMEOUT, || talks.iter().all(|talk| talk.silent_for() > QUIET));
}

fn go_on(talks: &[Talk], what: &str) {
    wait_until(what, TIMEOUT, || {
        talks.iter().all(|talk| talk.silent_for() < Duration::from_millis(60))
    });
}

/// Flows of the peer to ports of the server in both families, with both sides sending.
fn talks(from: &Host, server: &Host, ports: &[u16]) -> Vec<Talk> {
    let of = |port: &u16| both(server).map(|own| Talk::between(from, server, (own, *port).into()));
    ports.iter().flat_map(of).collect()
}

/// Strangers' flows while signalling is open to them, and a trunk.
struct Guests {
    stranger: End,
    /// SIP over TCP, IAX2.
    streams: Vec<Stream>,
    iax: Vec<Talk>,
    media: Vec<Talk>,
}

fn guests(scene: &Scene<'_>, stage: &Stage) -> Guests {
    let (server, office) = (scene.server, stage.host("office").unwrap());
    let stranger = End::on(office, 5060);
    scene.pbx.hears(&stranger, [REGISTER]);
    scene.pbx.sends(&stranger, RESPONSE);
    // The PBX has called it and sent it a keep-alive.
    scene.pbx.sends(&stranger, INVITE);
    scene.pbx.sends(&stranger, OPTIONS);
    scene.pbx.sends(&scene.carrier, REGISTER);
    let streams = both(server).map(|own| Stream::between(office, server, (own, 5060).into()));
    let guests = Guests {
        stranger,
        streams: streams.into(),
        iax: talks(office, server, &[4569]),
        media: talks(office, server, &[10_000, 10_002]),
    };
    go_on(&guests.iax, "IAX2 before");
    go_on(&guests.media, "media before");
    guests
}

impl Guests {
    /// They are strangers again; the call's media and the trunk continue.
    fn are_out(&self, scene: &Scene<'_>) {
        wait_until("connections end", TIMEOUT, || {
            self.streams.iter().all(|stream| stream.silent_for() > QUIET)
        });
        end(&self.iax, "IAX2 ends");
        scene.pbx.ignores(&self.stranger, everything());
        for set in ["called", "asked"] {
            assert_eq!(learned(scene.server, set), Vec::<String>::new());
        }
        scene.pbx.hears(&scene.carrier, [INVITE]);
        go_on(&self.media, "media");
    }
}

/// Before, the running flow continued, and without a rate limit.
#[test]
fn mode_allowlist_ends_strangers_signalling() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "[open]\nservices = [\"sip\", \"iax\"]\n");
    scene.nightlatch.must(&["mode", "open"]);
    let guests = guests(&scene, &stage);
    scene.nightlatch.must(&["mode", "allowlist"]);
    guests.are_out(&scene);
    // It stays closed afterwards: the PBX's keep-alive only allows the stranger to respond.
    scene.pbx.sends(&guests.stranger, OPTIONS);
    scene.pbx.ignores(&guests.stranger, REQUESTS.into_iter().chain([REGISTER]));
}

/// Before, `reload` ended nothing.
#[test]
fn a_reload_that_closes_a_service_ends_strangers_signalling() {
    let Some(stage) = stage() else { return };
    let open = |services: &str| {
        format!("[pbx]\nproduct = \"asterisk\"\n[open]\nservices = [{services}]\n")
    };
    let scene = Scene::guarded(&stage, &open("\"sip\", \"iax\", \"web\""));
    scene.nightlatch.must(&["mode", "open"]);
    let office = stage.host("office").unwrap();
    let pages =
        both(scene.server).map(|own| Stream::between(office, scene.server, (own, 80).into()));
    let guests = guests(&scene, &stage);
    scene.nightlatch.configure(&open("\"web\""));
    scene.nightlatch.must(&["reload"]);
    guests.are_out(&scene);
    wait_until("the services that stay open continue", TIMEOUT, || {
        pages.iter().all(|stream| stream.silent_for() < Duration::from_millis(60))
    });
}

/// Before, flows continued at all ports except SIP, and at all ports after a flush, since connection
/// tracking takes the server's answer for the first packet.
#[test]
fn at_up_and_after_a_flush_strangers_conversations_end_at_every_service_but_vpns() {
    let Some(stage) = stage() else { return };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let services = [5060, 4569, 69];
    let before = talks(office, server, &services);
    let vpns = talks(office, server, &[51_820, 1194]);
    let media = talks(office, server, &[10_000, 19_998]);
    let (_nightlatch, daemon) = protect(server, "[services]\nboot = [\"udp/69\"]\n");
    end(&before, "up");
    go_on(&vpns, "VPNs after up");
    go_on(&media, "media after up");
    drop(before);
    daemon.pause();
    run(server, "nft flush ruleset");
    let slipped = talks(office, server, &services);
    daemon.resume();
    end(&slipped, "flush");
    for forgets in ["", "; conntrack -F"] {
        shell(server, &format!("nft flush ruleset{forgets}"));
        is_restored(server);
        end(&slipped, "flush");
        go_on(&vpns, "VPNs after a flush");
        go_on(&media, "media after a flush");
    }
    // A stranger's new flow is dropped.
    let vpn = End::on(server, 51_821);
    let client = End::on(stage.host("attacker").unwrap(), 51_820);
    client.tell(&vpn, "hello");
    assert_eq!(vpn.heard(), []);
}

/// Before, each half-open handshake was answered for another 31 s.
#[test]
fn half_open_handshakes_get_no_answer_once_the_firewall_is_there() {
    let Some(stage) = stage() else { return };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let _listens = [5060, 5061, 22].map(|port| patiently(server, || TcpListener::bind(any(port))));
    // Its own kernel would reset connections that it has not opened.
    shell(
        attacker,
        "echo 'table inet quiet { chain out { type filter hook output priority 0; tcp flags rst drop; }; }' | nft -f -",
    );
    let mut prober = Prober::on(attacker);
    // Returns the times before and after the kernel has begun to count.
    let begin = |prober: &mut Prober, first: u16| {
        let before = now();
        for (from, to) in both(attacker).into_iter().zip(both(server)) {
            for (number, port) in (first..).zip([5060, 5061, 22]) {
                let (from, to) = (SocketAddr::new(from, number), SocketAddr::new(to, port));
                prober.send(&Packet::tcp(from, to, flags::SYN));
            }
        }
        let mut answers = 0;
        wait_until("the first answers come", TIMEOUT, || {
            answers += prober.answers(Duration::from_millis(20)).len();
            answers >= 6
        });
        (before, now())
    };
    // Without a next repetition, the absence of answers would show nothing.
    let is_silent = |prober: &mut Prober, (before, after): (Instant, Instant)| {
        prober.answers(Duration::from_millis(20));
        let passed = before.elapsed();
        let repeated = [1, 3, 7, 15, 31].map(Duration::from_secs);
        let next = repeated.into_iter().find(|due| *due > passed);
        let next = next.unwrap_or_else(|| panic!("too slow: {passed:?} since the handshakes"));
        // The kernel's timers may be late by an eighth.
        let end = next + next / 8 + QUIET;
        let wait = end.saturating_sub(after.elapsed()).max(Duration::from_millis(3200));
        assert_eq!(prober.answers(wait), []);
    };
    let begun = begin(&mut prober, 1000);
    let (_nightlatch, daemon) = protect(server, "");
    is_silent(&mut prober, begun);
    daemon.pause();
    run(server, "nft flush ruleset");
    let begun = begin(&mut prober, 2000);
    daemon.resume();
    is_restored(server);
    is_silent(&mut prober, begun);
}
