//! The files under `examples/`, as `nightlatch check` sees them.

use std::path::Path;
use std::process::Command;

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
