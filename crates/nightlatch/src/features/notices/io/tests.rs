//! Real commands, most of which misbehave.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::shell::clock::Stopwatch;

const LIMIT: Duration = Duration::from_secs(5);

/// Whether tests can run commands as another user.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `nobody`, or who runs the tests.
fn user() -> User {
    let own = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let tester = || User { name: "tester".to_owned(), uid: own, gid };
    if is_root() { User::find("nobody").unwrap() } else { tester() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs a script of the shell.
fn shell(script: &str, json: &str, limit: Duration) -> Result<(), DeliveryError> {
    deliver_within(limit, &words(&["/bin/sh", "-c", script]), &user(), json)
}

fn error_of(script: &str, limit: Duration) -> String {
    shell(script, "{}", limit).unwrap_err().to_string()
}

/// A folder that everybody can write to, and a file in it, for a command to write.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let file = folder.path().join("written");
    (folder, file)
}

/// What a script writes to the file `$1`.
fn written_by(script: &str, json: &str) -> String {
    let (_folder, file) = place();
    let command = words(&["/bin/sh", "-c", script, "sh", file.to_str().unwrap()]);
    deliver_within(LIMIT, &command, &user(), json).unwrap();
    fs::read_to_string(file).unwrap()
}

fn exists(process: &str) -> bool {
    Path::new("/proc").join(process.trim()).exists()
}

/// Waits until a process is gone: one that was killed goes when its new parent has collected it.
fn is_gone(process: &str) -> bool {
    assert!(process.trim().parse::<u32>().is_ok(), "{process}");
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !exists(process)
    })
}

#[test]
fn it_reads_the_whole_text_byte_by_byte() {
    let hostile =
        r#"{"a":"\"; $(touch /x) `id` ${HOME} <b>&amp; \\n \\u{1b}[2J é 電話 ' -- %s\\0"}"#;
    assert_eq!(written_by("cat > \"$1\"", hostile), format!("{hostile}\n"));
    // Much more than a pipe holds.
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(3_000_000));
    assert_eq!(written_by("cat > \"$1\"", &long), format!("{long}\n"));
}

#[test]
fn arguments_reach_it_as_they_are() {
    let (_folder, file) = place();
    let hostile = "$(id) `id` ; \"'\\ *\n-x";
    let script = "printf %s \"$2\" > \"$1\"";
    let command = words(&["/bin/sh", "-c", script, "sh", file.to_str().unwrap(), hostile]);
    deliver_within(LIMIT, &command, &user(), "{}").unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), hostile);
}

#[test]
fn it_need_not_read() {
    let long = "x".repeat(3_000_000);
    shell("exit 0", &long, LIMIT).unwrap();
    shell("exec <&-; sleep 0.1", &long, LIMIT).unwrap();
    shell("head -c 10 > /dev/null", &long, LIMIT).unwrap();
}

#[test]
fn it_has_nothing_of_the_daemons() {
    // A descriptor that this process passes on, as one that it inherited.
    let inherited = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let script = "exec > \"$1\"; env | grep -vE '^(PWD|OLDPWD|SHLVL|_)=' | sort; pwd; umask; \
                  ls /proc/self/fd | tr '\\n' ' '; echo; cut -d' ' -f5 /proc/$$/stat; echo $$; \
                  grep -E '^(NoNewPrivs|CapInh|CapPrm|CapEff|CapAmb|SigBlk):' /proc/self/status; \
                  until grep 500 /proc/$$/oom_score_adj; do sleep 0.1; done";
    let said = written_by(script, "{}");
    let lines: Vec<&str> = said.lines().collect();
    let [language, path, folder, umask, files, group, own, rest @ ..] = lines.as_slice() else {
        panic!("{said}");
    };
    assert_eq!([*path, *language].map(|line| line.split_once('=').unwrap()), ENVIRONMENT);
    assert_eq!((*folder, *umask), ("/", "0077"));
    assert_eq!(files.trim(), "0 1 2 3", "3 is the folder that is listed");
    assert_eq!(group, own, "no process group of its own");
    let none = "0000000000000000";
    let expected = [("SigBlk", none), ("CapInh", none), ("CapPrm", none), ("CapEff", none)];
    for (name, value) in expected.into_iter().chain([("CapAmb", none), ("NoNewPrivs", "1")]) {
        assert!(rest.contains(&format!("{name}:\t{value}").as_str()), "{name}: {said}");
    }
    assert_eq!(rest.last(), Some(&"500"));
}

#[test]
fn it_runs_as_the_user_without_other_groups() {
    if !is_root() {
        eprintln!("SKIPPED it_runs_as_the_user_without_other_groups: only root can switch users");
        return;
    }
    let nobody = user();
    let script = "exec > \"$1\"; id -u; id -ru; id -g; id -G; cat /etc/shadow || echo no";
    let expected = format!("{0}\n{0}\n{1}\n{1}\nno\n", nobody.uid, nobody.gid);
    assert_eq!(written_by(script, "{}"), expected);
    // It cannot go back.
    assert_eq!(written_by("setpriv --reuid 0 true 2> /dev/null; echo $? > \"$1\"", "{}"), "127\n");
}

#[test]
fn never_as_root() {
    let root = User { name: "toor".to_owned(), uid: 0, gid: 0 };
    let error = deliver(&words(&["/bin/true"]), &root, "{}").unwrap_err();
    assert!(matches!(error, DeliveryError::Root), "{error}");
}

#[test]
fn one_that_hangs_is_killed() {
    let watch = Stopwatch::start();
    let limit = Duration::from_secs(1);
    let message = error_of("echo $$ >&2; trap '' TERM HUP INT; sleep 60; sleep 60", limit);
    assert!(watch.elapsed() < Duration::from_secs(5));
    let begin = "the command did not end within 1 seconds and was killed: ";
    let process = message.strip_prefix(begin).unwrap_or_else(|| panic!("{message}"));
    assert!(!exists(process), "a zombie is left");
}

#[test]
fn what_it_leaves_running_is_killed_and_nobody_waits_for_it() {
    for script in [
        "sleep 60 & echo $! >&2; exit 4",
        "sleep 60 < /dev/null > /dev/null & echo $! >&2; exit 4",
        "(trap '' HUP TERM; sleep 60 & echo $! >&2; wait) & sleep 0.3; exit 4",
    ] {
        let watch = Stopwatch::start();
        let message = error_of(script, Duration::from_secs(20));
        assert!(watch.elapsed() < Duration::from_secs(10));
        let begin = "the command ended with exit code 4: ";
        let process = message.strip_prefix(begin).unwrap_or_else(|| panic!("{message}"));
        assert!(is_gone(process), "{script}");
    }
    // One that leaves the group lives on, but holds up nobody.
    let watch = Stopwatch::start();
    shell("setsid sleep 8 & exit 0", "{}", Duration::from_secs(20)).unwrap();
    assert!(watch.elapsed() < Duration::from_secs(6));
}

#[test]
fn gigabytes_are_not_read() {
    for script in ["exec yes", "exec yes >&2"] {
        let watch = Stopwatch::start();
        let error = shell(script, "{}", Duration::from_secs(20)).unwrap_err();
        assert!(watch.elapsed() < Duration::from_secs(10));
        assert_eq!(error.to_string(), "the command wrote more than 1048576 bytes: y");
    }
    // A chatty one that does its work is no error.
    shell("head -c 500000 /dev/zero; exit 0", "{}", LIMIT).unwrap();
    let message = error_of("trap '' PIPE; while :; do echo y; done", Duration::from_secs(3));
    assert!(message.starts_with("the command did not end within 3 seconds"), "{message}");
}

#[test]
fn how_it_ended() {
    for (script, message) in [
        ("echo; echo ' bad luck ' >&2; echo more >&2; exit 3", "exit code 3: bad luck"),
        ("echo only this; exit 1", "exit code 1: only this"),
        ("exit 255", "exit code 255"),
        ("printf 'a\\033[2Jb\\377\\r\\n' >&2; exit 1", "exit code 1: a\\u{1b}[2Jb\u{fffd}"),
    ] {
        assert_eq!(error_of(script, LIMIT), format!("the command ended with {message}"));
    }
    assert_eq!(error_of("kill -9 $$", LIMIT), "the command was killed by signal 9");
    assert_eq!(
        error_of("echo x >&2; kill -11 $$", LIMIT),
        "the command was killed by signal 11: x"
    );
    assert_eq!(
        error_of("echo a; echo b >&2; exit 3", LIMIT),
        "the command ended with exit code 3: b"
    );
}

#[test]
fn one_that_cannot_be_killed_holds_up_nobody() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    if !is_root() {
        eprintln!("SKIPPED one_that_cannot_be_killed_holds_up_nobody: only root can switch users");
        return;
    }
    let test = || {
        // Of this thread only.
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::KILL);
        sets.permitted.remove(CapabilitySet::KILL);
        set_capabilities(None, sets).unwrap();
        let watch = Stopwatch::start();
        let error = shell("sleep 4", "{}", Duration::from_millis(200)).unwrap_err();
        assert!(watch.elapsed() < Duration::from_secs(3));
        assert!(matches!(error, DeliveryError::NotEnded { why: Some(_) }), "{error}");
        // One that ends by itself needs no killing.
        shell("exit 0", "{}", LIMIT).unwrap();
    };
    std::thread::spawn(test).join().unwrap();
}

#[test]
fn what_cannot_be_started() {
    let run = |command: &[&str]| deliver(&words(command), &user(), "{}").unwrap_err();
    assert!(matches!(run(&[]), DeliveryError::NoCommand));
    for (path, message) in [
        ("/no/such\u{1b}file", "/no does not exist"),
        ("/usr/../bin/sh", "/usr/../bin/sh does not exist"),
        ("/etc/passwd/x", "/etc/passwd/x does not exist"),
        ("/etc/passwd", "/etc/passwd cannot be executed by that user: run \"chmod +x\" on it"),
        ("/usr", "/usr cannot be executed by that user: it is a folder"),
        ("/", "/ cannot be executed by that user: it is a folder"),
        ("/dev/null", "/dev/null cannot be executed by that user: it is not a regular file"),
    ] {
        let error = run(&[path]).to_string();
        assert!(error.starts_with(message), "{path}: {error}");
    }
    if !is_root() {
        let other = User { name: "other".to_owned(), uid: u32::MAX - 7, gid: u32::MAX - 7 };
        let error = deliver(&words(&["/bin/true"]), &other, "{}").unwrap_err();
        assert!(matches!(error, DeliveryError::CannotSwitch { .. }), "{error}");
    }
}

/// A folder with a file that may be run.
fn program() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let file = folder.path().join("program");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    (folder, file)
}

fn refused(path: &Path) -> String {
    match command_file::check(path) {
        Ok(()) => String::new(),
        Err(error) => error.to_string().replace(path.parent().unwrap().to_str().unwrap(), "FOLDER"),
    }
}

#[test]
fn not_run_if_others_can_write_to_it() {
    let (folder, file) = program();
    for (mode, message) in [
        (0o755, ""),
        (0o700, ""),
        (0o775, "FOLDER/program can be written by others: run \"chmod go-w\" on it"),
        (0o757, "FOLDER/program can be written by others: run \"chmod go-w\" on it"),
        (0o644, "FOLDER/program cannot be executed by that user: run \"chmod +x\" on it"),
    ] {
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let told = refused(&file);
        assert_eq!(told.replace("the command is not run, because ", ""), message, "{mode:o}");
    }
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o775)).unwrap();
    assert!(refused(&file).contains("FOLDER is a folder that others can write to"));
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert_eq!(refused(&file), "");
    let error = deliver(&words(&["/bin/sh", "-c", "exit 0"]), &user(), "{}");
    error.unwrap();
}

#[test]
fn every_link_on_the_way_is_followed() {
    let (folder, file) = program();
    let at = |name: &str| folder.path().join(name);
    symlink(&file, at("absolute")).unwrap();
    symlink("program", at("relative")).unwrap();
    symlink("round", at("round")).unwrap();
    symlink("../x/program", at("back")).unwrap();
    for (name, begin) in [
        ("absolute", ""),
        ("relative", ""),
        ("round", "the command is not run, because FOLDER has too complicated links"),
        ("back", "the command is not run, because FOLDER has too complicated links"),
    ] {
        let told = refused(&at(name));
        assert!(told.starts_with(begin) && begin.is_empty() == told.is_empty(), "{name}: {told}");
    }
    // A folder in between that others can write to.
    let (open, _) = place();
    symlink(&file, open.path().join("link")).unwrap();
    symlink(open.path().join("link"), at("through")).unwrap();
    assert!(refused(&at("through")).contains("is a folder that others can write to"));
}

#[test]
fn not_run_if_it_belongs_to_another() {
    if !is_root() {
        eprintln!("SKIPPED not_run_if_it_belongs_to_another: only root can give files away");
        return;
    }
    let (folder, file) = program();
    chown(&file, Some(65_534), None).unwrap();
    assert!(refused(&file).contains("FOLDER/program does not belong to root: run \"chown root\""));
    chown(&file, Some(0), None).unwrap();
    chown(folder.path(), Some(65_534), None).unwrap();
    assert!(refused(&file).contains("FOLDER does not belong to root"));
    // Nor is a link of another in a folder with the sticky bit.
    let (sticky, link) = (tempfile::tempdir().unwrap(), "link");
    fs::set_permissions(sticky.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let link = sticky.path().join(link);
    symlink("/bin/true", &link).unwrap();
    assert_eq!(refused(&link), "");
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    assert!(refused(&link).contains("FOLDER/link does not belong to root"));
    let error = deliver(&words(&[link.to_str().unwrap()]), &user(), "{}").unwrap_err();
    assert!(matches!(error, DeliveryError::UnsafeOwner(_)), "{error}");
}
