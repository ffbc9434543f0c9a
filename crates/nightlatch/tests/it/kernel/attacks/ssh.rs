//! Guessed passwords at a real sshd, which writes to syslog.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nightlatch_core::detect::{Judge, Settings, Sighting, Trust};
use nightlatch_lab::packet::{Caught, Packet, flags};
use nightlatch_lab::stage::{Host, Plan, Stage};
use nightlatch_parse::log::{Format, Reading};
use rusqlite::Connection;

use super::super::ground::{Ears, Prober, ignores_tcp, protect, shell};
use super::super::program::Program;
use super::{NO_LIMITS, TIMEOUT, ban_of, limit_of};
use crate::support::{self, Daemon, Installation, wait_until, write_program};

/// A server with sshd and a daemon of syslog, whose log is watched.
struct Server<'a> {
    nightlatch: Installation<'a>,
    host: &'a Host,
    log: PathBuf,
    daemon: Option<Daemon>,
    _sshd: Program,
    place: tempfile::TempDir,
}

impl<'a> Server<'a> {
    fn on(stage: &'a Stage) -> Server<'a> {
        let host = stage.host("server").unwrap();
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("auth.log");
        std::fs::write(&log, "").unwrap();
        let configuration = format!(
            "[open]\nservices = [\"ssh\"]\n{NO_LIMITS}[[watch]]\npath = \"{}\"\nformat = \"sshd\"\n",
            log.display()
        );
        let (nightlatch, daemon) = protect(host, &configuration);
        nightlatch.must(&["mode", "open"]);
        syslog(host, &log);
        let sshd = sshd(host, place.path());
        write_program(&place.path().join("guess"), "#!/bin/sh\necho wrong\n");
        Server { nightlatch, host, log, daemon: Some(daemon), _sshd: sshd, place }
    }

    /// ssh from a host for so many seconds, without whatever is configured there.
    fn ssh(&self, from: &Host, patience: &str, options: &[&str], line: &str) -> Command {
        // A client that is banned waits for ever.
        let mut command = from.command("timeout");
        command.args([patience, "ssh", "-F", "none", "-T", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=4"]);
        command.args(["-o", "IdentityAgent=none", "-o", "LogLevel=ERROR"]);
        command.args(options).arg(format!("root@{}", self.host.v4())).arg(line);
        command.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
        command
    }

    /// Tries a wrong password.
    fn guesses(&self, from: &Host) {
        let options =
            ["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"];
        let mut command = self.ssh(from, "8", &options, "true");
        command.env("SSH_ASKPASS", self.place.path().join("guess"));
        command.env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{}", support::told(&output));
    }

    /// A session that prints something all the time, by a key.
    fn session(&self, from: &Host) -> Session {
        let key = self.place.path().join("key");
        let options = ["-o", "PreferredAuthentications=publickey", "-i", key.to_str().unwrap()];
        let mut command =
            self.ssh(from, "300", &options, "while :; do echo here; sleep 0.05; done");
        Session::of(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// How many wrong passwords from the address sshd has logged.
    fn failures_of(&self, address: IpAddr) -> usize {
        let source = format!("Failed password for root from {address} port ");
        self.logged().lines().filter(|line| line.contains(&source)).count()
    }

    /// What the daemon keeps, as it would be if somebody had logged in from there for two hours. Only in
    /// the journal can it be seen that sshd itself says so, and a log of syslog tells nothing of the past.
    fn somebody_logged_in_two_hours_ago(&mut self, address: IpAddr) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        let line = format!(
            "2026-11-20T08:36:32.505000+00:00 journal sshd[7]: Accepted publickey for root from {address} port 50000 ssh2: ED25519 SHA256:x"
        );
        let Some(Reading::Attempt(attempt)) = Format::Sshd.read(line.as_bytes()) else {
            panic!("{line}")
        };
        let now = nightlatch::shell::clock::now();
        let at = nightlatch_core::time::Time::from_millis(now.millis() - 2 * 3_600_000);
        let mut judge = Judge::new(Settings::default(), [7; 16]);
        let (log, trust) = ("journal ssh", Trust::Full);
        let sighting = Sighting { at, attempt, trust, filter: None, log, line: line.as_bytes() };
        judge.see(&sighting, &mut Vec::new());
        let database = Connection::open(self.nightlatch.state().join("watch.db")).unwrap();
        database.execute("DELETE FROM judged", []).unwrap();
        for row in judge.save().rows {
            database.execute("INSERT INTO judged (key, body) VALUES (?1, ?2)", row).unwrap();
        }
        drop(database);
        self.daemon = Some(self.nightlatch.daemon());
    }
}

/// A session of SSH that is used all the time.
struct Session {
    child: Child,
    lines: Arc<AtomicUsize>,
}

impl Session {
    fn of(mut child: Child) -> Session {
        let lines = Arc::<AtomicUsize>::default();
        let (output, counted) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for _ in BufReader::new(output).lines().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Session { child, lines }
    }

    /// Whether more comes.
    fn goes_on(&self, log: impl Fn() -> String) {
        let before = self.lines.load(Ordering::Relaxed);
        wait_until(&format!("the session goes on: {}", log()), TIMEOUT, || {
            self.lines.load(Ordering::Relaxed) >= before + 10
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what programs of the host send to syslog into a file, as rsyslog does in its traditional format.
fn syslog(host: &Host, log: &Path) {
    let socket = format!("/proc/{}/root/dev/log", host.holder());
    let socket = UnixDatagram::bind(socket).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            // `<38>Nov 30 22:53:44 sshd[77]: ...`
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let text = text.trim_end_matches(['\0', '\n']);
            let Some((_, rest)) = text.split_once('>') else { continue };
            let (stamp, message) = rest.split_at(15);
            let line = format!("{stamp} server{message}\n");
            if file.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    });
}

fn sshd(host: &Host, place: &Path) -> Program {
    let folder = place.display();
    shell(
        host,
        &format!(
            "mkdir -p /run/sshd; sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
             ssh-keygen -q -t ed25519 -N '' -f {folder}/host
             ssh-keygen -q -t ed25519 -N '' -f {folder}/key
             cp {folder}/key.pub {folder}/authorized; chmod 755 {folder}"
        ),
    );
    let configuration = format!(
        "Port 22\nHostKey {folder}/host\nPidFile none\nUsePAM no\nUseDNS no\nStrictModes no\n\
         PermitRootLogin yes\nPasswordAuthentication yes\nAuthorizedKeysFile {folder}/authorized\n\
         MaxStartups 100\n"
    );
    let file = place.join("sshd_config");
    // Newer versions punish by themselves; here that must not do the work of the program.
    let program = shell(host, "command -v sshd").trim().to_owned();
    std::fs::write(&file, format!("{configuration}PerSourcePenalties no\n")).unwrap();
    let mut check = host.command(&program);
    if !check.arg("-t").arg("-f").arg(&file).output().unwrap().status.success() {
        std::fs::write(&file, configuration).unwrap();
    }
    let mut command = host.command(&program);
    command.arg("-D").arg("-f").arg(&file);
    let mut sshd = Program::start(command, &place.join("sshd"));
    wait_until("sshd listens", TIMEOUT, || {
        let ended = sshd.0.try_wait().unwrap();
        let said = || std::fs::read_to_string(place.join("sshd")).unwrap_or_default();
        assert!(ended.is_none(), "{ended:?}: {}", said());
        shell(host, "ss -Hlnt").contains(":22 ")
    });
    sshd
}

/// `None` where this cannot be done.
fn stage() -> Option<Stage> {
    if !support::installed(&["ssh", "sshd", "ssh-keygen", "ss"]) {
        return None;
    }
    if !rustix::process::geteuid().is_root() || !is_initial_user_namespace() {
        support::skip("sshd needs root, and device files of its own");
        return None;
    }
    let plan = Plan::standard()
        .change("server", |host| host.with_copy("/dev").with_copy("/etc").with_empty("/run"));
    support::stage(&plan)
}

/// Only there, sshd can change its user, and devices can be made.
fn is_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).and_then(|count| count.parse().ok()) > Some(65_535_u64)
}

#[test]
fn who_guesses_passwords_of_ssh_is_banned_and_sessions_continue() {
    let Some(stage) = stage() else { return };
    let server = Server::on(&stage);
    let (office, attacker) = (stage.host("office").unwrap(), stage.host("attacker").unwrap());
    let office_address = office.v4().to_string();
    server.nightlatch.must(&["allow", "office", &office_address, "--services", "ssh"]);
    let session = server.session(office);
    session.goes_on(|| server.logged());
    let ssh = SocketAddr::new(server.host.v4(), 22);
    for _ in 0..5 {
        assert!(!ignores_tcp(attacker, ssh));
        server.guesses(attacker);
    }
    let logged = || server.failures_of(attacker.v4()) >= 5;
    wait_until(&format!("sshd has logged it: {}", server.logged()), TIMEOUT, logged);
    wait_until(&format!("the attacker is banned: {}", server.logged()), TIMEOUT, || {
        !ban_of(&server.nightlatch, attacker.v4()).is_null()
    });
    let ban = ban_of(&server.nightlatch, attacker.v4());
    let attack = &ban["cause"]["attack"];
    assert_eq!(attack["evidence"]["service"], "ssh", "{ban}");
    // `logger -t sshd` would write the same line, so the ban is brief.
    assert_eq!(attack["weight"], "brief", "{ban}");
    // The next SYN.
    let ears = Ears::on(server.host);
    assert!(ignores_tcp(attacker, ssh));
    assert_eq!(ears.count(attacker.v4(), 6), 0);
    session.goes_on(|| server.logged());
    // Somebody with an account mistypes all day: he is limited, and his session continues.
    for _ in 0..5 {
        server.guesses(office);
    }
    wait_until(&format!("the office is limited: {}", server.logged()), TIMEOUT, || {
        !limit_of(&server.nightlatch, office.v4()).is_null()
    });
    assert!(ban_of(&server.nightlatch, office.v4()).is_null());
    session.goes_on(|| server.logged());
}

#[test]
fn who_logged_in_before_is_limited() {
    let Some(stage) = stage() else { return };
    let mut server = Server::on(&stage);
    let traveller = stage.host("traveller").unwrap();
    server.somebody_logged_in_two_hours_ago(traveller.v4());
    let session = server.session(traveller);
    session.goes_on(|| server.logged());
    for _ in 0..5 {
        server.guesses(traveller);
    }
    wait_until(&format!("the traveller is limited: {}", server.logged()), TIMEOUT, || {
        !limit_of(&server.nightlatch, traveller.v4()).is_null()
    });
    assert!(ban_of(&server.nightlatch, traveller.v4()).is_null());
    // The burst of the limit, and one a second: as soon as the kernel has its rules.
    let mut prober = Prober::on(traveller);
    let ssh = SocketAddr::new(server.host.v4(), 22);
    let mut first = 20_000;
    wait_until("few new connections are accepted", TIMEOUT, || {
        for port in first..first + 200 {
            let from = SocketAddr::new(traveller.v4(), port);
            prober.send(&Packet::tcp(from, ssh, flags::SYN));
        }
        first += 200;
        let answers = prober.answers(Duration::from_millis(500));
        let accepted = answers.iter().filter(|it| it.tcp_flags() == Some(flags::SYN | flags::ACK));
        accepted.filter_map(Caught::target).collect::<BTreeSet<_>>().len() <= 30
    });
    session.goes_on(|| server.logged());
    let told = server.nightlatch.log();
    assert!(told.contains("people have logged in from there since"), "{told}");
}
