//! `nightlatch demo`, from the command to its exit code, and the program that it starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nightlatch_lab::stage::Plan;

use crate::support::{self, install_program, told, write_program};

const NIGHTLATCH: &str = env!("CARGO_BIN_EXE_nightlatch");

/// The program of the demo, beside `nightlatch`. Cargo builds the binaries of the package under test
/// only, so this one is asked for here: together with `nightlatch`, so that both use what is compiled
/// already. It takes a moment if it is up to date.
fn lab() -> PathBuf {
    let lab = Path::new(NIGHTLATCH).with_file_name("nightlatch-lab");
    let Some(cargo) = std::env::var_os("CARGO") else {
        assert!(lab.exists(), "the test was not started by cargo: cargo build -p nightlatch-lab");
        return lab;
    };
    let folder = lab.parent().unwrap();
    let profile = folder.file_name().unwrap().to_str().unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--bin", "nightlatch-lab"])
        .args(["-p", "nightlatch", "-p", "nightlatch-lab"])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .output()
        .unwrap();
    assert!(built.status.success() && lab.exists(), "{}: {}", lab.display(), told(&built));
    lab
}

/// Runs `nightlatch demo`; a program of the same name as that of the demo is first in its PATH.
fn demo(nightlatch: &Path, arguments: &[&str], decoy: &Path) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<OsString> = vec![decoy.into(), ":".into(), path];
    Command::new(nightlatch)
        .arg("demo")
        .args(arguments)
        .env("PATH", path.into_iter().collect::<OsString>())
        .output()
        .unwrap()
}

/// A folder with a `nightlatch-lab` that leaves a file `started` if anybody starts it.
fn decoy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("#!/bin/sh\ntouch '{}/started'\n", folder.path().display());
    write_program(&folder.path().join("nightlatch-lab"), &text);
    folder
}

/// `nightlatch` in `bin` of a folder of its own.
fn installed_alone() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let nightlatch = folder.path().join("bin/nightlatch");
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    install_program(NIGHTLATCH, &nightlatch);
    (folder, nightlatch)
}

#[test]
fn beside_the_program_with_json() {
    let lab = lab();
    if support::stage(&Plan::empty()).is_none() || !support::installed(&["nft"]) {
        return;
    }
    let decoy = decoy();
    let output = demo(Path::new(NIGHTLATCH), &["--json"], decoy.path());
    assert_eq!(output.status.code(), Some(0), "{}: {}", lab.display(), told(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for time in ["before", "after"] {
        let hosts: Vec<_> =
            report[time].as_array().unwrap().iter().map(|reach| &reach["from"]).collect();
        assert_eq!(
            hosts,
            ["office", "office", "traveller", "traveller", "attacker", "attacker"],
            "{time}"
        );
        let silent = |reach: &serde_json::Value| reach["tcp"]["silent"] == 65_535;
        assert_eq!(silent(&report[time][4]), time == "after", "{time}");
        assert_eq!(report[time][0]["tcp"]["open"], serde_json::json!([22, 80, 443, 5060]));
    }
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains("protecting the server with Nightlatch ..."), "{progress}");
    assert!(progress.contains("nothing of it is left."), "{progress}");
    assert!(!decoy.path().join("started").exists());
}

#[test]
fn in_the_folder_of_the_installation_it_gets_the_arguments_and_its_exit_code_counts() {
    let (folder, nightlatch) = installed_alone();
    let lab_folder = folder.path().join("lib/nightlatch");
    std::fs::create_dir_all(&lab_folder).unwrap();
    let lab = "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 5\n";
    write_program(&lab_folder.join("nightlatch-lab"), lab);
    let decoy = decoy();
    for (arguments, end) in [(&[][..], ""), (&["--json"], "--json\n")] {
        let output = demo(&nightlatch, arguments, decoy.path());
        assert_eq!(output.status.code(), Some(5), "{}", told(&output));
        let expected = format!("demo\n--program\n{}\n{end}", nightlatch.display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    assert!(!decoy.path().join("started").exists());
}

#[test]
fn if_its_program_is_not_installed_it_says_what_to_do() {
    if Path::new("/usr/lib/nightlatch/nightlatch-lab").exists() {
        support::skip("nightlatch-lab is installed on this machine");
        return;
    }
    let (folder, nightlatch) = installed_alone();
    let decoy = decoy();
    for arguments in [&[][..], &["--json"]] {
        let output = demo(&nightlatch, arguments, decoy.path());
        assert_eq!(output.status.code(), Some(74), "{}", told(&output));
        assert!(output.stdout.is_empty(), "{}", told(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        let place = folder.path().join("lib/nightlatch/nightlatch-lab");
        assert!(said.contains(place.to_str().unwrap()), "{said}");
        assert!(said.contains("Run install.sh again"), "{said}");
    }
    assert!(!decoy.path().join("started").exists());
}

#[test]
fn what_attacks_is_not_in_the_program_that_runs_as_root() {
    let lab = lab();
    let has = |program: &Path, text: &str| {
        let found = Command::new("grep").args(["-aqF", "--", text]).arg(program).status().unwrap();
        found.code().filter(|code| *code < 2).unwrap() == 0
    };
    // Of the scanner, of crafted packets, of the namespaces, of the stand-in.
    for text in ["SYN behind many headers", "z9hG4bK-nightlatch-", "--map-root-user", "stand-in"] {
        assert!(has(&lab, text), "{text}: this test looks for what is nowhere");
        assert!(!has(Path::new(NIGHTLATCH), text), "{text} is in the program that runs as root");
    }
}
