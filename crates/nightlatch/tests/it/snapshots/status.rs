//! `status` in every weather, and what becomes of a table that somebody else changes.

use std::time::Duration;

use super::ground::{installation, stage};
use super::server::Server;
use super::transcript::Transcript;
use crate::support::{told, wait_until};

const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn in_every_weather() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let server = stage.host("server").unwrap();
    let daemon = nightlatch.daemon();
    let mut to = Transcript::new("status", &nightlatch);
    to.about("off");
    to.both("status");
    to.run("allow early 203.0.113.5");
    to.run("status");
    nightlatch.must(&["up", "--yes"]);
    to.about("on");
    to.both("status");
    to.about("open");
    nightlatch.must(&["mode", "open"]);
    to.both("status");
    nightlatch.must(&["mode", "allowlist"]);
    to.about("with what ends within a day");
    for arguments in [
        &["allow", "guest", "203.0.113.7", "--for", "8h"][..],
        &["allow", "tomorrow", "203.0.113.9", "--for", "7d"],
        &["block", "192.0.2.9", "--for", "2h", "--reason", "scan"],
        &["block", "192.0.2.10"],
    ] {
        nightlatch.must(arguments);
    }
    to.both("status");
    to.about("with denials");
    nightlatch.must(&["remove", "early"]);
    to.both("status");
    let many: Vec<String> = (1..=12).map(|number| format!("192.0.2.{}", 2 * number + 40)).collect();
    nightlatch.must(&[vec!["allow", "many"], many.iter().map(String::as_str).collect()].concat());
    nightlatch.must(&["remove", "many"]);
    to.both("status");
    to.about("an account has ended");
    nightlatch.must(&["allow", "brief", "192.0.2.90", "--for", "1s"]);
    wait_until("it has ended", TIMEOUT, || !nightlatch.must(&["list"]).contains("brief"));
    to.both("why 192.0.2.90");
    to.about("after another program changed the table");
    for flush in ["flush ruleset", "add rule inet nightlatch prerouting accept"] {
        let words: Vec<&str> = flush.split(' ').collect();
        let before = nightlatch.json(&["status"])["restored"].clone();
        let output = server.command("nft").args(&words).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        wait_until("it is restored", TIMEOUT, || {
            nightlatch.json(&["status"])["restored"] != before
        });
        to.both("status");
    }
    to.about("somebody who is not root");
    to.add("nightlatch status", &by_nobody(&nightlatch, &["status"]));
    to.add("nightlatch status --json", &by_nobody(&nightlatch, &["status", "--json"]));
    for command in [&["list"][..], &["down", "--yes"], &["up", "--yes"]] {
        let line = format!("nightlatch {}", command.join(" "));
        to.add(&line, &by_nobody(&nightlatch, command));
    }
    to.about("without the daemon");
    daemon.kill();
    to.both("status");
    to.run("list");
    to.add("nightlatch status", &by_nobody(&nightlatch, &["status"]));
    to.all(&["down --yes", "status", "down --yes --json"]);
    to.finish();
}

/// Runs a copy of the program as a user without rights.
fn by_nobody(nightlatch: &Server<'_>, arguments: &[&str]) -> std::process::Output {
    use std::os::unix::fs::PermissionsExt as _;
    let program = nightlatch.directory().join("program");
    if !program.exists() {
        crate::support::install_program(env!("CARGO_BIN_EXE_nightlatch"), &program);
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(nightlatch.directory(), open).unwrap();
    }
    let program = program.to_str().unwrap();
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups", program];
    nightlatch.program("setpriv", &[&words[..], arguments].concat()).output().unwrap()
}
