//! `kill -9` of the daemon at random moments during a stream of changes: no acknowledged change
//! is lost, nobody gets in meanwhile, nobody who may come in is kept out, and the audit log is
//! whole.

mod changes;
mod probes;

use std::fs::File;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_lab::stage::Plan;
use serde_json::Value;

use crate::support::{self, Installation, told};
use changes::Stream;
use probes::{Allowed, Sentry, Stranger};

/// How often the daemon is killed.
const KILLS: u32 = 40;

#[test]
fn kill_minus_nine_loses_nothing_and_opens_nothing() {
    if !support::installed(&["nft"]) {
        return;
    }
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let traveller = stage.host("traveller").unwrap();
    let attacker = stage.host("attacker").unwrap();
    let nightlatch = Installation::on(server).with_asterisk();
    let seed = seed();
    println!("seed {seed}");

    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let both = [traveller.v4(), traveller.v6()].map(|address| address.to_string());
    nightlatch.must(&["allow", "traveller", &both[0], &both[1]]);
    // The first shot comes at once.
    daemon.kill();

    let sentry = Sentry::in_host(server).unwrap();
    let over = AtomicBool::new(false);
    let (stream, strangers, allowed) = std::thread::scope(|scope| {
        let changes = scope.spawn(|| Stream::run(&nightlatch, seed, &over));
        let stranger = scope.spawn(|| Stranger::in_host(attacker, server).unwrap().probe(&over));
        let allowed = scope.spawn(|| Allowed::in_host(traveller, server).probe(&over));
        let mut dice = Dice(seed ^ 0xdead);
        for kill in 0..KILLS {
            let mut daemon = start(&nightlatch);
            // Every fourth time in the middle of its start.
            let most = if kill % 4 == 0 { 80 } else { 700 };
            std::thread::sleep(Duration::from_millis(dice.below(most)));
            let ended = daemon.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended by itself: {ended:?}: {}", log(&nightlatch));
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let mut last = start(&nightlatch);
        over.store(true, Ordering::SeqCst);
        let stream = changes.join().unwrap();
        last.kill().unwrap();
        last.wait().unwrap();
        (stream, stranger.join().unwrap(), allowed.join().unwrap())
    });

    assert_eq!(sentry.strangers(attacker), [] as [&str; 0], "somebody got in");
    assert!(strangers > 100, "the stranger sent only {strangers} packets");
    assert_eq!(allowed.failed, 0, "an allowed packet was lost: {allowed:?}");
    assert!(allowed.passed > 100 && allowed.second_tries < 10, "{allowed:?}");
    assert!(stream.acknowledged() > 10, "only {} changes", stream.acknowledged());
    println!(
        "{} changes acknowledged, {} in doubt; {strangers} packets of a stranger, {} of a friend, {} of them sent twice",
        stream.acknowledged(),
        stream.in_doubt,
        allowed.passed,
        allowed.second_tries
    );

    let _daemon = nightlatch.daemon();
    stream.compare_records(&nightlatch.json(&["list"]), &nightlatch.json(&["services"]));
    stream.compare_kernel(server);
    let verified = nightlatch.must(&["log", "--verify"]);
    assert!(verified.contains("intact"), "{verified}");
    stream.compare_log(&records(&nightlatch));
    assert_eq!(nightlatch.json(&["status"])["intact"], true);
}

/// The daemon, not waited for: it may be killed before it is ready.
fn start(nightlatch: &Installation<'_>) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(nightlatch.directory().join("killed.log"))
        .unwrap();
    nightlatch.command(&["daemon"]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn log(nightlatch: &Installation<'_>) -> String {
    std::fs::read_to_string(nightlatch.directory().join("killed.log")).unwrap_or_default()
}

/// The audit log, one record a line.
fn records(nightlatch: &Installation<'_>) -> Vec<Value> {
    let output = nightlatch.run_it(&["log", "--json"]);
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Another one in every run; a failure names it.
#[expect(clippy::disallowed_methods, reason = "a test may throw dice")]
fn seed() -> u64 {
    let given = std::env::var("NIGHTLATCH_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    given.unwrap_or(u64::from(now.subsec_nanos()) | 1)
}

/// Random numbers (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap();
        &choices[at]
    }
}
