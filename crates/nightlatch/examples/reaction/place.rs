//! The program on the server, with its state in a folder of its own.

use std::fmt;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::Host;
use tempfile::TempDir;

/// How many addresses the command line of one `allow` takes here.
const AT_ONCE: usize = 1_000;

/// How much the firewall lets in.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    /// 10 addresses.
    Small,
    /// 100,000 addresses in 100 accounts.
    Large,
}

impl Size {
    /// How many.
    pub(crate) fn addresses(self) -> usize {
        match self {
            Size::Small => 10,
            Size::Large => 100_000,
        }
    }
}

impl Size {
    /// How long the daemon may be busy after a change.
    pub(crate) fn settling(self) -> Duration {
        match self {
            Size::Small => Duration::from_millis(500),
            Size::Large => Duration::from_secs(5),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Small => f.write_str("10 addresses"),
            Size::Large => f.write_str("100,000 addresses"),
        }
    }
}

/// An address of an account, by its number. They lie apart, so that no two become one range.
pub(crate) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from((20 << 24) + u32::try_from(number).unwrap() * 64 + 1)
}

/// The program on a host.
pub(crate) struct Place<'a> {
    program: &'a Path,
    host: &'a Host,
    folder: TempDir,
}

impl<'a> Place<'a> {
    /// Without any state yet.
    pub(crate) fn new(program: &'a Path, host: &'a Host) -> Place<'a> {
        Place { program, host, folder: tempfile::tempdir().unwrap() }
    }

    /// The folder of the configuration, the state (`state`) and the sockets (`run`).
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command, which has to succeed.
    pub(crate) fn must(&self, arguments: &[&str]) {
        let output = self.command().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nightlatch {:?}: {said}", arguments.first());
    }

    /// Makes accounts, and tells how long that took.
    pub(crate) fn fill(&self, size: Size) -> Duration {
        let addresses: Vec<String> =
            (0..size.addresses()).map(|number| address(number).to_string()).collect();
        let begin = Instant::now();
        for (number, addresses) in addresses.chunks(AT_ONCE).enumerate() {
            let name = format!("account-{number}");
            let mut arguments = vec!["allow", &name, "--services", "sip"];
            arguments.extend(addresses.iter().map(String::as_str));
            self.must(&arguments);
        }
        begin.elapsed()
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) fn daemon(&self) -> Daemon {
        let path = self.folder().join("notify");
        // From the daemon before, if there was one.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(super::TIMEOUT)).unwrap();
        let mut command = self.command();
        command.arg("daemon").env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
        let daemon = Daemon(command.stdout(Stdio::null()).spawn().unwrap());
        let mut message = [0; 100];
        loop {
            let length = socket.recv(&mut message).unwrap();
            if message[..length].starts_with(b"READY=1") {
                return daemon;
            }
        }
    }

    /// A command, to be run on the host.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.host.command(self.program.to_str().unwrap());
        let folder = self.folder();
        command
            .env("NIGHTLATCH_CONFIG", folder.join("nightlatch.toml"))
            .env("NIGHTLATCH_STATE_DIR", folder.join("state"))
            .env("NIGHTLATCH_RUN_DIR", folder.join("run"))
            .env_remove("SSH_CONNECTION")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }
}

/// A daemon, killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory of a process and its threads, as cells of a table, in MB.
pub(crate) fn memory(process: u32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let rollup = read("smaps_rollup");
    let megabytes = |wanted: &str| -> f64 {
        let lines = rollup.lines().filter(|line| line.starts_with(wanted));
        let kilobytes =
            lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kilobytes.sum::<f64>() / 1024.0
    };
    let status = read("status");
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim();
    format!(
        "{:.1} | {:.1} | {:.1} | {threads}",
        megabytes("Rss:"),
        megabytes("Pss:"),
        megabytes("Private_")
    )
}
