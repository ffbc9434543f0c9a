//! Where the program of the demo is looked for, and which one is started.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

#[test]
fn the_places() {
    let check = |own: &str, expected: &[&str]| {
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(places(Path::new(own)), expected, "{own}");
    };
    check(
        "/usr/local/bin/nightlatch",
        &[
            "/usr/local/bin/nightlatch-lab",
            "/usr/local/lib/nightlatch/nightlatch-lab",
            "/usr/local/libexec/nightlatch/nightlatch-lab",
            "/usr/lib/nightlatch/nightlatch-lab",
        ],
    );
    check(
        "/usr/bin/nightlatch",
        &[
            "/usr/bin/nightlatch-lab",
            "/usr/lib/nightlatch/nightlatch-lab",
            "/usr/libexec/nightlatch/nightlatch-lab",
        ],
    );
    check(
        "/nightlatch",
        &[
            "/nightlatch-lab",
            "/lib/nightlatch/nightlatch-lab",
            "/libexec/nightlatch/nightlatch-lab",
            "/usr/lib/nightlatch/nightlatch-lab",
        ],
    );
}

#[test]
fn the_first_that_is_there_is_started_if_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let [own, first, second, target] =
        ["nightlatch", "first", "second", "target"].map(|name| folder.path().join(name));
    fs::write(&own, "").unwrap();
    let places = [first.clone(), second.clone()];
    match find(&own, &places) {
        Err(NotStarted::NotInstalled(looked)) => assert_eq!(looked, places),
        other => panic!("{other:?}"),
    }
    fs::write(&second, "").unwrap();
    assert_eq!(find(&own, &places).unwrap(), second);
    // A link to nothing is nothing.
    symlink(&target, &first).unwrap();
    assert_eq!(find(&own, &places).unwrap(), second);
    fs::write(&target, "").unwrap();
    assert_eq!(find(&own, &places).unwrap(), first);
    // A file that everybody may write to is refused, and no other taken instead.
    fs::set_permissions(&target, fs::Permissions::from_mode(0o757)).unwrap();
    match find(&own, &places) {
        Err(NotStarted::NotTrusted(place, why)) => {
            assert_eq!((place, why), (first, Distrust::Writable));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [own, theirs, link] =
        ["nightlatch", "nightlatch-lab", "link"].map(|name| folder.path().join(name));
    for file in [&own, &theirs] {
        fs::write(file, "").unwrap();
    }
    symlink(&own, &link).unwrap();
    let stranger = Some(rustix::fs::Uid::from_raw(4_242));
    let given = [&theirs, &link].map(|file| {
        rustix::fs::chownat(
            rustix::fs::CWD,
            file,
            stranger,
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
    });
    if given.iter().any(Result::is_err) {
        assert!(!rustix::process::geteuid().is_root(), "{given:?}");
        eprintln!("SKIPPED a_file_of_somebody_else_is_refused: only root can make such a file");
        return;
    }
    for place in [theirs, link] {
        match find(&own, std::slice::from_ref(&place)) {
            Err(NotStarted::NotTrusted(found, why)) => {
                assert_eq!((found, why), (place, Distrust::Owner(4_242)));
            }
            other => panic!("{other:?}"),
        }
    }
}
