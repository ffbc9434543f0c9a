//! The frames: 74 bytes each, Ethernet, IPv4, and UDP or a TCP SYN.

use std::str::FromStr;

/// The length of a frame, that of an ordinary TCP SYN.
pub(crate) const LENGTH: usize = 74;
/// The server's address.
const SERVER: [u8; 4] = [192, 0, 2, 1];
/// Where the service listens.
pub(crate) const SERVICE: u16 = 5060;
/// Where nothing listens, in no mode. No knock has it either: those are from 1024 on.
const CLOSED: u16 = 9;

/// The media port of all calls.
pub(crate) const MEDIA: u16 = 10_000;
/// The request that the host sends to its trunks.
pub(crate) const REGISTERS: &[u8] = b"REGISTER sip:192.0.2.2 SIP/2.0\r\n";

/// What is sent, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// UDP from an address that is not allowed: a REGISTER.
    Stranger,
    /// UDP of an allowed address, each packet the first of a flow.
    Allowed,
    /// TCP SYN of an address that is not allowed.
    StrangerSyn,
    /// The same to a port of no service, as scanners send it.
    ScannerSyn,
    /// TCP SYN of an allowed address.
    AllowedSyn,
    /// UDP within 1,000 running flows of allowed addresses.
    Running,
    /// An INVITE from each of 1,000 peers at which this host registered, without accounts.
    Trunk,
    /// Media of 1,000 calls, to which this host sends too.
    RtpIn,
    /// The same in the other direction.
    RtpOut,
    /// This host's responses within 1,000 running flows of allowed addresses.
    ResponseOut,
    /// UDP of a stranger who is on a list.
    Listed,
    /// UDP of a stranger who is on no list, to a closed port.
    Unlisted,
}

/// Every kind by the name that the command line takes, and in words.
const KINDS: [(Kind, &str, &str); 12] = [
    (Kind::Stranger, "stranger", "a stranger's UDP packet"),
    (Kind::Allowed, "allowed", "an allowed address's first UDP packet"),
    (Kind::StrangerSyn, "stranger-syn", "a stranger's TCP SYN"),
    (Kind::ScannerSyn, "scanner-syn", "a stranger's TCP SYN to a port of no service"),
    (Kind::AllowedSyn, "allowed-syn", "an allowed address's TCP SYN"),
    (Kind::Running, "running", "a UDP packet of a running flow"),
    (Kind::Trunk, "trunk", "an INVITE of a trunk without account"),
    (Kind::RtpIn, "rtp-in", "an RTP packet inwards"),
    (Kind::RtpOut, "rtp-out", "an RTP packet outwards"),
    (Kind::ResponseOut, "response-out", "a response outwards"),
    (Kind::Listed, "listed", "a UDP packet of a stranger on a list"),
    (Kind::Unlisted, "unlisted", "a UDP packet of a stranger on no list, to a closed port"),
];

impl Kind {
    /// What a firewall should do with it.
    pub(crate) fn passes(self) -> bool {
        !matches!(
            self,
            Kind::Stranger | Kind::StrangerSyn | Kind::ScannerSyn | Kind::Listed | Kind::Unlisted
        )
    }

    /// Whether it is TCP.
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Kind::StrangerSyn | Kind::ScannerSyn | Kind::AllowedSyn)
    }

    /// Whether this host sends it.
    pub(crate) fn is_outwards(self) -> bool {
        matches!(self, Kind::RtpOut | Kind::ResponseOut)
    }

    /// In words.
    pub(crate) fn title(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).unwrap().2
    }

    /// This host's port.
    pub(crate) fn port(self) -> u16 {
        match self {
            Kind::Unlisted | Kind::ScannerSyn => CLOSED,
            Kind::RtpIn | Kind::RtpOut => MEDIA,
            _ => SERVICE,
        }
    }

    /// The payload of a datagram.
    pub(crate) fn payload(self) -> &'static [u8] {
        match self {
            Kind::Trunk => b"INVITE sip:1@192.0.2.1 SIP/2.0\r\n",
            Kind::RtpIn | Kind::RtpOut => &[0x80; 32],
            Kind::ResponseOut => b"SIP/2.0 200 OK\r\nTo: <sip:1@192.0",
            _ => b"REGISTER sip:192.0.2.1 SIP/2.0\r\n",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let found = KINDS.iter().find(|(_, name, _)| *name == text);
        found.map(|(kind, ..)| *kind).ok_or_else(|| format!("unknown kind of packet: {text}"))
    }
}

/// A frame from an address and port.
pub(crate) fn frame(kind: Kind, source: u32, port: u16) -> [u8; LENGTH] {
    let mut frame = [0; LENGTH];
    // The server's interface, then the sender's, both as the script sets them; IPv4.
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    let protocol = if kind.is_tcp() { 6 } else { 17 };
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, protocol]);
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[30..34].copy_from_slice(&SERVER);
    let sum = checksum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..38].copy_from_slice(&kind.port().to_be_bytes());
    if kind.is_tcp() {
        // Sequence 1; 40 bytes of header; SYN; window; then a maximum segment size of 1460 and
        // padding.
        frame[41] = 1;
        frame[46..50].copy_from_slice(&[0xa0, 2, 0xff, 0xff]);
        frame[54..58].copy_from_slice(&[2, 4, 5, 0xb4]);
        frame[58..].fill(1);
        // The sum of TCP takes in both addresses, the protocol and the length.
        let addresses = partial(u32::from(protocol) + 40, &frame[26..34]);
        let sum = checksum(addresses, &frame[34..]);
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
    } else {
        // Without a checksum, which UDP over IPv4 allows.
        frame[39] = 40;
        frame[42..].copy_from_slice(&kind.payload()[..LENGTH - 42]);
    }
    frame
}

/// The internet checksum (RFC 1071).
fn checksum(begin: u32, bytes: &[u8]) -> u16 {
    let mut sum = partial(begin, bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn partial(begin: u32, bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    begin + words.sum::<u32>()
}
