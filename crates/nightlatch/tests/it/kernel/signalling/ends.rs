//! Both ends of signalling: sockets at one port in both families, and what they receive.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nightlatch_lab::stage::Host;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::super::ground::{TIMEOUT, both, patiently, run};
use crate::support::{now, wait_until};

/// Methods that a known peer may send.
pub(super) const REQUESTS: [&str; 13] = [
    "INVITE sip:a@b SIP/2.0",
    "ACK sip:a@b SIP/2.0",
    "BYE sip:a@b SIP/2.0",
    "CANCEL sip:a@b SIP/2.0",
    "OPTIONS sip:a@b SIP/2.0",
    "INFO sip:a@b SIP/2.0",
    "PRACK sip:a@b SIP/2.0",
    "UPDATE sip:a@b SIP/2.0",
    "NOTIFY sip:a@b SIP/2.0",
    "REFER sip:a@b SIP/2.0",
    "MESSAGE sip:a@b SIP/2.0",
    "SUBSCRIBE sip:a@b SIP/2.0",
    "PUBLISH sip:a@b SIP/2.0",
];
pub(super) const REGISTER: &str = "REGISTER sip:b SIP/2.0";
pub(super) const INVITE: &str = REQUESTS[0];
pub(super) const BYE: &str = REQUESTS[2];
pub(super) const OPTIONS: &str = REQUESTS[4];
pub(super) const RESPONSE: &str = "SIP/2.0 200 OK";
/// What a known peer may send.
pub(super) fn permitted() -> impl Iterator<Item = &'static str> {
    REQUESTS.into_iter().chain([RESPONSE])
}

/// What an account may send.
pub(super) fn everything() -> impl Iterator<Item = &'static str> {
    permitted().chain([REGISTER])
}

/// Registrations, in any spelling that some parser may accept, and invalid SIP.
pub(super) const NEVER: [&str; 8] = [
    REGISTER,
    "register sip:b SIP/2.0",
    "Register sip:b SIP/2.0",
    "\r\nREGISTER sip:b SIP/2.0",
    "\r\n\r\nREGISTER sip:b SIP/2.0",
    " REGISTER sip:b SIP/2.0",
    "\r\n\r\n\r\n\r\n",
    "hello",
];

/// A wait that nothing arrives begins after a later packet has arrived. This is for packets that are
/// reordered on the way.
const GRACE: Duration = Duration::from_millis(40);

/// One port of a host, in both families.
#[derive(Debug)]
pub(super) struct End {
    sockets: [UdpSocket; 2],
    /// The addresses at which others reach it, IPv4 first.
    at: [SocketAddr; 2],
}

impl End {
    pub(super) fn on(host: &Host, port: u16) -> End {
        End::bound_to(host, both(host), port)
    }

    /// The same at other addresses of the host.
    pub(super) fn bound_to(host: &Host, addresses: [IpAddr; 2], port: u16) -> End {
        End::opened_by(host, addresses.map(|own| SocketAddr::new(own, port)), UdpSocket::bind)
    }

    /// The same at addresses that no interface of the host has.
    pub(super) fn transparent(host: &Host, addresses: [IpAddr; 2], port: u16) -> End {
        host.set_kernel("ipv6/ip_nonlocal_bind", "1").unwrap();
        let open = |at: SocketAddr| {
            let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
            if at.is_ipv4() {
                socket.set_ip_transparent_v4(true)?;
            }
            socket.bind(&at.into())?;
            Ok(socket.into())
        };
        End::opened_by(host, addresses.map(|own| SocketAddr::new(own, port)), open)
    }

    fn opened_by(
        host: &Host,
        at: [SocketAddr; 2],
        open: impl Fn(SocketAddr) -> io::Result<UdpSocket> + Sync,
    ) -> End {
        let sockets = at.map(|at| patiently(host, || open(at)));
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        End { sockets, at }
    }

    /// Behind NAT: others reach it at these addresses.
    pub(super) fn reached_at(mut self, at: [SocketAddr; 2]) -> End {
        self.at = at;
        self
    }

    pub(super) fn at(&self) -> [SocketAddr; 2] {
        self.at
    }

    /// Sends a numbered message to another end in both families. A firewall may cause an error here.
    pub(super) fn tell(&self, to: &End, what: impl AsRef<[u8]>) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let text = [what.as_ref(), format!("\r\nX-Number: {number:08}").as_bytes()].concat();
        for (socket, at) in self.sockets.iter().zip(to.at) {
            let _ = socket.send_to(&text, at);
        }
        number
    }

    /// The numbers of the messages that have arrived since, each with the index of its family.
    pub(super) fn heard(&self) -> Vec<(usize, u64)> {
        let mut heard = Vec::new();
        let mut buffer = vec![0; 65_536];
        for (family, socket) in self.sockets.iter().enumerate() {
            // This may be the error of an earlier packet; more messages may follow.
            for _ in 0..10_000 {
                match socket.recv(&mut buffer) {
                    Ok(length) => heard.extend(number(&buffer[..length]).map(|it| (family, it))),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => {}
                }
            }
        }
        heard
    }

    /// Sends a message, which must arrive in both families.
    pub(super) fn reaches(&self, to: &End, what: impl AsRef<[u8]>) {
        let number = self.tell(to, &what);
        let mut missing = vec![0, 1];
        let shown = String::from_utf8_lossy(what.as_ref()).chars().take(40).collect::<String>();
        wait_until(&format!("{shown:?} from {:?} to {:?}", self.at, to.at), TIMEOUT, || {
            let heard = to.heard();
            missing.retain(|family| !heard.contains(&(*family, number)));
            missing.is_empty()
        });
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(text.len().checked_sub(8)?..)?).ok()?.parse().ok()
}

/// The PBX of the server, and a witness that is always allowed by its account: a packet that was sent
/// before the witness's and has not arrived when that one has, was dropped.
#[derive(Debug)]
pub(super) struct Pbx {
    pub(super) end: End,
    witness: End,
}

impl Pbx {
    /// At the port of SIP.
    pub(super) fn on(server: &Host, witness: &Host) -> Pbx {
        Pbx::at(server, witness, 5060)
    }

    pub(super) fn at(server: &Host, witness: &Host, port: u16) -> Pbx {
        Pbx::of(End::on(server, port), End::on(witness, port))
    }

    pub(super) fn of(end: End, witness: End) -> Pbx {
        Pbx { end, witness }
    }

    /// The PBX sends a message, and the peer receives it.
    pub(super) fn sends(&self, to: &End, what: impl AsRef<[u8]>) {
        self.end.reaches(to, what);
    }

    /// Each of these arrives at the PBX.
    pub(super) fn hears<T: AsRef<[u8]>>(&self, from: &End, what: impl IntoIterator<Item = T>) {
        what.into_iter().for_each(|what| from.reaches(&self.end, what));
    }

    /// None of these arrives at the PBX.
    pub(super) fn ignores<T: AsRef<[u8]>>(&self, from: &End, what: impl IntoIterator<Item = T>) {
        let sent = |what: T| {
            let shown = String::from_utf8_lossy(what.as_ref()).into_owned();
            (from.tell(&self.end, &what), shown)
        };
        let sent: Vec<(u64, String)> = what.into_iter().map(sent).collect();
        let heard = self.heard_until_now();
        let came: Vec<_> = sent
            .iter()
            .flat_map(|(number, shown)| {
                let families = heard.iter().filter(move |(_, it)| it == number);
                families.map(move |(family, _)| (["IPv4", "IPv6"][*family], shown))
            })
            .collect();
        assert!(came.is_empty(), "came to {:?} from {:?}: {came:?}", self.end.at, from.at);
    }

    /// Everything that was sent to the PBX so far and passed.
    pub(super) fn heard_until_now(&self) -> Vec<(usize, u64)> {
        let mut heard = Vec::new();
        let mut sent: Option<(u64, Instant)> = None;
        wait_until("the witness is heard", TIMEOUT, || {
            // While the table is being restored, accounts are blocked, too.
            if sent.is_none_or(|(_, at)| at.elapsed() > Duration::from_millis(200)) {
                sent = Some((self.witness.tell(&self.end, OPTIONS), now()));
            }
            heard.extend(self.end.heard());
            let number = sent.map(|(number, _)| number);
            [0, 1].iter().all(|family| heard.contains(&(*family, number.unwrap_or_default())))
        });
        std::thread::sleep(GRACE);
        heard.extend(self.end.heard());
        heard
    }
}

/// Connection tracking on a host drops all flows, as it does after 30 to 120 seconds without a
/// packet.
pub(super) fn forget_flows(host: &Host) {
    run(host, "conntrack -F");
}

/// What `nft` shows of a part of our table, e.g. `chain prerouting`; empty if it does not exist.
pub(super) fn shown(host: &Host, part: &str) -> String {
    let (kind, name) = part.split_once(' ').unwrap();
    let listed = host.command("nft").args(["list", kind, "inet", "nightlatch", name]).output();
    String::from_utf8(listed.unwrap().stdout).unwrap()
}

/// Waits until our table is restored.
pub(super) fn is_restored(host: &Host) {
    wait_until("the table is restored", TIMEOUT, || {
        shown(host, "chain prerouting").contains("goto to_this_host")
    });
}

/// The elements of a set with timeouts, as `nft` prints them.
pub(super) fn listed(host: &Host, set: &str) -> Vec<Value> {
    let listed = run(host, &format!("nft -j list set inet nightlatch {set}"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let objects = listed["nftables"].as_array().unwrap().iter();
    let elements = objects.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    elements.map(|element| element["elem"].clone()).collect()
}

/// The elements of a set as `nft` shows them, without their times: `203.0.113.70 . 5060 . 5060`.
fn elements(host: &Host, set: &str) -> Vec<String> {
    let mut shown: Vec<String> = listed(host, set)
        .iter()
        .map(|element| {
            let value = &element["val"];
            let parts = value["concat"].as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            let text = |part: &Value| part.to_string().replace('"', "");
            parts.iter().map(text).collect::<Vec<_>>().join(" . ")
        })
        .collect();
    shown.sort_unstable();
    shown
}

/// The elements of a set of both families.
pub(super) fn learned(host: &Host, set: &str) -> Vec<String> {
    [4, 6].into_iter().flat_map(|family| elements(host, &format!("{set}{family}"))).collect()
}

/// What such a set contains after this host's port has sent to a peer.
pub(super) fn keys(peer: &End, own_port: u16) -> Vec<String> {
    peer.at.map(|at| format!("{} . {} . {own_port}", at.ip(), at.port())).into()
}
