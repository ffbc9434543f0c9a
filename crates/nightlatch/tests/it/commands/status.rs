//! `status` in every weather, and the questions `up` and `down` ask at a terminal.

use std::time::Duration;

use super::oldnames::type_at_terminal;
use super::*;
use crate::support::{Installation, told, wait_until};

fn check(nightlatch: &Installation<'_>, code: i32, words: &[&str], absent: &[&str]) {
    let said = nightlatch.must_exit(code, &["status"]);
    for word in words {
        assert!(said.contains(word), "\"{word}\" is not in: {said}");
    }
    for word in absent {
        assert!(!said.contains(word), "\"{word}\" is in: {said}");
    }
}

#[test]
fn off_on_trial_on_and_down() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    check(
        &nightlatch,
        69,
        &["THE DAEMON IS NOT RUNNING", "NOT IN THE KERNEL", "nightlatch up"],
        &[],
    );
    let json = nightlatch.json(&["status"]);
    assert_eq!(json, serde_json::json!({ "running": false, "table": false }));
    let daemon = nightlatch.daemon();
    let off = [
        "OFF       THE FIREWALL IS OFF",
        "open      to all: everything",
        "once the firewall is active",
    ];
    check(&nightlatch, 1, &off, &["silence", "REBOOT"]);

    // No, and then yes.
    let up = |typed: &str| type_at_terminal(&nightlatch, "nightlatch", "up", typed);
    let output = up("n\n");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("Nothing was changed."), "{}", told(&output));
    check(&nightlatch, 1, &off, &[]);
    std::thread::scope(|scope| {
        let up = scope.spawn(|| up("y\n"));
        wait_until("the trial has begun", Duration::from_secs(10), || {
            nightlatch.json(&["status"])["protection"]["trial"].is_object()
        });
        let trial = ["ON TRIAL  rolled back in 5", "nightlatch confirm"];
        check(&nightlatch, 0, &trial, &["OFF"]);
        assert!(nightlatch.must(&["confirm"]).starts_with("confirmed: the firewall stays active"));
        let output = up.join().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert!(
            told(&output).contains("Confirmed: the firewall stays active."),
            "{}",
            told(&output)
        );
    });
    let on = ["on        since", "mode      allowlist: strangers are dropped", "accounts  0"];
    check(&nightlatch, 0, &on, &["OFF", "TRIAL", "BROKEN", "WARNING"]);
    nightlatch.must(&["allow", "guest", "203.0.113.7", "--for", "8h"]);
    check(&nightlatch, 0, &["soon      account \"guest\" ends at"], &[]);

    daemon.kill();
    let down = ["THE DAEMON IS NOT RUNNING. The last good firewall is loaded in the kernel"];
    check(&nightlatch, 69, &down, &["OPEN"]);
    assert_eq!(nightlatch.json(&["status"])["table"], true);
    // Also without the daemon the firewall can be taken off, and nothing else can be done.
    nightlatch.must_exit(69, &["allow", "x", "203.0.113.8"]);
    let output = type_at_terminal(&nightlatch, "nightlatch", "down", "\n");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    check(&nightlatch, 69, &down, &[]);
    let output = type_at_terminal(&nightlatch, "nightlatch", "down", "yes\n");
    assert!(told(&output).contains("the firewall is off"), "{}", told(&output));
    check(&nightlatch, 69, &["NOT IN THE KERNEL"], &[]);
    let _daemon = nightlatch.daemon();
    check(&nightlatch, 1, &off, &[]);
    assert!(nightlatch.must(&["log", "--verify"]).contains("intact"));
}

#[test]
fn up_from_elsewhere_lets_its_caller_in_and_keeps_what_there_was() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes", "--allow", "203.0.113.7"]);
    nightlatch.must(&["up", "--yes", "--allow", "203.0.113.7"]);
    nightlatch.must(&["down", "--yes"]);
    nightlatch.must(&["up", "--yes", "--allow", "192.0.2.77", "--allow", "203.0.113.7"]);
    for address in ["203.0.113.7", "192.0.2.77"] {
        nightlatch.must(&["why", address, "--to", "tcp/22"]);
    }
    let accounts = nightlatch.json(&["list"])["list"]["accounts"].clone();
    let shown: Vec<String> = accounts
        .as_array()
        .unwrap()
        .iter()
        .map(|account| format!("{} {}", account["name"], account["entries"]))
        .collect();
    assert_eq!(
        shown,
        [r#""admin" [{"range":"203.0.113.7"}]"#, r#""admin-2" [{"range":"192.0.2.77"}]"#]
    );
}
