//! Runs every fuzz target over its committed corpus, on a stable compiler.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers may fail the test"
)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, reason = "a crate of its own for cargo-fuzz")]
mod targets;

#[test]
fn every_target_over_its_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, target) in targets::TARGETS {
        let mut seen = 0;
        for entry in fs::read_dir(fuzz.join("corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            seen += 1;
        }
        assert!(seen > 0, "the corpus of {name} is empty");
        let binary = fuzz.join("fuzz_targets").join(name).with_extension("rs");
        assert!(binary.exists(), "{name} has no binary");
    }
    let binaries = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(binaries, targets::TARGETS.len());
}
