//! What the integration tests share: stages, the program on a host of a stage, patience.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nightlatch_core::AddrRange;
use nightlatch_lab::stage::{Host, Plan, Stage, StageError};
use rustix::process::{Pid, Signal, kill_process};

/// Builds a stage, or says SKIPPED where this machine does not allow namespaces.
///
/// With `NIGHTLATCH_TEST_NO_SKIP` set, as in CI, that is a failure instead.
pub(crate) fn stage(plan: &Plan) -> Option<Stage> {
    match Stage::build(plan) {
        Ok(stage) => Some(stage),
        Err(error @ (StageError::Missing { .. } | StageError::NotAllowed { .. })) => {
            skip(&error.to_string());
            None
        }
        Err(error) => panic!("the stage cannot be built: {error}"),
    }
}

/// Whether all `programs` are installed; where not, says SKIPPED by the name of the test.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|place| place.join(program).exists()))
        .collect();
    if !missing.is_empty() {
        skip(&format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        std::env::var_os("NIGHTLATCH_TEST_NO_SKIP").is_none(),
        "{test} may not be skipped here: {reason}"
    );
    // Not by `eprintln!`, which the test harness hides where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Asks again and again until `done` says yes; fails with `what` after `patience`.
pub(crate) fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = now();
    while !done() {
        assert!(start.elapsed() < patience, "still waiting after {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The clock, for tests that measure how long something takes.
#[expect(clippy::disallowed_methods, reason = "tests measure time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The configuration of a server with Asterisk.
pub(crate) const ASTERISK: &str = "[pbx]\nproduct = \"asterisk\"\n";

/// The program on one host of a stage, with a configuration, state and sockets of its own in a
/// temporary directory. Made from the same `Installation` again, it finds them again.
pub(crate) struct Installation<'a> {
    host: &'a Host,
    directory: tempfile::TempDir,
}

impl<'a> Installation<'a> {
    /// An installation without a configuration file, as after the package is installed.
    pub(crate) fn on(host: &'a Host) -> Installation<'a> {
        let directory = tempfile::tempdir().unwrap();
        for name in ["state", "run"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        Installation { host, directory }
    }

    /// The configuration file; there is none until [`Installation::configure`].
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("nightlatch.toml")
    }

    /// The directory of the database and the audit log.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The directory of the control sockets.
    pub(crate) fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Room for other files of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the configuration file.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    /// Treats the server as an Asterisk, whatever telephone software is installed on this machine.
    pub(crate) fn with_asterisk(self) -> Installation<'a> {
        self.configure(ASTERISK);
        self
    }

    /// `nightlatch` with these arguments, inside the host, not yet started.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        self.command_called(env!("CARGO_BIN_EXE_nightlatch"), arguments)
    }

    /// The same by another name of the binary (a link to it, for the old names).
    pub(crate) fn command_called<S: AsRef<std::ffi::OsStr>>(
        &self,
        program: &str,
        arguments: &[S],
    ) -> Command {
        let mut command = self.host.command(program);
        command
            .args(arguments)
            .env("NIGHTLATCH_CONFIG", self.config())
            .env("NIGHTLATCH_STATE_DIR", self.state())
            .env("NIGHTLATCH_RUN_DIR", self.run())
            // No log of this machine is read.
            .env("NIGHTLATCH_ROOT", self.directory())
            .env_remove("SSH_CONNECTION")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Runs `nightlatch` with these arguments to its end, whatever that is.
    pub(crate) fn run_it<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `nightlatch`, which has to succeed, and returns what it printed.
    pub(crate) fn must<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(
        &self,
        arguments: &[S],
    ) -> String {
        let output = self.run_it(arguments);
        assert!(output.status.success(), "nightlatch {arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `nightlatch`, which has to end with this exit code, and returns all it printed.
    pub(crate) fn must_exit<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(
        &self,
        code: i32,
        arguments: &[S],
    ) -> String {
        let output = self.run_it(arguments);
        assert_eq!(output.status.code(), Some(code), "nightlatch {arguments:?}: {}", told(&output));
        told(&output)
    }

    /// Runs a reading command with `--json` and returns what it printed.
    pub(crate) fn json<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(
        &self,
        arguments: &[S],
    ) -> serde_json::Value {
        let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        all.push("--json".as_ref());
        let output = self.run_it(&all);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("nightlatch {all:?}: {error}: {}", told(&output)))
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon_in(&[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn daemon_in(&self, environment: &[(&str, &str)]) -> Daemon {
        let log = std::fs::File::create(self.directory.path().join("daemon.log")).unwrap();
        let mut command = self.command(&["daemon"]);
        command.stdout(log.try_clone().unwrap()).stderr(log).envs(environment.iter().copied());
        let mut daemon = Daemon { child: command.spawn().unwrap() };
        wait_until("the daemon answers", Duration::from_secs(60), || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            // 69: the daemon is not running.
            self.run_it(&["status"]).status.code() != Some(69)
        });
        daemon
    }

    /// What the daemons started by [`Installation::daemon`] have printed last.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("daemon.log")).unwrap_or_default()
    }
}

/// A running daemon, ended (by SIGKILL) when dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// It stands still, and its table with it, until it is resumed.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that a command has printed, for messages of failed tests.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The range of an element, as `nft -j` shows it.
pub(crate) fn range_of_element(element: &serde_json::Value) -> AddrRange {
    let text = match element {
        serde_json::Value::String(text) => text.clone(),
        object if object["range"].is_array() => {
            let end = |at: usize| object["range"][at].as_str().unwrap().to_owned();
            format!("{}-{}", end(0), end(1))
        }
        object => {
            format!("{}/{}", object["prefix"]["addr"].as_str().unwrap(), object["prefix"]["len"])
        }
    };
    text.parse().unwrap()
}

/// Puts a program there, by another process: a file that this one has had open for writing may be open in a
/// child of another test, and then cannot be executed.
pub(crate) fn install_program(from: impl AsRef<Path>, to: &Path) {
    let installed =
        Command::new("install").args(["-m", "755"]).arg(from.as_ref()).arg(to).output().unwrap();
    assert!(installed.status.success(), "{}", told(&installed));
}

/// Puts a script there, as [`install_program`].
pub(crate) fn write_program(to: &Path, text: &str) {
    let written = to.with_extension("text");
    std::fs::write(&written, text).unwrap();
    install_program(&written, to);
    std::fs::remove_file(written).unwrap();
}
