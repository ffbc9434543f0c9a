//! What is said where the disk is full, and where the kernel takes no rules.

use super::ground::{installation, stage};
use super::lists::{LIST, TABLE, configure, write};
use super::server::{Server, TIMEOUT};
use super::transcript::Transcript;
use crate::support::{told, wait_until};

/// Runs a line of shell where the program is; it has to succeed.
fn shell(nightlatch: &Server<'_>, line: &str) {
    let output = nightlatch.program("sh", &["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", told(&output));
}

#[test]
fn a_full_disk() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    write(&nightlatch, "table.csv", TABLE);
    write(&nightlatch, "bad.txt", LIST);
    configure(&nightlatch, "table.csv");
    let state = nightlatch.state();
    let state = state.to_str().unwrap();
    shell(&nightlatch, &format!("mount -n -t tmpfs -o size=16m tmpfs {state}"));
    let _daemon = nightlatch.daemon();
    for line in ["up --yes", "allow office 203.0.113.7", "block 192.0.2.9"] {
        nightlatch.must(&line.split(' ').collect::<Vec<_>>());
    }
    shell(&nightlatch, &format!("dd if=/dev/zero of={state}/filler bs=4k 2> /dev/null || true"));
    let mut to = Transcript::new("full_disk", &nightlatch);
    to.both("allow fax 203.0.113.8");
    to.all(&["remove office", "block 192.0.2.10", "unblock 192.0.2.9", "mode open", "reload"]);
    to.all(&["feed add bad DIR/bad.txt", "country block CN", "up --yes --json --mode open"]);
    to.all(&["down --yes", "list", "mode", "why 192.0.2.9", "why 192.0.2.10"]);
    to.both("status");
    shell(&nightlatch, &format!("rm {state}/filler"));
    to.about("there is room again");
    to.all(&["allow fax 203.0.113.8", "log --verify"]);
    to.finish();
}

#[test]
fn a_kernel_that_refuses() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    // The real one behind a script, which is never taken away: it may be running just then.
    let folder = nightlatch.directory().display().to_string();
    let script = format!(
        "#!/bin/sh\n[ -e {folder}/refuses ] || exec {folder}/real/nft \"$@\"\n\
         echo 'Error: Could not process rule' >&2\nexit 1\n"
    );
    write(&nightlatch, "nft", &script);
    write(&nightlatch, "refuses", "");
    let hide = format!(
        "mkdir {folder}/real; cp \"$(command -v nft)\" {folder}/real/nft; \
         chmod 755 {folder}/nft; mount -n --bind {folder}/nft \"$(command -v nft)\""
    );
    shell(&nightlatch, &hide);
    let mut to = Transcript::new("kernel_refuses", &nightlatch);
    to.run("mode open");
    to.both("status");
    shell(&nightlatch, &format!("rm {folder}/refuses"));
    wait_until("the table is whole", TIMEOUT, || nightlatch.json(&["status"])["intact"] == true);
    to.about("it takes them again");
    to.both("status");
    to.all(&["mode", "allow office 203.0.113.7", "log --verify"]);
    to.finish();
}
