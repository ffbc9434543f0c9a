//! What is said of a telephone server: its trunks, and its phones without an account.

use std::time::Duration;

use super::fake::FakePbx;
use super::ground::{installation, stage};
use super::transcript::Transcript;
use crate::support::wait_until;

const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn trunks_and_phones() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let pbx = FakePbx::start(&nightlatch);
    let _daemon = nightlatch.daemon_in(&[("PATH", pbx.path())]);
    let mut to = Transcript::new("pbx", &nightlatch);
    to.with("PATH", pbx.path());
    to.about("before");
    to.both("up --plan");
    to.run("up --plan --mode open");
    to.from("192.0.2.61", "up --plan");
    to.about("up");
    to.run("up --yes");
    let status = || nightlatch.json(&["status"]);
    wait_until("the PBX has answered", TIMEOUT, || status()["pbx_answered"].is_number());
    to.both("status");
    to.both("peer list");
    to.both("why 192.0.2.61");
    to.both("why 192.0.2.62 --to udp/5060");
    to.all(&["why 192.0.2.62 --to udp/12000", "why 192.0.2.70 --to udp/5060", "why 203.0.113.80"]);
    to.about("an account for a phone");
    to.all(&["allow phone 192.0.2.61 --services sip", "why 192.0.2.61 --to udp/5060"]);
    to.all(&["remove phone", "why 192.0.2.61 --to udp/5060", "allow phone 192.0.2.61"]);
    to.all(&["remove phone --json", "block 192.0.2.61", "unblock 192.0.2.61"]);
    to.about("the trunk");
    to.all(&["block 192.0.2.70", "block 192.0.2.70 --json", "unblock 192.0.2.70"]);
    to.about("modes");
    to.all(&["mode open", "status", "mode allowlist", "status", "mode open"]);
    to.run("mode allowlist --json");
    to.about("a phone that has gone");
    // An unblocked address makes the daemon ask, unless it is asking at that moment.
    let ask = || {
        nightlatch.must(&["block", "203.0.113.9"]);
        nightlatch.must(&["unblock", "203.0.113.9"]);
        std::thread::sleep(Duration::from_millis(200));
    };
    pbx.forget_phones();
    wait_until("the denial has ended", TIMEOUT, || {
        ask();
        !status()["denials"].to_string().contains("unlisted-contact")
    });
    to.run("status");
    to.about("a console that does not answer");
    pbx.fall_silent();
    wait_until("it is missed", TIMEOUT, || {
        ask();
        status()["warnings"][0].is_string()
    });
    to.both("status");
    to.run("block 192.0.2.61");
    to.run("up --plan");
    to.finish();
}
