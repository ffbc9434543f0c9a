//! The program on the server of a stage, where it sees no processes but those started here.
//!
//! It looks for telephone servers among all processes of the machine. Other tests, and whoever works
//! on this machine, start and end such programs; without a process namespace of its own, a
//! transcript would tell of them now and then.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::Host;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Installation, told, wait_until};

/// How long something may take that comes at once on an idle machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// An installation, and the first process of its namespace: with that, all others end.
pub(super) struct Server<'a> {
    installation: Installation<'a>,
    apart: Apart,
}

impl<'a> Server<'a> {
    /// On a host of a stage.
    pub(super) fn on(host: &'a Host) -> Server<'a> {
        let installation = Installation::on(host).with_asterisk();
        Server { installation, apart: Apart::on(host) }
    }

    /// A program on the host, not yet started.
    pub(super) fn program<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Command {
        let words = self.apart.words(program, arguments);
        self.installation.command_called("nsenter", &words)
    }

    /// `nightlatch` with these arguments, not yet started.
    pub(super) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        self.program(env!("CARGO_BIN_EXE_nightlatch"), arguments)
    }

    /// Runs `nightlatch` to its end, whatever that is.
    pub(super) fn run_it<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `nightlatch`, which has to succeed, and returns what it printed.
    pub(super) fn must<S: AsRef<OsStr> + std::fmt::Debug>(&self, arguments: &[S]) -> String {
        let output = self.run_it(arguments);
        assert!(output.status.success(), "nightlatch {arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `nightlatch` with `--json` and returns what it printed.
    pub(super) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run_it(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("nightlatch {arguments:?}: {error}: {}", told(&output)))
    }

    /// Starts a program.
    pub(super) fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let waits = self.program(program, arguments).spawn().unwrap();
        Running { waits, is_apart: self.apart.first.is_some() }
    }

    /// Starts a command whose standard output is piped.
    pub(super) fn start_piped(&self, command: &mut Command) -> (Running, ChildStdout) {
        let mut waits = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = waits.stdout.take().unwrap();
        (Running { waits, is_apart: self.apart.first.is_some() }, output)
    }

    /// Starts the daemon and waits until it answers.
    pub(super) fn daemon(&self) -> Running {
        self.daemon_in(&[])
    }

    /// The same with these variables in its environment.
    pub(super) fn daemon_in(&self, environment: &[(&str, &str)]) -> Running {
        let log = std::fs::File::create(self.directory().join("daemon.log")).unwrap();
        let mut command = self.command(&["daemon"]);
        command.stdout(log.try_clone().unwrap()).stderr(log).envs(environment.iter().copied());
        let mut daemon =
            Running { waits: command.spawn().unwrap(), is_apart: self.apart.first.is_some() };
        wait_until("the daemon answers", TIMEOUT, || {
            if let Some(status) = daemon.waits.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            // 69: the daemon is not running.
            self.run_it(&["status"]).status.code() != Some(69)
        });
        daemon
    }
}

impl<'a> Deref for Server<'a> {
    type Target = Installation<'a>;

    fn deref(&self) -> &Installation<'a> {
        &self.installation
    }
}

/// A running program, ended (by SIGKILL) when dropped.
pub(super) struct Running {
    /// The process that has entered the namespace and waits, or the program itself.
    waits: Child,
    is_apart: bool,
}

impl Running {
    /// `kill -9`.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        if self.is_apart {
            let _ = child_of(self.waits.id()).map(|program| kill_process(program, Signal::KILL));
        } else {
            let _ = self.waits.kill();
        }
        let _ = self.waits.wait();
    }
}

/// A process namespace, with a `/proc` of its own; none where this user may not make one.
struct Apart {
    holder: Child,
    /// Its first process.
    first: Option<Pid>,
}

impl Apart {
    fn on(host: &Host) -> Apart {
        let mut command = host.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity"]);
        let mut holder = command.spawn().unwrap();
        let mut first = None;
        wait_until("a process namespace", TIMEOUT, || {
            first = child_of(holder.id()).filter(|first| is_called(*first, "sleep"));
            first.is_some() || holder.try_wait().unwrap().is_some()
        });
        Apart { holder, first }
    }

    /// What `nsenter` runs.
    fn words<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Vec<OsString> {
        let first = self.first.map(|first| format!("/proc/{}/ns", first.as_raw_nonzero()));
        let spaces =
            first.map(|spaces| [format!("--pid={spaces}/pid"), format!("--mount={spaces}/mnt")]);
        let mut words: Vec<OsString> = spaces.into_iter().flatten().map(OsString::from).collect();
        // The session of whoever enters is not known there.
        words.extend(["--".into(), "setsid".into(), program.into()]);
        words.extend(arguments.iter().map(|word| word.as_ref().to_owned()));
        words
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // With the first process, the kernel ends all others of the namespace.
        let _ = self.first.map(|first| kill_process(first, Signal::KILL));
        let _ = self.holder.wait();
    }
}

/// The only child of a process.
fn child_of(parent: u32) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let child = numbers.find(|number| {
        let status = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let behind = status.rsplit_once(") ").map(|(_, behind)| behind.to_owned());
        behind.is_some_and(|behind| behind.split(' ').nth(1) == Some(&parent.to_string()))
    });
    child.and_then(Pid::from_raw)
}

fn is_called(process: Pid, name: &str) -> bool {
    let path = format!("/proc/{}/comm", process.as_raw_nonzero());
    std::fs::read_to_string(path).is_ok_and(|called| called.trim_end() == name)
}
