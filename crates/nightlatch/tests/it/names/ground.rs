//! A server with name servers beside it: dnsmasq, or one that answers as a test says.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};
use serde_json::Value;

use crate::support::{self, ASTERISK, Daemon, Installation, told, wait_until};

/// How long something may take that does not wait for an answer to run out.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// How long it takes at most until a name is asked for again: the shortest lifetime, spread, on a busy
/// machine.
pub(super) const REFRESH: Duration = Duration::from_secs(50);
/// The address of the first name server.
pub(super) const FIRST: &str = "198.51.100.53";

/// A stage whose server has an `/etc` of its own, or `None` where this machine does not allow that.
pub(super) fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "dnsmasq"]) {
        return None;
    }
    let plan = Plan::standard().with_resolver().change("server", |host| host.with_copy("/etc"));
    support::stage(&plan)
}

/// The program on the server, up, with these lines in its `/etc/resolv.conf`.
pub(super) fn protect<'a>(stage: &'a Stage, resolv_conf: &str) -> (Installation<'a>, Daemon) {
    let server = stage.host("server").unwrap();
    write_resolv_conf(server, resolv_conf);
    let nightlatch = Installation::on(server);
    nightlatch.configure(&format!("{ASTERISK}\n[names]\noverlap = \"10s\"\n"));
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    (nightlatch, daemon)
}

/// Replaces the file, as resolvconf and systemd-resolved do.
pub(super) fn write_resolv_conf(server: &Host, text: &str) {
    let script =
        format!("printf '{text}' > /etc/resolv.new && mv /etc/resolv.new /etc/resolv.conf");
    let output = server.command("sh").args(["-ec", &script]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

/// dnsmasq on the host `resolver`, killed when dropped.
pub(super) struct Dnsmasq(Child);

impl Dnsmasq {
    /// Knows these records, e.g. `host-record=a.example.net,192.0.2.1`, and no others below
    /// `example.net`.
    pub(super) fn on(stage: &Stage, records: &[&str]) -> Dnsmasq {
        let mut command: Command = stage.host("resolver").unwrap().command("dnsmasq");
        command.args(["-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--local-ttl=1"]);
        command.args(["--local=/example.net/", "--bind-interfaces", "--pid-file="]);
        command.arg(format!("--listen-address={FIRST}")).arg("--user=root");
        command.args(records.iter().map(|record| format!("--{record}")));
        let mut child = command.spawn().unwrap();
        wait_until("dnsmasq listens", TIMEOUT, || {
            assert!(child.try_wait().unwrap().is_none(), "dnsmasq has ended");
            let address = SocketAddr::new(FIRST.parse().unwrap(), 53);
            let ask = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
            stage.host("resolver").unwrap().run(ask).unwrap()
        });
        Dnsmasq(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A name server that does as it is told: gets a query, and returns what it sends, each after a pause.
pub(super) type Behaviour = dyn Fn(&[u8]) -> Vec<(Duration, Vec<u8>)> + Send + Sync;

/// Such a name server, ended when dropped.
pub(super) struct Liar {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What it was asked.
    pub(super) asked: Arc<Mutex<usize>>,
}

impl Liar {
    pub(super) fn on(stage: &Stage, behaviour: Box<Behaviour>) -> Liar {
        let address = SocketAddr::new(FIRST.parse().unwrap(), 53);
        let socket = stage.host("resolver").unwrap().run(|| UdpSocket::bind(address)).unwrap();
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let (over, counted) = (Arc::clone(&ends), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                *counted.lock().unwrap() += 1;
                for (pause, packet) in behaviour(&buffer[..length]) {
                    let socket = socket.try_clone().unwrap();
                    std::thread::spawn(move || {
                        std::thread::sleep(pause);
                        let _ = socket.send_to(&packet, from);
                    });
                }
            }
        });
        Liar { ends, thread: Some(thread), asked }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The answer to a query for one IPv4 address, or an empty one where IPv6 was asked for.
pub(super) fn answer(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut packet = query.to_vec();
    (packet[2], packet[3]) = (0x81, 0x80);
    if query[query.len() - 3] == 1 {
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        packet.extend(address);
    }
    packet
}

/// What `nightlatch names` says of a name.
pub(super) fn of_name(nightlatch: &Installation<'_>, name: &str) -> Value {
    let all = nightlatch.json(&["names"]);
    let found = all["names"].as_array().unwrap().iter().find(|one| one["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// The addresses that count for a name.
pub(super) fn addresses(nightlatch: &Installation<'_>, name: &str) -> Vec<String> {
    let name = of_name(nightlatch, name);
    let all = name["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

/// Waits until a name has just these addresses.
pub(super) fn has(nightlatch: &Installation<'_>, name: &str, wanted: &[&str], patience: Duration) {
    wait_until(&format!("{name} is {wanted:?}"), patience, || {
        let all = addresses(nightlatch, name);
        std::thread::sleep(Duration::from_millis(100));
        all == wanted
    });
}

/// A service on the server that sends back what it gets, over TCP and UDP.
pub(super) fn serve(server: &Host, port: u16) {
    for address in [server.v4(), server.v6()] {
        let address = SocketAddr::new(address, port);
        let sockets = || (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
        let (listener, socket) = server.run(sockets).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (&stream, &stream);
                    let _ = std::io::copy(&mut from, &mut to);
                });
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
    }
}

/// Both addresses of a host, IPv4 first.
pub(super) fn both(host: &Host) -> [IpAddr; 2] {
    [host.v4(), host.v6()]
}
