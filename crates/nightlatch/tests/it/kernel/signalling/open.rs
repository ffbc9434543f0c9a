//! Open mode: peers known from this host's own requests may call, but not register.

use super::super::ground::both;
use super::ends::{End, INVITE, REGISTER, RESPONSE, everything, forget_flows, learned, permitted};
use super::{Scene, stage};
use crate::support::now;

/// So slow that the duration of a test hardly matters.
const SLOW: &str = "[open]\n\
    services = [\"sip\"]\n\
    per-source = { packets = 1, burst = 20 }\n\
    total = { packets = 1000000, burst = 1000000 }\n";

/// How many of a hundred such packets pass, in each family.
fn through(scene: &Scene<'_>, from: &End, what: &str) -> [usize; 2] {
    scene.pbx.heard_until_now();
    let sent: Vec<u64> = (0..100).map(|_| from.tell(&scene.pbx.end, what)).collect();
    let heard = scene.pbx.heard_until_now();
    let of = |family| heard.iter().filter(|(at, it)| *at == family && sent.contains(it)).count();
    [of(0), of(1)]
}

/// Before, a registrar was treated as a stranger once its flow had ended, and its REGISTER in the
/// running flow had no rate limit.
#[test]
fn a_registrar_calls_without_limit_and_registers_as_a_stranger_does() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, SLOW);
    scene.nightlatch.must(&["mode", "open"]);
    let stranger = End::on(stage.host("office").unwrap(), 5060);
    scene.pbx.sends(&scene.carrier, REGISTER);
    forget_flows(scene.server);
    let start = now();
    let limited = |counts: [usize; 2]| {
        let most = 22 + usize::try_from(start.elapsed().as_secs()).unwrap();
        counts.iter().all(|count| (1..=most).contains(count))
    };
    let counts = through(&scene, &scene.carrier, REGISTER);
    assert!(limited(counts) && counts[0] >= 20 && counts[1] >= 20, "{counts:?}");
    let counts = through(&scene, &stranger, INVITE);
    assert!(limited(counts), "{counts:?}");
    assert_eq!(through(&scene, &scene.carrier, INVITE), [100, 100]);
    assert_eq!(through(&scene, &scene.carrier, RESPONSE), [100, 100]);
    // The rate limit is used up, and only that limit applies to REGISTER.
    let counts = through(&scene, &scene.carrier, REGISTER);
    let most = 2 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!(counts.iter().all(|count| *count <= most), "{counts:?}");
}

/// Before, a listed carrier was dropped as soon as connection tracking had dropped its flow.
#[test]
fn lists_concern_what_a_registrar_may_not_do_by_itself() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "[open]\nservices = [\"sip\"]\n");
    scene.nightlatch.must(&["mode", "open"]);
    let feed = scene.nightlatch.directory().join("feed.txt");
    let carrier = stage.host("attacker").unwrap();
    let addresses = both(carrier).map(|address| address.to_string());
    std::fs::write(&feed, addresses.join("\n")).unwrap();
    scene.nightlatch.must(&["feed", "add", "bad", feed.to_str().unwrap()]);
    scene.pbx.ignores(&scene.carrier, [INVITE, REGISTER]);
    scene.pbx.sends(&scene.carrier, REGISTER);
    forget_flows(scene.server);
    scene.pbx.hears(&scene.carrier, permitted());
    scene.pbx.ignores(&scene.carrier, [REGISTER]);
    // A block does apply.
    for address in &addresses {
        scene.nightlatch.must(&["block", address]);
    }
    scene.pbx.ignores(&scene.carrier, everything());
    assert_eq!(learned(scene.server, "registered"), Vec::<String>::new());
}
