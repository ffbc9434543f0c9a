//! A server with a command that gets notices.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use nightlatch_lab::stage::{Plan, Stage};
use serde_json::Value;

use crate::support::{self, ASTERISK, Installation, now, told, wait_until};

/// How long something may take that comes at once on an idle machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// A command that keeps what it reads.
pub(super) const KEEP: &str = "cat >> DIR/told";
/// The unit as it is installed, for the rights that the daemon has there.
const UNIT: &str = include_str!("../../../../../pkg/systemd/nightlatch.service");

/// A stage, or `None` where this machine does not allow namespaces, or no other user.
pub(super) fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "setpriv"]) {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        support::skip("only root can run a command as another user");
        return None;
    }
    support::stage(&Plan::standard())
}

/// The program on the server, and a folder `commands` whose files only root can change. In `DIR`, the
/// command can write.
pub(super) struct Server<'a> {
    pub(super) nightlatch: Installation<'a>,
}

impl<'a> Server<'a> {
    /// A server without `[notices]`.
    pub(super) fn on(stage: &'a Stage) -> Server<'a> {
        let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
        let server = Server { nightlatch };
        set_mode(server.nightlatch.directory().to_path_buf(), 0o755);
        for (name, mode) in [("commands", 0o755), ("written", 0o777)] {
            let folder = server.nightlatch.directory().join(name);
            fs::create_dir(&folder).unwrap();
            set_mode(folder, mode);
        }
        server
    }

    /// A server whose command is this script of the shell.
    pub(super) fn with_command(stage: &'a Stage, script: &str) -> Server<'a> {
        let server = Server::on(stage);
        let command = server.script("tell-me", script);
        server.configure(&format!("command = [\"{}\", \"$(id)\"]", command.display()));
        server
    }

    /// Writes `[notices]` into the configuration.
    pub(super) fn configure(&self, notices: &str) {
        self.nightlatch.configure(&format!("{ASTERISK}\n[notices]\n{notices}\n"));
    }

    /// Writes a script of the shell, in which `DIR` is the folder to write to.
    pub(super) fn script(&self, name: &str, script: &str) -> PathBuf {
        let file = self.nightlatch.directory().join("commands").join(name);
        let folder = self.nightlatch.directory().join("written");
        let script = script.replace("DIR", folder.to_str().unwrap());
        crate::support::write_program(&file, &format!("#!/bin/sh\n{script}\n"));
        file
    }

    /// A file that the command writes.
    pub(super) fn written(&self, name: &str) -> PathBuf {
        self.nightlatch.directory().join("written").join(name)
    }

    /// What the command has read as yet: one document a line, and nothing else.
    pub(super) fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.written("told")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map(|(whole, _)| whole.to_owned());
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        whole.iter().flat_map(|text| text.lines()).map(read).collect()
    }

    /// Waits until the command has been told this kind of notice for the first time.
    pub(super) fn is_told(&self, kind: &str) -> Value {
        wait_until(kind, TIMEOUT, || !of_kind(&self.told(), kind).is_empty());
        of_kind(&self.told(), kind).remove(0)
    }

    /// The notices of this kind in `status --json`, the latest first.
    pub(super) fn listed(&self, kind: &str) -> Vec<Value> {
        let status = self.nightlatch.json(&["status"]);
        of_kind(status["notices"].as_array().map_or(&[], Vec::as_slice), kind)
    }

    /// What `status` says on the screen, whatever its exit code.
    pub(super) fn status(&self) -> String {
        told(&self.nightlatch.run_it(&["status"]))
    }

    /// Waits until `status` says this.
    pub(super) fn says(&self, words: &str) {
        let start = now();
        while !self.status().contains(words) {
            assert!(start.elapsed() < TIMEOUT, "\"{words}\" is not in: {}", self.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The firewall goes up and off again.
    pub(super) fn up_and_down(&self) {
        self.nightlatch.must(&["up", "--yes"]);
        self.nightlatch.must(&["down", "--yes"]);
    }

    /// Starts the daemon with no more rights than its unit gives it.
    pub(super) fn daemon_of_the_unit(&self) -> Guarded {
        let rights: Vec<String> = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix("CapabilityBoundingSet="))
            .flat_map(str::split_whitespace)
            .map(|name| format!(",+{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
            .collect();
        let rights = format!("--bounding-set=-all{}", rights.concat());
        let words = [&rights, "--no-new-privs", env!("CARGO_BIN_EXE_nightlatch"), "daemon"];
        let mut command: Command = self.nightlatch.command_called("setpriv", &words);
        let log = fs::File::create(self.nightlatch.directory().join("daemon.log")).unwrap();
        let mut daemon =
            Guarded(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        wait_until("the daemon answers", TIMEOUT, || {
            assert!(daemon.0.try_wait().unwrap().is_none(), "{}", self.nightlatch.log());
            // 69: the daemon is not running.
            self.nightlatch.run_it(&["status"]).status.code() != Some(69)
        });
        daemon
    }
}

/// A daemon, ended (by SIGKILL) when dropped.
pub(super) struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The documents or notices of a kind.
pub(super) fn of_kind(all: &[Value], kind: &str) -> Vec<Value> {
    all.iter().filter(|one| one["kind"] == kind).cloned().collect()
}

pub(super) fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
