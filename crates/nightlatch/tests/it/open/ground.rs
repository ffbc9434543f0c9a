//! A laptop, and a server whose firewall follows the messages: a stand-in that reads them with
//! `nightlatch-parse`, so that a test can see each and decide what becomes of it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};
use nightlatch_parse::spa::{self, Address, Keys, Message};

use crate::support::{self, told};

/// Where the server takes messages.
pub(crate) const SPA_PORT: u16 = 40_001;
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const HMAC_KEY: &str =
    "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==";
/// The name that the laptop knows the server by.
pub(crate) const NAME: &str = "pbx.example.net";

/// The server, and a laptop with an `/etc` of its own.
pub(crate) fn stage() -> Option<Stage> {
    stage_of(Plan::standard())
}

pub(crate) fn stage_of(plan: Plan) -> Option<Stage> {
    if !support::installed(&["nft"]) {
        return None;
    }
    let plan = plan.without("office").without("attacker");
    support::stage(&plan.change("traveller", |host| host.with_copy("/etc")))
}

/// The laptop: whoever runs the program there is neither root nor has any configuration.
pub(crate) struct Laptop<'a> {
    pub(crate) host: &'a Host,
    folder: tempfile::TempDir,
}

impl<'a> Laptop<'a> {
    /// The laptop knows the server by its name, with these addresses.
    pub(crate) fn of(stage: &'a Stage, addresses: &[IpAddr]) -> Laptop<'a> {
        let host = stage.host("traveller").unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let laptop = Laptop { host, folder };
        laptop.knows(addresses);
        laptop
    }

    pub(crate) fn knows(&self, addresses: &[IpAddr]) {
        let lines = addresses.iter().map(|address| format!("{address} {NAME}\n"));
        let lines: String = lines.collect();
        let script = format!(
            "echo 'hosts: files' > /etc/nsswitch.conf; printf '127.0.0.1 localhost\n{lines}' > /etc/hosts"
        );
        shell(self.host, &script);
    }

    /// A file that only the user can read.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `nightlatch open` with these arguments, by a user without rights, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("setpriv");
        let user = NOBODY.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
        command.arg(env!("CARGO_BIN_EXE_nightlatch")).arg("open").args(arguments);
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        command
    }

    pub(crate) fn open(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, and returns what it printed. It has to end with this code.
    pub(crate) fn must_exit(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.open(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
        told(&output)
    }

    /// What it prints with `--json`, and its exit code.
    pub(crate) fn json(&self, arguments: &[&str]) -> (serde_json::Value, Option<i32>) {
        let output = self.open(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", told(&output)));
        (value, output.status.code())
    }
}

const NOBODY: u32 = 65_534;

/// The card of the user of the stand-in, as the server writes it to a file.
pub(crate) fn card(access: &str) -> String {
    format!(
        "NIGHTLATCH_CARD: 1\nHOST: {NAME}\nUSER: anna\nSPA_SERVER_PORT: {SPA_PORT}\nACCESS: {access}\nKEY_BASE64: {KEY}\nHMAC_KEY_BASE64: {HMAC_KEY}\n"
    )
}

/// Runs a line of shell on a host; it has to succeed. Returns what it printed.
pub(crate) fn shell(host: &Host, line: &str) -> String {
    let output = host.command("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A message as the stand-in got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) source: IpAddr,
    pub(crate) payload: Vec<u8>,
    pub(crate) message: Message,
}

type Decide = Box<dyn Fn(usize, &Got) -> bool + Send>;

/// Takes messages on a server, and opens and closes its firewall.
pub(crate) struct StandIn {
    got: Arc<Mutex<Vec<Got>>>,
    ended: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl StandIn {
    /// All messages count.
    pub(crate) fn on(host: &Host) -> StandIn {
        StandIn::that(host, |_, _| true)
    }

    /// Those count of which `decide` says so, by their number (from 0) and what they say.
    pub(crate) fn that(
        host: &Host,
        decide: impl Fn(usize, &Got) -> bool + Send + 'static,
    ) -> StandIn {
        shell(
            host,
            &format!(
                "nft 'table inet door {{
                    set open4 {{ type ipv4_addr; }}
                    set open6 {{ type ipv6_addr; }}
                    chain input {{
                        type filter hook input priority 0; policy drop;
                        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                        udp dport {SPA_PORT} accept
                        ip saddr @open4 accept
                        ip6 saddr @open6 accept
                    }}
                }}'"
            ),
        );
        let socket = host.run(|| UdpSocket::bind(any(SPA_PORT))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (got, ended) = (Arc::<Mutex<Vec<Got>>>::default(), Arc::<AtomicBool>::default());
        let (host_id, keeps, stops) = (host.holder(), Arc::clone(&got), Arc::clone(&ended));
        let decide: Decide = Box::new(decide);
        let worker = std::thread::spawn(move || take(&socket, host_id, &keeps, &stops, &decide));
        StandIn { got, ended, worker: Some(worker) }
    }

    /// All messages so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn take(
    socket: &UdpSocket,
    holder: u32,
    got: &Mutex<Vec<Got>>,
    ended: &AtomicBool,
    decide: &Decide,
) {
    let keys = Keys::from_base64(KEY, HMAC_KEY).unwrap();
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let payload = buffer[..length].to_vec();
        let Ok(authentic) = spa::authenticate(&payload, &keys) else { continue };
        let source = from.ip().to_canonical();
        let message = authentic.open().unwrap();
        let one = Got { source, payload, message };
        let number = got.lock().unwrap().len();
        let counts = decide(number, &one);
        if counts {
            let address = match one.message.address {
                Address::Source => source,
                Address::Given(address) => address,
            };
            set(holder, address, one.message.client_timeout != Some(1));
        }
        got.lock().unwrap().push(one);
    }
}

/// Opens or closes an address.
fn set(holder: u32, address: IpAddr, opens: bool) {
    let family = if address.is_ipv4() { 4 } else { 6 };
    let verb = if opens { "add" } else { "delete" };
    let line = format!("{verb} element inet door open{family} {{ {address} }}");
    let space = format!("--net=/proc/{holder}/ns/net");
    let output = Command::new("nsenter").args([&space, "--", "nft", &line]).output().unwrap();
    assert!(output.status.success() || !opens, "{}", told(&output));
}

/// Programs on the server that answer: TCP accepts, UDP sends back what it gets.
pub(crate) struct Programs {
    ended: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Programs {
    pub(crate) fn on(host: &Host, udp: &[u16], tcp: &[u16]) -> Programs {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let mut programs = Programs { ended: Arc::default(), workers: Vec::new(), heard };
        for &port in udp {
            let socket = host.run(|| UdpSocket::bind(any(port))).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let (ended, heard) = (Arc::clone(&programs.ended), Arc::clone(&programs.heard));
            programs.workers.push(std::thread::spawn(move || answer(&socket, &ended, &heard)));
        }
        for &port in tcp {
            let listener = host.run(|| TcpListener::bind(any(port))).unwrap().unwrap();
            listener.set_nonblocking(true).unwrap();
            let ended = Arc::clone(&programs.ended);
            programs.workers.push(std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    if let Err(error) = listener.accept() {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            }));
        }
        programs
    }

    /// What came by UDP.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn answer(socket: &UdpSocket, ended: &AtomicBool, heard: &Mutex<Vec<String>>) {
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            heard.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            let _ = socket.send_to(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", peer);
        }
    }
}

/// An IPv6 socket without an address takes IPv4 as well.
fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}
