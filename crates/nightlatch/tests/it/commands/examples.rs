//! What is written for users holds: the files under `examples/`, and the commands in README.md.

use std::path::Path;
use std::process::Command;

use clap::Parser as _;

use crate::support::told;

#[test]
fn every_example_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let output = check(&path);
        assert!(output.status.success(), "{}: {}", path.display(), told(&output));
        seen += 1;
        // The same with a mistake in it is not.
        let broken = tempfile::NamedTempFile::new().unwrap();
        let text = std::fs::read_to_string(&path).unwrap() + "\n[nothing]\n";
        std::fs::write(broken.path(), text).unwrap();
        let output = check(broken.path());
        assert_eq!(output.status.code(), Some(78), "{}", told(&output));
        assert!(told(&output).contains("[nothing]"), "{}", told(&output));
    }
    assert!(seen > 0);
}

fn check(path: &Path) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightlatch"));
    command.arg("check").arg("--config").arg(path).env_remove("NIGHTLATCH_CONFIG").output().unwrap()
}

/// Every command shown there is one, and so are the lists of the catalogue that it names.
#[test]
fn the_readme_shows_real_commands() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let mut seen = 0;
    for line in readme.lines().filter(|line| line.starts_with("nightlatch ")) {
        let line = line.split(" #").next().unwrap();
        let words = words_of(line);
        let parsed = nightlatch::cli::Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        if let ["nightlatch", "feed", "add", name] =
            words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nightlatch"));
            let output = command.args(["feed", "catalogue", "--json"]).output().unwrap();
            let known: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let mut known = known.as_array().unwrap().iter();
            assert!(known.any(|known| known["name"] == name), "{name} is not in the catalogue");
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

/// The words of a line as a shell has them, with texts in double quotes.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}
