//! A fresh network namespace for a test, and what is done in it.

#![expect(unsafe_code, reason = "a thread's own network namespace has no safe interface")]

use std::env;
use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::process::{Command, Output};
use std::thread;

const INSIDE: &str = "NIGHTLATCH_TEST_INSIDE";

/// Runs a test in a network namespace of its own, with `lo` up. The thread's namespace ends
/// with it, so that nothing is left behind.
///
/// Who is not root gets a user namespace besides, by running the test again under `unshare`;
/// where that is not allowed, says SKIPPED. `test` is the test's path as the harness names it.
pub(crate) fn in_namespace(test: &str, body: impl FnOnce() + Send) {
    if !is_root() && env::var_os(INSIDE).is_none() {
        run_again(test);
        return;
    }
    let result = thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: takes a number only, and changes this thread alone.
                if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                    println!("SKIPPED {test}: {}", io::Error::last_os_error());
                    return;
                }
                run("ip link set lo up");
                body();
            })
            .join()
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

/// Runs a command of words without quotes; fails the test where it fails. Gives what it wrote.
pub(crate) fn run(command: &str) -> String {
    let output = spawn(command);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a program can be started; prints SKIPPED where not.
pub(crate) fn has(test: &str, program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED {test}: {program} is not installed");
    }
    found
}

/// Loads text with `nft`; fails the test where it is refused. Blocks may end on one line, which
/// `nft` 1.0.6 does not like.
pub(crate) fn load(text: &str) {
    nightlatch_netfilter::Netlink::open().unwrap().load(&text.replace("} }", "}\n}")).unwrap();
}

/// Takes every capability from this thread.
pub(crate) fn give_up_privileges() {
    /// `_LINUX_CAPABILITY_VERSION_3` of `linux/capability.h`.
    const VERSION: u32 = 0x2008_0522;
    let (header, sets) = ([VERSION, 0], [0_u32; 6]);
    // SAFETY: both are live and of the sizes that this version has; the kernel only reads the sets, and
    // only this thread changes.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn spawn(command: &str) -> Output {
    let mut words = command.split_whitespace();
    Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uid = status.lines().find(|line| line.starts_with("Uid:"));
    uid.unwrap().split_whitespace().nth(2) == Some("0")
}

fn run_again(test: &str) {
    let allowed = Command::new("unshare").args(["-rn", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED {test}: neither root nor allowed to make namespaces");
        return;
    }
    let output = Command::new("unshare")
        .arg("-rn")
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(said.contains("1 passed"), "{test}: {said}");
}
