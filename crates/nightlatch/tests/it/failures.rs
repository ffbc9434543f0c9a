//! What goes wrong: each with a clear error, the right exit code, and a firewall that stands as
//! it stood.

mod boot;
mod database;
mod sockets;
mod start;
mod upgrade;

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};

use crate::support::{self, Daemon, Installation, told, wait_until};

/// What listens on the server.
const SERVICES: [&str; 3] = ["udp/5060", "tcp/22", "tcp/80"];
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

/// A stage with mounts of its own on the server, if this machine allows it.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "mount"]) {
        return None;
    }
    support::stage(&Plan::standard().change("server", |server| server.with_empty("/mnt")))
}

/// A server with its services, an office that may come in and a stranger who may not.
struct Scene<'a> {
    server: &'a Host,
    office: &'a Host,
    stranger: &'a Host,
    nightlatch: Installation<'a>,
}

impl<'a> Scene<'a> {
    /// The services run; nothing of ours does.
    fn new(stage: &'a Stage) -> Scene<'a> {
        let server = stage.host("server").unwrap();
        listen(server);
        Scene {
            server,
            office: stage.host("office").unwrap(),
            stranger: stage.host("attacker").unwrap(),
            nightlatch: Installation::on(server).with_asterisk(),
        }
    }

    /// The firewall is up, with the account "office" for all services.
    fn guarded(stage: &'a Stage) -> (Scene<'a>, Daemon) {
        let scene = Scene::new(stage);
        let daemon = scene.nightlatch.daemon();
        scene.nightlatch.must(&["up", "--yes"]);
        let office = scene.office.v4().to_string();
        scene.nightlatch.must(&["allow", "office", &office]);
        scene.is_guarded();
        (scene, daemon)
    }

    /// The table as `nft` shows it, without what counts by itself; empty where there is none.
    fn table(&self) -> String {
        let output = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", self.server.holder()))
            .args(["nft", "-s", "list", "table", "inet", "nightlatch"])
            .output()
            .unwrap();
        without_peers(&String::from_utf8(output.stdout).unwrap())
    }

    /// The office comes in, the stranger meets silence.
    fn is_guarded(&self) {
        reaches(self.office, self.server.v4(), &SERVICES);
        reaches(self.stranger, self.server.v4(), &[]);
    }

    /// Runs `attempt`, after which the firewall must stand as it stood.
    fn untouched<T>(&self, attempt: impl FnOnce() -> T) -> T {
        let before = self.table();
        assert!(before.contains("chain prerouting"), "{before}");
        let result = attempt();
        assert_eq!(self.table(), before);
        self.is_guarded();
        result
    }

    /// Runs a shell script on the server, in its own mounts; it must succeed.
    fn shell(&self, script: &str) {
        let output = self.server.command("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", told(&output));
    }

    /// The daemon in the foreground, which has to end by itself.
    fn daemon_ends(&self) -> Output {
        ends(&self.nightlatch)
    }
}

fn ends(nightlatch: &Installation<'_>) -> Output {
    let limited = ["10", env!("CARGO_BIN_EXE_nightlatch"), "daemon"];
    nightlatch.command_called("timeout", &limited).output().unwrap()
}

/// Answers on every service, on both families, until the test's process ends.
fn listen(server: &Host) {
    for address in [server.v4(), server.v6()] {
        let (udp, tcp) = server
            .run(|| {
                let udp = UdpSocket::bind((address, 5060)).unwrap();
                (udp, [22, 80].map(|port| TcpListener::bind((address, port)).unwrap()))
            })
            .unwrap();
        std::thread::spawn(move || {
            let mut datagram = [0; 64];
            while let Ok((length, from)) = udp.recv_from(&mut datagram) {
                let _ = udp.send_to(&datagram[..length], from);
            }
        });
        for listener in tcp {
            std::thread::spawn(move || while listener.accept().is_ok() {});
        }
    }
}

/// A host reaches exactly these services.
fn reaches(host: &Host, server: IpAddr, services: &[&str]) {
    let (open, closed): (Vec<&str>, Vec<&str>) =
        SERVICES.iter().partition(|service| services.contains(service));
    for service in open {
        let what = format!("{} reaches {service}", host.name());
        wait_until(&what, Duration::from_secs(5), || probe(host, server, service));
    }
    std::thread::scope(|scope| {
        for service in closed {
            scope.spawn(move || {
                assert!(!probe(host, server, service), "{} reaches {service}", host.name());
            });
        }
    });
}

/// Whether a service answers; one try.
fn probe(host: &Host, server: IpAddr, service: &str) -> bool {
    let (protocol, port) = service.split_once('/').unwrap();
    let port: u16 = port.parse().unwrap();
    let answered = host.run(|| {
        if protocol == "tcp" {
            return TcpStream::connect_timeout(&(server, port).into(), SILENCE).map(|_| ());
        }
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((server, port))?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.send(b"hello")?;
        socket.recv(&mut [0; 64]).map(|_| ())
    });
    match answered.unwrap() {
        Ok(()) => true,
        Err(error) => {
            // A refusal would betray that the machine exists.
            assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "{service} is refused");
            false
        }
    }
}

/// Exit code, and all of these words in what was printed.
fn check(output: &Output, code: i32, words: &[&str]) {
    let said = told(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "\"{word}\" is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A table without the known peers, which change with the server's own packets.
fn without_peers(table: &str) -> String {
    let mut lines = Vec::new();
    let mut of_peers = false;
    for line in table.lines() {
        if let Some(name) = line.trim_start().strip_prefix("set ") {
            of_peers = ["registered", "called", "asked"].iter().any(|set| name.starts_with(set));
        }
        // Elements end with a brace on the same line; the set's brace is alone on its line.
        if line.trim() == "}" {
            of_peers = false;
        }
        if !of_peers || !line.contains(" . ") || line.contains("type ") {
            lines.push(line);
        }
    }
    lines.join("\n")
}
