//! Every file under `examples/` is a configuration without mistakes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;

use nightlatch_core::config::Rules;

#[test]
fn every_example_is_without_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let rules = Rules::read(&text);
            assert!(rules.is_ok(), "{}: {}", path.display(), rules.unwrap_err());
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
    let shown = Rules::read(&text).unwrap();
    let default = Rules::default();
    assert_eq!(shown.countries, default.countries);
    assert_eq!(
        (shown.open, shown.per_source, shown.total),
        (default.open, default.per_source, default.total)
    );
}
