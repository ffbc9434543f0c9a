//! Every file under `examples/` is a configuration without mistakes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;

use nightlatch_core::config::{Config, Rules};

#[test]
fn every_example_is_without_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let config = Config::read(&text);
            assert!(config.is_ok(), "{}: {}", path.display(), config.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 0, "no example in {}", folder.display());
}

/// What the example says of the defaults is so: where it shows the value that holds anyway.
#[test]
fn the_example_shows_the_default_source_of_countries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let text = std::fs::read_to_string(folder.join("nightlatch.toml")).unwrap();
    let Config { firewall: shown, countries, .. } = Config::read(&text).unwrap();
    let default = Rules::default();
    assert_eq!(countries, Config::default().countries);
    assert_eq!(
        (shown.open, shown.per_source, shown.total),
        (default.open, default.per_source, default.total)
    );
}

/// The names that the parser knows in a table: it tells them of itself, when it meets another.
fn known_in(table: &str) -> Vec<String> {
    let text = match table {
        "" => "[nothing]\n",
        // There may be several.
        "watch" => "[[watch]]\nnothing = 1\n",
        table => &format!("[{table}]\nnothing = 1\n"),
    };
    let mistake = Config::read(text).unwrap_err().to_string();
    let line = mistake.lines().next().unwrap();
    assert!(line.contains("unknown field `nothing`"), "{line}");
    line.split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect()
}

/// Every key is in the example, behind a comment that explains it.
#[test]
fn the_example_shows_every_key_with_a_sentence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let text = std::fs::read_to_string(folder.join("nightlatch.toml")).unwrap();
    let mut explained = Vec::new();
    let (mut table, mut sentence) = (String::new(), false);
    for line in text.lines() {
        if line.starts_with('[') && line.ends_with(']') {
            let name = line.trim_matches(['[', ']']);
            name.clone_into(&mut table);
            explained.push(name.to_owned());
            sentence = false;
        } else if line.starts_with('#') {
            sentence = true;
        } else if let Some((key, _)) = line.split_once(" = ") {
            // Keys before the first table have no prefix.
            let place = if table.is_empty() { String::new() } else { format!("{table}.") };
            let key = format!("{place}{key}");
            // What the first of several tables explains needs no second sentence.
            assert!(sentence || explained.contains(&key), "no comment before {key}");
            // Services of the administrator's own share one sentence.
            sentence = table == "services";
            explained.push(key);
        }
    }
    let tables = known_in("");
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        assert!(explained.contains(&table), "[{table}] is not in the example");
        // Whose names are free, knows none; and some are no tables.
        let is_table = [format!("[{table}]\n"), format!("[[{table}]]\n")];
        let has_keys = table != "services" && is_table.iter().any(|line| text.contains(line));
        let keys = if has_keys { known_in(&table) } else { Vec::new() };
        for key in keys {
            // Of several that exclude each other, one is shown, and a comment names the others.
            let in_comment = text
                .lines()
                .any(|line| line.starts_with('#') && line.contains(&format!(" {key} = ")));
            let key = format!("{table}.{key}");
            assert!(explained.contains(&key) || in_comment, "{key} is not in the example");
        }
    }
}
