//! Packets that rules copy to user space (NFLOG), whatever the firewall does with them.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::constants::{F_ACK, F_REQUEST, FAMILY_UNSPEC, NLMSG_ERROR, ulog};
use crate::netlink::{Netlink, NetlinkError, Refusal, refusal};
use crate::socket::{Received, Socket};
use crate::wire::{Buffer, Message, Messages};

/// The kernel needs about 1 kB for each small packet that waits, and doubles this number: room for a
/// second in which a flood comes and nothing is read.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
/// The most bytes of a packet that are copied: a datagram of the kernel has to fit into the buffer of
/// [`Socket`] with all its attributes.
const MAX_COPIED: u16 = 32 * 1024;
/// The kernel answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many datagrams are kept that arrive before the kernel's answer to the request for the group.
const MAX_EARLY: usize = 1024;
/// How many datagrams are read at most before the caller gets a turn.
const MAX_BATCH: usize = 256;
/// `NF_LOG_PREFIXLEN` of the kernel, without the zero.
const MAX_PREFIX: usize = 127;
/// What is read at most of the kernel's table of groups.
const MAX_TABLE: u64 = 1 << 20;

/// Reads the packets that rules of this network namespace send to one group (`log group N`), IPv4 and
/// IPv6, from interfaces of any type. Needs `CAP_NET_ADMIN`.
///
/// Only one socket can read a group. It is free again when this is dropped; after a crash, as soon as no
/// child process has a copy of the socket, so try again before giving up. Packets for a group that
/// nobody reads are gone. The kernel loads its module `nfnetlink_log` by itself, with the first such rule
/// or with this.
#[derive(Debug)]
pub struct Nflog {
    socket: Socket,
    group: u16,
    /// Datagrams that arrived before the kernel's answer.
    early: Vec<Vec<u8>>,
    /// The number of the next packet; the kernel numbers those of each group.
    next: u32,
}

/// A packet as a rule saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged<'a> {
    /// The rule's prefix, at most 127 bytes; empty if it has none, or one that is not UTF-8. Rules of
    /// other programs can send packets to the same group, with any prefix.
    pub prefix: &'a str,
    /// Where the rule is.
    pub hook: Hook,
    /// When the packet arrived, since 1970 (UTC); `None` where the kernel does not say, e.g. for what
    /// this host sends.
    pub arrived: Option<Duration>,
    /// The packet from its IP header on, as far as it was copied: bytes of strangers.
    pub bytes: &'a [u8],
}

/// The hook of a base chain (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Everything that arrives.
    Prerouting,
    /// What arrives for this host.
    Input,
    /// What is forwarded.
    Forward,
    /// What this host sends.
    Output,
    /// Everything that leaves.
    Postrouting,
    /// Another, by its number.
    Other(u8),
}

/// What came of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    /// How many packets were read.
    pub packets: usize,
    /// How many the kernel could not deliver before these, or among them, because they were not read fast
    /// enough. Losses after the last packet are counted with the next one.
    pub lost: u32,
}

/// Why a group cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NflogError {
    /// Another socket reads it: packets that are sent to this group would be missed.
    #[error(
        "another program{} already reads the NFLOG group {group}: stop it or configure another group for it; until then, packets sent to this group are missed", with_port(*.port)
    )]
    Taken {
        /// The group.
        group: u16,
        /// The netlink port of that socket, which usually is the number of its process.
        port: Option<u32>,
    },
    /// The kernel has no NFLOG.
    #[error(
        "this kernel cannot copy packets to a program: the module \"nfnetlink_log\" is missing; install the package with the kernel's modules, or another kernel"
    )]
    Unsupported,
    /// No socket, no permission or no answer.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

fn with_port(port: Option<u32>) -> String {
    port.map_or_else(String::new, |port| format!(" (netlink port {port})"))
}

impl Nflog {
    /// Begins to read a group. Of each packet, `copied` bytes are copied at most, up to 32 KiB; rules can
    /// limit that further (`snaplen`). Each packet is delivered at once.
    ///
    /// # Errors
    /// See [`NflogError`]; without `CAP_NET_ADMIN`, [`NetlinkError::Refused`].
    pub fn open(group: u16, copied: u16) -> Result<Nflog, NflogError> {
        let open = || -> io::Result<Socket> {
            let socket = Socket::open(RECEIVE_BUFFER, ANSWER_TIMEOUT)?;
            socket.drop_silently()?;
            Ok(socket)
        };
        let socket = open().map_err(NetlinkError::Open)?;
        let mut nflog = Nflog { socket, group, early: Vec::new(), next: 0 };
        let doing = "asking for the packets of an NFLOG group";
        let failed = |source| NetlinkError::Io { doing, source };
        nflog.socket.send(&request(group, copied.clamp(1, MAX_COPIED))).map_err(failed)?;
        nflog.answer(doing)?.map_err(|refusal| explain(group, refusal))?;
        Ok(nflog)
    }

    /// Waits until there are packets to read; `false` where none came in time.
    ///
    /// # Errors
    /// [`NetlinkError::Io`].
    pub fn wait(&self, timeout: Duration) -> Result<bool, NetlinkError> {
        if !self.early.is_empty() {
            return Ok(true);
        }
        let doing = "waiting for packets of an NFLOG group";
        self.socket.wait(timeout).map_err(|source| NetlinkError::Io { doing, source })
    }

    /// Shows packets that are there already to `on_packet`, in the order in which rules saw them; does
    /// not wait for any. Returns after some hundred packets even if there are more. Before the first
    /// waiting by means of the file descriptor, read once.
    ///
    /// # Errors
    /// [`NetlinkError::Io`]. That packets were lost is no error but counted.
    pub fn read(&mut self, mut on_packet: impl FnMut(Logged<'_>)) -> Result<Batch, NetlinkError> {
        let mut reading = Reading { batch: Batch::default(), next: self.next };
        for datagram in std::mem::take(&mut self.early) {
            reading.datagram(&datagram, &mut on_packet);
        }
        let mut failure = None;
        for _ in 0..MAX_BATCH {
            match self.socket.receive_now() {
                Ok(Received::Datagram(datagram)) => reading.datagram(datagram, &mut on_packet),
                // The gap in the numbers of the packets tells how many.
                Ok(Received::Lost) => {}
                Ok(Received::Nothing) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        self.next = reading.next;
        match failure {
            // With the next call it comes again.
            Some(source) if reading.batch == Batch::default() => {
                Err(NetlinkError::Io { doing: "reading packets of an NFLOG group", source })
            }
            _ => Ok(reading.batch),
        }
    }

    /// The kernel's answer to the request for the group; packets may come before it.
    fn answer(&mut self, doing: &'static str) -> Result<Result<(), Refusal>, NetlinkError> {
        loop {
            let datagram = match self.socket.receive() {
                Ok(Received::Datagram(datagram)) => datagram,
                Ok(Received::Lost) => continue,
                Ok(Received::Nothing) => return Err(NetlinkError::NoAnswer { doing }),
                Err(source) => return Err(NetlinkError::Io { doing, source }),
            };
            if let Some(answer) = answer_or_early(datagram, &mut self.early) {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Nflog {
    /// Gives the group back. To close the socket is not enough: a child process that another thread starts
    /// at this moment has a copy of it until it executes its program.
    fn drop(&mut self) {
        let mut buffer = Buffer::new();
        let message = buffer.open_message(ulog::CONFIG, F_REQUEST, 2, FAMILY_UNSPEC, self.group);
        buffer.attribute(ulog::CONFIG_COMMAND, &[ulog::COMMAND_UNBIND]);
        buffer.close_message(message);
        // If this fails, the end of the socket does it.
        let _ = self.socket.send(buffer.bytes());
    }
}

impl AsFd for Nflog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One message that takes the group and says what is wanted of its packets, so that there is no moment
/// with the kernel's defaults. That rules use this module and not another is settled by `log group`;
/// binding protocol families to it, as old programs do, is not needed and would concern other programs.
fn request(group: u16, copied: u16) -> Vec<u8> {
    let mut buffer = Buffer::new();
    let message = buffer.open_message(ulog::CONFIG, F_REQUEST | F_ACK, 1, FAMILY_UNSPEC, group);
    buffer.attribute(ulog::CONFIG_COMMAND, &[ulog::COMMAND_BIND]);
    let [c0, c1] = copied.to_be_bytes();
    buffer.attribute(ulog::CONFIG_MODE, &[0, 0, c0, c1, ulog::COPY_PACKET, 0]);
    // Each packet at once; the time (in 1/100 s) is how long it would wait for others.
    buffer.number(ulog::CONFIG_THRESHOLD, 1);
    buffer.number(ulog::CONFIG_TIMEOUT, 1);
    buffer.attribute(ulog::CONFIG_FLAGS, &ulog::FLAG_SEQUENCE.to_be_bytes());
    buffer.close_message(message);
    buffer.bytes().to_vec()
}

/// The kernel's answer, or `None` if this is something else, which is kept.
fn answer_or_early(datagram: &[u8], early: &mut Vec<Vec<u8>>) -> Option<Result<(), Refusal>> {
    if let Some(answer) = Messages(datagram).find(|message| message.kind == NLMSG_ERROR) {
        return Some(refusal(&answer).map_or(Ok(()), Err));
    }
    // What is not kept is counted as lost.
    if early.len() < MAX_EARLY {
        early.push(datagram.to_vec());
    }
    None
}

/// Why the kernel did not give the group.
fn explain(group: u16, refusal: Refusal) -> NflogError {
    // A group of another socket is refused with the same number as a process without privileges.
    let privileged = || Netlink::open().and_then(|mut netlink| netlink.generation()).is_ok();
    match refusal.errno {
        libc::EBUSY | libc::EEXIST => NflogError::Taken { group, port: reader(group) },
        libc::EPERM if privileged() => NflogError::Taken { group, port: reader(group) },
        // There is no such subsystem of nfnetlink.
        libc::EINVAL => NflogError::Unsupported,
        _ => refusal.into_error(format!("copy the packets of the NFLOG group {group}")).into(),
    }
}

/// The netlink port of the socket that reads a group in this thread's network namespace.
fn reader(group: u16) -> Option<u32> {
    let table = File::open("/proc/thread-self/net/netfilter/nfnetlink_log").ok()?;
    let lines = BufReader::new(table.take(MAX_TABLE)).lines();
    lines.map_while(Result::ok).find_map(|line| {
        let mut columns = line.split_whitespace();
        let found: u16 = columns.next()?.parse().ok()?;
        columns.next()?.parse().ok().filter(|_| found == group)
    })
}

/// Datagrams being read.
#[derive(Debug)]
struct Reading {
    batch: Batch,
    next: u32,
}

impl Reading {
    fn datagram(&mut self, datagram: &[u8], on_packet: &mut impl FnMut(Logged<'_>)) {
        for message in Messages(datagram).filter(|message| message.kind == ulog::PACKET) {
            let (number, logged) = read_packet(&message);
            if let Some(number) = number {
                // A number that was already there would be a gap of billions.
                let gap = number.wrapping_sub(self.next);
                if gap <= u32::MAX / 2 {
                    self.lose(gap);
                    self.next = number.wrapping_add(1);
                }
            }
            match logged {
                Some(logged) => {
                    self.batch.packets += 1;
                    on_packet(logged);
                }
                // The kernel had no room for the packet in its own message.
                None => self.lose(1),
            }
        }
    }

    fn lose(&mut self, packets: u32) {
        self.batch.lost = self.batch.lost.saturating_add(packets);
    }
}

/// A packet and its number in the group.
pub(crate) fn read_packet<'a>(message: &Message<'a>) -> (Option<u32>, Option<Logged<'a>>) {
    let (mut number, mut hook, mut bytes) = (None, None, None);
    let (mut prefix, mut arrived) = ("", None);
    for attribute in message.attributes() {
        match attribute.kind {
            ulog::SEQUENCE => number = attribute.u32(),
            // The EtherType, then the hook.
            ulog::PACKET_HEADER => hook = attribute.payload.get(2).map(|hook| Hook::of(*hook)),
            ulog::PAYLOAD => bytes = Some(attribute.payload),
            ulog::TIMESTAMP => arrived = time(attribute.payload),
            ulog::PREFIX => {
                let text = attribute.text_bytes();
                let text = text.get(..MAX_PREFIX).unwrap_or(text);
                prefix = std::str::from_utf8(text).unwrap_or_default();
            }
            _ => {}
        }
    }
    let logged = hook.zip(bytes).map(|(hook, bytes)| Logged { prefix, hook, arrived, bytes });
    (number, logged)
}

/// `struct nfulnl_msg_packet_timestamp`: seconds and microseconds since 1970.
fn time(payload: &[u8]) -> Option<Duration> {
    let (seconds, rest) = payload.split_first_chunk()?;
    let microseconds = u64::from_be_bytes(*rest.first_chunk()?);
    let seconds = Duration::from_secs(u64::from_be_bytes(*seconds));
    seconds.checked_add(Duration::from_micros(microseconds)).filter(|time| !time.is_zero())
}

impl Hook {
    fn of(number: u8) -> Hook {
        match number {
            0 => Hook::Prerouting,
            1 => Hook::Input,
            2 => Hook::Forward,
            3 => Hook::Output,
            4 => Hook::Postrouting,
            other => Hook::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet's message as the kernel writes it.
    fn message(number: u32, attributes: impl FnOnce(&mut Buffer)) -> Vec<u8> {
        let mut buffer = Buffer::new();
        let message = buffer.open_message(ulog::PACKET, 0, 0, 2, 5);
        buffer.number(ulog::SEQUENCE, number);
        attributes(&mut buffer);
        buffer.close_message(message);
        buffer.bytes().to_vec()
    }

    fn packet(number: u32) -> Vec<u8> {
        message(number, |buffer| {
            buffer.attribute(ulog::PACKET_HEADER, &[8, 0, 1, 0]);
            buffer.attribute(ulog::PAYLOAD, b"abc");
        })
    }

    /// What is read of datagrams.
    fn read(next: u32, datagrams: &[Vec<u8>]) -> (Vec<String>, Reading) {
        let mut reading = Reading { batch: Batch::default(), next };
        let mut found = Vec::new();
        for datagram in datagrams {
            reading.datagram(datagram, &mut |logged| found.push(format!("{logged:?}")));
        }
        (found, reading)
    }

    #[test]
    fn attributes_of_a_packet() {
        let whole = message(0, |buffer| {
            buffer.attribute(ulog::PACKET_HEADER, &[0x86, 0xdd, 0, 0]);
            buffer.text(ulog::PREFIX, "nightlatch knock");
            buffer.attribute(7, &[1, 2, 3, 4]);
            let stamp = [1_700_000_000_u64, 250_000].map(u64::to_be_bytes);
            buffer.attribute(ulog::TIMESTAMP, stamp.as_flattened());
            buffer.attribute(ulog::PAYLOAD, b"packet");
        });
        let mut reading = Reading { batch: Batch::default(), next: 0 };
        let mut seen = 0;
        reading.datagram(&whole, &mut |logged| {
            seen += 1;
            let expected = Logged {
                prefix: "nightlatch knock",
                hook: Hook::Prerouting,
                arrived: Some(Duration::from_millis(1_700_000_000_250)),
                bytes: b"packet",
            };
            assert_eq!(logged, expected);
        });
        assert_eq!((seen, reading.batch), (1, Batch { packets: 1, lost: 0 }));
    }

    #[test]
    fn a_long_or_odd_prefix_and_time_are_harmless() {
        for (prefix, length) in [(vec![b'x'; 500], 127), (vec![0xff; 5], 0), (Vec::new(), 0)] {
            let odd = message(0, |buffer| {
                buffer.attribute(ulog::PACKET_HEADER, &[8, 0, 1, 0]);
                buffer.attribute(ulog::PREFIX, &prefix);
                buffer.attribute(ulog::TIMESTAMP, &[0xff; 16]);
                buffer.attribute(ulog::PAYLOAD, b"");
            });
            let mut reading = Reading { batch: Batch::default(), next: 0 };
            reading.datagram(&odd, &mut |logged| {
                assert_eq!((logged.prefix.len(), logged.arrived), (length, None));
            });
            assert_eq!(reading.batch.packets, 1);
        }
    }

    #[test]
    fn gaps_in_the_numbers_are_losses() {
        for (next, numbers, packets, lost, then) in [
            (0, vec![0, 1, 2], 3, 0, 3),
            (0, vec![3], 1, 3, 4),
            (7, vec![7, 10, 11, 20], 4, 2 + 8, 21),
            (u32::MAX, vec![u32::MAX, 1], 2, 1, 2),
            // One that comes twice, or late, changes nothing.
            (5, vec![5, 5, 4, 6], 4, 0, 7),
        ] {
            let datagrams: Vec<Vec<u8>> = numbers.iter().map(|number| packet(*number)).collect();
            // One by one, and several in a datagram.
            for datagrams in [datagrams.clone(), vec![datagrams.concat()]] {
                let (found, reading) = read(next, &datagrams);
                assert_eq!(found.len(), packets);
                assert_eq!((reading.batch.packets, reading.batch.lost), (packets, lost));
                assert_eq!(reading.next, then, "{numbers:?}");
            }
        }
    }

    #[test]
    fn packets_before_the_answer_are_kept() {
        let answer = |code: i32| {
            let mut buffer = Buffer::new();
            let message = buffer.open_message(NLMSG_ERROR, 0, 1, 0, 0);
            buffer.close_message(message);
            let mut bytes = buffer.bytes().to_vec();
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        let mut early = Vec::new();
        let most = u32::try_from(MAX_EARLY).unwrap();
        for number in 0..most + 3 {
            assert!(answer_or_early(&packet(number), &mut early).is_none());
        }
        assert!(matches!(answer_or_early(&answer(0), &mut early), Some(Ok(()))));
        let refused = answer_or_early(&answer(-libc::EPERM), &mut early).unwrap().unwrap_err();
        assert_eq!(refused.errno, libc::EPERM);
        early.push(packet(most + 3));
        let (found, reading) = read(0, &early);
        assert_eq!((found.len(), reading.batch.lost), (MAX_EARLY + 1, 3));
    }

    #[test]
    fn a_message_without_a_packet_is_a_loss() {
        let empty = message(0, |buffer| buffer.attribute(ulog::PACKET_HEADER, &[8, 0, 1, 0]));
        let (found, reading) = read(0, &[empty, packet(1)]);
        assert_eq!((found.len(), reading.batch), (1, Batch { packets: 1, lost: 1 }));
    }
}
