//! Help, manual pages and completions: all from one definition.

use std::process::Command;

use crate::support::told;

const COMMANDS: [&str; 23] = [
    "up", "confirm", "rollback", "down", "status", "allow", "remove", "list", "show", "why",
    "block", "unblock", "country", "feed", "mode", "services", "log", "check", "reload", "demo",
    "daemon", "provider", "who",
];
/// Commands within commands.
const PARTS: [&str; 15] = [
    "country block",
    "country unblock",
    "country allow",
    "country list",
    "country refresh",
    "country of",
    "feed add",
    "feed remove",
    "feed list",
    "feed refresh",
    "feed catalogue",
    "provider list",
    "provider show",
    "provider enable",
    "provider disable",
];

fn nightlatch(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightlatch"));
    for variable in
        ["NIGHTLATCH_CONFIG", "NIGHTLATCH_STATE_DIR", "NIGHTLATCH_RUN_DIR", "NIGHTLATCH_ROOT"]
    {
        command.env_remove(variable);
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_help() {
    let all = nightlatch(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in {all}");
        for help in [nightlatch(&[command, "--help"]), nightlatch(&["help", command])] {
            assert!(help.contains(&format!("Usage: nightlatch {command}")), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        }
    }
    for part in PARTS {
        let words: Vec<&str> = part.split(' ').chain(["--help"]).collect();
        let help = nightlatch(&words);
        assert!(help.contains(&format!("Usage: nightlatch {part}")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    for hidden in ["boot", "generate"] {
        assert!(!all.contains(&format!("\n  {hidden} ")), "{all}");
    }
    for code in ["0 success", "1 refused", "2 usage error", "69", "77", "78"] {
        assert!(all.contains(code), "{all}");
    }
    assert_eq!(nightlatch(&["--version"]), format!("nightlatch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_the_help_is_shown() {
    let output = Command::new(env!("CARGO_BIN_EXE_nightlatch"))
        .env_remove("NIGHTLATCH_CONFIG")
        .env_remove("NIGHTLATCH_STATE_DIR")
        .env_remove("NIGHTLATCH_RUN_DIR")
        .env_remove("NIGHTLATCH_ROOT")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("Turn the firewall on"), "{}", told(&output));
}

#[test]
fn manual_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    nightlatch(&["generate", "man", place]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let parts = PARTS.map(|part| part.replace(' ', "-"));
    let named = COMMANDS.iter().copied().chain(parts.iter().map(String::as_str));
    for name in named.map(|command| format!("nightlatch-{command}.8")) {
        let text = page(&name);
        assert!(text.contains(".TH") && text.contains(".SH DESCRIPTION"), "{name}: {text}");
    }
    assert!(page("nightlatch.8").contains("nightlatch\\-allow(8)"), "{}", page("nightlatch.8"));

    // Every page that is named somewhere is there.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap().replace('\\', "");
        for (before, _) in text.match_indices("(8)").map(|(at, _)| text.split_at(at)) {
            let name = before.rsplit(|c: char| c.is_whitespace() || c == ',').next().unwrap();
            assert!(folder.path().join(format!("{name}.8")).exists(), "{name}(8)");
        }
    }
    assert!(page("nightlatch-feed.8").contains("feed catalogue"));
    // A feature of which no command tells has a page of its own, and the others have none.
    assert!(page("nightlatch-notices.8").contains("firewall\\-off"));
    assert!(page("nightlatch-denials.8").contains("without an account\n"));
    assert!(!folder.path().join("nightlatch-accounts.8").exists());
    assert!(page("nightlatch-feed-add.8").contains("key\\-file"));

    nightlatch(&["generate", "completions", place]);
    for name in ["nightlatch.bash", "_nightlatch", "nightlatch.fish"] {
        let text = page(name);
        assert!(COMMANDS.iter().all(|command| text.contains(command)), "{name}");
        assert!(!text.contains(place));
    }
    let bash = folder.path().join("nightlatch.bash");
    assert!(Command::new("bash").arg("-n").arg(bash).status().unwrap().success());
    let missing = folder.path().join("missing");
    let mut generate = Command::new(env!("CARGO_BIN_EXE_nightlatch"));
    let output = generate.args(["generate", "man"]).arg(missing).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(told(&output).contains("missing cannot be written"), "{}", told(&output));
}
