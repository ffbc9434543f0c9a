//! The program on the server, with its state in a folder of its own.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::Host;
use tempfile::TempDir;

/// How long something may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(180);

pub(crate) struct Place<'a> {
    server: &'a Host,
    folder: TempDir,
    daemon: Option<Child>,
}

impl<'a> Place<'a> {
    /// The firewall is up, and asks the name server of the stage.
    pub(crate) fn up(server: &'a Host) -> Place<'a> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        std::fs::write(folder.path().join("config"), "[pbx]\nproduct = \"asterisk\"\n").unwrap();
        let script = "rm -f /etc/resolv.conf; echo 'nameserver 198.51.100.53' > /etc/resolv.conf";
        assert!(server.command("sh").args(["-ec", script]).status().unwrap().success());
        let mut place = Place { server, folder, daemon: None };
        let mut daemon = place.command(&["daemon"]);
        place.daemon = Some(daemon.stderr(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        while place.command(&["status"]).output().unwrap().status.code() == Some(69) {
            assert!(begin.elapsed() < TIMEOUT, "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        place.must(&["up", "--yes"]);
        place
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap();
        let program = program.ancestors().nth(2).unwrap().join("nightlatch");
        let mut command = self.server.command(program.to_str().unwrap());
        let at = |name: &str| self.folder.path().join(name);
        command
            .args(arguments)
            .env("NIGHTLATCH_CONFIG", at("config"))
            .env("NIGHTLATCH_STATE_DIR", at("state"))
            .env("NIGHTLATCH_RUN_DIR", at("run"))
            .env_remove("SSH_CONNECTION")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output.stdout
    }

    /// Allows so many names, with a pause after each account.
    pub(crate) fn allow(&self, count: usize, in_one: usize, pause: Duration) {
        for first in (0..count).step_by(in_one) {
            let names = first..count.min(first + in_one);
            let names: Vec<String> = names.map(|number| format!("h{number}.example.net")).collect();
            self.must(&[
                "allow",
                &format!("account{first}"),
                &names.join(","),
                "--services",
                "sip",
            ]);
            std::thread::sleep(pause);
        }
    }

    /// Waits until so many names have an address.
    pub(crate) fn wait_for(&self, count: usize) {
        let begin = Instant::now();
        loop {
            let all: serde_json::Value =
                serde_json::from_slice(&self.must(&["names", "--json"])).unwrap();
            let all = all["names"].as_array().unwrap().iter();
            let known = all.filter(|name| !name["addresses"].as_array().unwrap().is_empty());
            if known.count() == count {
                return;
            }
            assert!(begin.elapsed() < TIMEOUT, "not all names have an address");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// The CPU time of the daemon over this span, in percent of a core.
    pub(crate) fn measure(&self, span: Duration) -> f64 {
        let (before, begin) = (self.cpu(), Instant::now());
        std::thread::sleep(span);
        (self.cpu() - before) / begin.elapsed().as_secs_f64() * 100.0
    }

    fn id(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// In seconds: of all its threads, by the scheduler's count, which is exact to the nanosecond.
    fn cpu(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let all = threads.map(|thread| {
            let file = thread.unwrap().path().join("schedstat");
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.split(' ').next().unwrap_or_default().parse::<u64>().unwrap_or(0)
        });
        Duration::from_nanos(all.sum()).as_secs_f64()
    }

    /// Its resident memory, in MB.
    pub(crate) fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
