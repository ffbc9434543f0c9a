//! Known peers survive a restart of the daemon, a flush and a reboot.

use std::time::Duration;

use super::super::ground::{TIMEOUT, shell};
use super::ends::{
    End, INVITE, OPTIONS, REGISTER, REQUESTS, RESPONSE, everything, forget_flows, is_restored,
    keys, learned, listed, permitted,
};
use super::{Scene, stage};
use crate::support::{Installation, now, wait_until};

/// The known peers as `status` shows them, e.g. `registered 203.0.113.70 5060`.
fn known(nightlatch: &Installation<'_>) -> Vec<String> {
    let status = nightlatch.json(&["status"]);
    let peers = status["known_peers"].as_array().unwrap().iter();
    let text = |peer: &serde_json::Value, key: &str| peer[key].to_string().replace('"', "");
    let mut shown: Vec<String> = peers
        .map(|peer| format!("{} {} {}", text(peer, "by"), text(peer, "address"), peer["port"]))
        .collect();
    shown.sort_unstable();
    shown
}

/// The status includes what the kernel has learned within the last seconds.
fn is_known(nightlatch: &Installation<'_>, all: &[String]) {
    let mut shown = Vec::new();
    let start = now();
    while shown != all {
        assert!(start.elapsed() < TIMEOUT, "{shown:?} instead of {all:?}");
        shown = known(nightlatch);
    }
}

/// The wall clock, in milliseconds since 1970.
fn millis() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn named(by: &str, peer: &End) -> Vec<String> {
    peer.at().map(|at| format!("{by} {} {}", at.ip(), at.port())).into()
}

/// Makes the peers of a set expire in some seconds.
fn shorten(scene: &Scene<'_>, set: &str, seconds: u32) {
    for (family, key) in [4, 6].into_iter().zip(keys(&scene.carrier, 5060)) {
        let element =
            |time: &str| format!("element inet nightlatch {set}{family} '{{ {key}{time} }}'");
        let with = element(&format!(" timeout 93600s expires {seconds}s"));
        shell(scene.server, &format!("nft delete {}; nft add {with}", element("")));
    }
}

/// The remaining seconds of all elements of a set.
fn remaining(scene: &Scene<'_>, set: &str) -> Vec<u64> {
    let elements = [4, 6].map(|family| listed(scene.server, &format!("{set}{family}"))).concat();
    elements.iter().map(|element| element["expires"].as_u64().unwrap()).collect()
}

/// Before, only flows were remembered, and `kill -9` did not affect them: there, the INVITE after the
/// end of the flow fails.
#[test]
fn learning_goes_on_without_the_daemon_which_takes_it_in_afterwards() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "");
    let office = End::on(stage.host("office").unwrap(), 5060);
    scene.pbx.sends(&office, INVITE);
    scene.daemon.take().unwrap().kill();
    scene.pbx.sends(&scene.carrier, REGISTER);
    forget_flows(scene.server);
    scene.pbx.hears(&scene.carrier, REQUESTS);
    scene.pbx.hears(&office, REQUESTS);
    scene.daemon = Some(scene.nightlatch.daemon());
    let mut all = [named("called", &office), named("registered", &scene.carrier)].concat();
    all.sort_unstable();
    is_known(&scene.nightlatch, &all);
    forget_flows(scene.server);
    scene.pbx.hears(&scene.carrier, [INVITE, RESPONSE]);
    scene.pbx.ignores(&scene.carrier, [REGISTER]);
}

/// Before, an inbound call after a flush was lost until this host registered again.
#[test]
fn a_flush_is_followed_by_all_that_was_known_with_the_time_that_was_left() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.sends(carrier, REGISTER);
    pbx.sends(carrier, INVITE);
    shorten(&scene, "registered", 3000);
    // A request for the status reads the sets, unless they were read just now.
    let all = [named("called", carrier), named("registered", carrier)].concat();
    is_known(&scene.nightlatch, &all);
    wait_until("the short time is known", TIMEOUT, || {
        let status = scene.nightlatch.json(&["status"]);
        let peers = status["known_peers"].as_array().unwrap().iter();
        let registered = peers.filter(|peer| peer["by"] == "registered");
        let end = millis() + 3_001_000;
        registered.map(|peer| peer["until"].as_u64().unwrap()).all(|until| until < end)
    });
    for commands in ["nft flush ruleset", "nft delete table inet nightlatch"] {
        shell(server, &format!("{commands}; conntrack -F 2> /dev/null"));
        is_restored(server);
        wait_until("the peers are back", TIMEOUT, || learned(server, "registered").len() == 2);
        pbx.hears(carrier, REQUESTS);
        pbx.ignores(carrier, [REGISTER]);
        let left = remaining(&scene, "registered");
        assert!(left.iter().all(|left| (2900..=3000).contains(left)), "{left:?}");
    }
    // The next REGISTER restarts the timeout.
    pbx.sends(carrier, REGISTER);
    let left = remaining(&scene, "registered");
    assert!(left.iter().all(|left| *left > 93_000), "{left:?}");
    is_known(&scene.nightlatch, &all);
}

/// Before, nothing was saved: after a reboot, inbound calls were lost until the next registration.
#[test]
fn a_reboot_finds_them_on_disk() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "");
    let office = End::on(stage.host("office").unwrap(), 5060);
    scene.pbx.sends(&scene.carrier, REGISTER);
    scene.pbx.sends(&office, REGISTER);
    let file = scene.nightlatch.state().join("known-peers.json");
    let saved = || std::fs::read_to_string(&file).unwrap_or_default();
    // Within ten seconds, without a request.
    wait_until("they are saved", Duration::from_secs(20), || {
        let text = saved();
        [&scene.carrier, &office]
            .iter()
            .all(|peer| peer.at().iter().all(|at| text.contains(&at.ip().to_string())))
    });
    for by_unit in [true, false] {
        scene.daemon.take().unwrap().kill();
        shell(scene.server, "nft delete table inet nightlatch; conntrack -F 2> /dev/null");
        if by_unit {
            scene.nightlatch.must(&["boot"]);
            scene.pbx.hears(&scene.carrier, REQUESTS);
            scene.pbx.ignores(&scene.carrier, [REGISTER]);
        } else {
            // The office is about to expire.
            let mut rows: serde_json::Value = serde_json::from_str(&saved()).unwrap();
            let soon = millis() + 6000;
            for row in rows.as_array_mut().unwrap() {
                if office.at().iter().any(|at| row["address"] == at.ip().to_string().as_str()) {
                    row["until"] = soon.into();
                }
            }
            std::fs::write(&file, rows.to_string()).unwrap();
        }
        scene.daemon = Some(scene.nightlatch.daemon());
        scene.pbx.hears(&scene.carrier, REQUESTS);
        scene.pbx.ignores(&scene.carrier, [REGISTER]);
    }
    wait_until("the office is forgotten", Duration::from_secs(20), || {
        learned(scene.server, "registered") == keys(&scene.carrier, 5060)
    });
    scene.pbx.ignores(&office, permitted());
    is_known(&scene.nightlatch, &named("registered", &scene.carrier));
}

/// Before, there were no known peers with timeouts: a request passed only until connection tracking
/// dropped the flow.
#[test]
fn a_peer_is_forgotten_when_its_time_is_over() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    for (set, sent) in [("asked", OPTIONS), ("called", INVITE), ("registered", REGISTER)] {
        pbx.sends(carrier, sent);
        assert_eq!(learned(server, set), keys(carrier, 5060));
        let expected = match set {
            "asked" => 40,
            "called" => 12 * 3600,
            _ => 26 * 3600,
        };
        let left = remaining(&scene, set);
        assert!(left.iter().all(|left| (expected - 20..=expected).contains(left)), "{left:?}");
        shorten(&scene, set, 1);
        wait_until("it has expired", TIMEOUT, || learned(server, set).is_empty());
        // In the flow that still runs, too.
        pbx.ignores(carrier, permitted());
    }
}

/// Before, this command did not exist.
#[test]
fn a_peer_is_forgotten_by_command() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "");
    let office = End::on(stage.host("office").unwrap(), 5060);
    for peer in [&scene.carrier, &office] {
        scene.pbx.sends(peer, REGISTER);
        scene.pbx.sends(peer, INVITE);
        scene.pbx.hears(peer, [INVITE]);
    }
    let both = [named("called", &office), named("called", &scene.carrier)].concat();
    let registered = [named("registered", &office), named("registered", &scene.carrier)].concat();
    let mut all = [both, registered].concat();
    all.sort_unstable();
    is_known(&scene.nightlatch, &all);
    let shown = scene.nightlatch.must(&["peer", "list"]);
    let listed = scene.nightlatch.json(&["peer", "list"]).to_string();
    for at in scene.carrier.at() {
        let address = at.ip().to_string();
        assert!(shown.contains(&address) && listed.contains(&address), "{shown}{listed}");
        scene.nightlatch.must(&["peer", "forget", &at.ip().to_string()]);
    }
    scene.pbx.ignores(&scene.carrier, permitted());
    scene.pbx.hears(&office, permitted());
    // A restart from what was saved does not bring it back.
    scene.daemon.take().unwrap().kill();
    shell(scene.server, "nft delete table inet nightlatch");
    scene.daemon = Some(scene.nightlatch.daemon());
    scene.pbx.ignores(&scene.carrier, permitted());
    scene.pbx.hears(&office, permitted());
    scene.pbx.sends(&scene.carrier, INVITE);
    scene.pbx.hears(&scene.carrier, permitted());
}

/// Before, peers that were called in open mode stayed known if the daemon was killed while it closed
/// signalling, or if their file could not be replaced.
#[test]
fn closing_that_was_interrupted_keeps_no_stranger() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "[open]\nservices = [\"sip\"]\n");
    scene.nightlatch.must(&["mode", "open"]);
    scene.pbx.sends(&scene.carrier, INVITE);
    is_known(&scene.nightlatch, &named("called", &scene.carrier));
    let file = scene.nightlatch.state().join("known-peers.json");
    wait_until("they are saved", Duration::from_secs(20), || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("called"))
    });
    let saved = std::fs::read(&file).unwrap();
    scene.nightlatch.must(&["mode", "allowlist"]);
    scene.pbx.ignores(&scene.carrier, permitted());
    for reboot in [false, true] {
        scene.daemon.take().unwrap().kill();
        std::fs::write(&file, &saved).unwrap();
        if reboot {
            shell(scene.server, "nft delete table inet nightlatch");
            scene.nightlatch.must(&["boot"]);
            assert_eq!(learned(scene.server, "called"), Vec::<String>::new());
        } else {
            // As if the kernel's sets had not been reached any more.
            for (family, key) in [4, 6].into_iter().zip(keys(&scene.carrier, 5060)) {
                let element = format!("{{ {key} timeout 43200s expires 43000s }}");
                let add = format!("nft add element inet nightlatch called{family} '{element}'");
                shell(scene.server, &add);
            }
        }
        scene.daemon = Some(scene.nightlatch.daemon());
        wait_until("they are forgotten", TIMEOUT, || learned(scene.server, "called").is_empty());
        scene.pbx.ignores(&scene.carrier, permitted());
    }
}

/// Before, a block ended running flows, and the registrar was unknown after `unblock`, too.
#[test]
fn a_block_counts_for_a_registrar_and_forgets_it() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "");
    scene.pbx.sends(&scene.carrier, REGISTER);
    scene.pbx.hears(&scene.carrier, [INVITE]);
    let addresses = scene.carrier.at().map(|at| at.ip().to_string());
    for address in &addresses {
        scene.nightlatch.must(&["block", address]);
    }
    scene.pbx.ignores(&scene.carrier, everything());
    // Further packets from this host do not arrive and do not make it a known peer again.
    let before = scene.carrier.heard();
    for sent in [REGISTER, INVITE, OPTIONS, RESPONSE] {
        scene.pbx.end.tell(&scene.carrier, sent);
    }
    scene.pbx.ignores(&scene.carrier, everything());
    assert_eq!(scene.carrier.heard(), [], "{before:?}");
    let nothing = Vec::<String>::new();
    for set in ["registered", "called", "asked"] {
        assert_eq!(learned(scene.server, set), nothing);
    }
    is_known(&scene.nightlatch, &nothing);
    // Neither a flush nor a restart brings it back.
    scene.daemon.take().unwrap().kill();
    shell(scene.server, "nft delete table inet nightlatch");
    scene.daemon = Some(scene.nightlatch.daemon());
    scene.pbx.ignores(&scene.carrier, everything());
    for address in &addresses {
        scene.nightlatch.must(&["unblock", address]);
    }
    scene.pbx.ignores(&scene.carrier, everything());
    scene.pbx.sends(&scene.carrier, REGISTER);
    scene.pbx.hears(&scene.carrier, [INVITE, RESPONSE]);
    scene.pbx.ignores(&scene.carrier, [REGISTER]);
}
