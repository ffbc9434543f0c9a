//! `up --yes`, as a script or an SSH session without a terminal runs it.

use std::process::Output;

use super::*;
use crate::support::{Installation, told};

const CALLER: &str = "203.0.113.50";

/// Runs it within an SSH session.
fn by_ssh(nightlatch: &Installation<'_>, arguments: &[&str]) -> Output {
    let session = format!("{CALLER} 50022 198.51.100.1 22");
    nightlatch.command(arguments).env("SSH_CONNECTION", session).output().unwrap()
}

#[test]
fn the_caller_stays_in() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    // What would shut him out is refused, with and without accounts for others.
    nightlatch.must(&["block", CALLER]);
    for _ in 0..2 {
        let output = by_ssh(&nightlatch, &["up", "--yes"]);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("would end your own session from 203.0.113.50"), "{said}");
        assert!(said.contains("nightlatch why 203.0.113.50"), "{said}");
        nightlatch.must_exit(1, &["status"]);
        let _ = nightlatch.run_it(&["allow", "office", "192.0.2.0/28"]);
    }
    nightlatch.must(&["unblock", CALLER]);
    let output = by_ssh(&nightlatch, &["up", "--yes"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(!told(&output).contains("NOBODY"), "{}", told(&output));
    nightlatch.must(&["why", CALLER, "--to", "tcp/22"]);
    let accounts = nightlatch.must(&["list"]);
    assert!(accounts.contains("admin") && accounts.contains(CALLER), "{accounts}");
}

#[test]
fn without_a_door_it_says_so() {
    let Some(stage) = stage() else {
        return;
    };
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let _daemon = nightlatch.daemon();
    let nobody = "NOBODY can connect from outside";
    for arguments in [&["up", "--yes"] as &[&str], &["up", "--yes", "--json"]] {
        let said = nightlatch.must(arguments);
        assert!(said.contains(nobody), "{arguments:?}: {said}");
    }
    assert!(!nightlatch.must(&["up", "--yes", "--mode", "open"]).contains("NOBODY"));
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    assert!(!nightlatch.must(&["up", "--yes", "--mode", "allowlist"]).contains("NOBODY"));
}
