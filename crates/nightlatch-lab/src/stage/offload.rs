//! Turns off the checksum offload of the stage's interfaces.
//!
//! Between two ends of a veth pair the kernel leaves the checksums of TCP and UDP undone, because
//! no wire can spoil them. On a stage every packet has to look as it would on a wire, so the
//! offload goes, by the kernel's ethtool messages over netlink (`linux/ethtool_netlink.h`): the
//! `ethtool` program need not be there.

use std::io::{self, Read as _};

use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const NETLINK_GENERIC: i32 = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
/// The family that knows the numbers of the other families, and its request for one.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const NESTED: u16 = 0x8000;

/// Makes every interface but `lo`, in the namespace of the calling thread, fill in checksums.
pub(super) fn complete_checksums() -> io::Result<()> {
    let interfaces = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = interfaces.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    let socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_GENERIC)))?;
    let name = attribute(CTRL_ATTR_FAMILY_NAME, b"ethtool\0");
    let reply = ask(&socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name)?;
    let Some(family) = family_of(&reply) else {
        return Err(io::Error::other("the kernel has no ethtool messages"));
    };
    for name in names.filter(|&name| name != "lo") {
        let name = attribute(ETHTOOL_A_HEADER_DEV_NAME, &[name.as_bytes(), b"\0"].concat());
        let header = attribute(ETHTOOL_A_FEATURES_HEADER | NESTED, &name);
        // A bit that is named without a value is switched off.
        let bit = attribute(ETHTOOL_A_BITSET_BIT_NAME, b"tx-checksum-ip-generic\0");
        let bit = attribute(ETHTOOL_A_BITSET_BITS_BIT | NESTED, &bit);
        let bits = attribute(ETHTOOL_A_BITSET_BITS | NESTED, &bit);
        let wanted = attribute(ETHTOOL_A_FEATURES_WANTED | NESTED, &bits);
        ask(&socket, family, ETHTOOL_MSG_FEATURES_SET, &[header, wanted].concat())?;
    }
    Ok(())
}

/// Sends one request and reads up to its acknowledgement; returns the attributes of the reply.
fn ask(socket: &Socket, family: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(20 + attributes.len()).map_err(io::Error::other)?;
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    socket.send(&message)?;
    let mut attributes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let length = (&mut &*socket).read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some(length) = number(rest, 0) {
            let length = usize::try_from(length).map_err(io::Error::other)?.max(16);
            let this = rest.get(..length).unwrap_or(rest);
            let kind = this.get(4..6).and_then(|kind| kind.try_into().ok());
            if kind.map(u16::from_ne_bytes) == Some(NLMSG_ERROR) {
                let error = number(this, 16).unwrap_or(0).cast_signed();
                return match error {
                    0 => Ok(attributes),
                    error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
                };
            }
            attributes = this.get(20..).unwrap_or_default().to_vec();
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn family_of(mut attributes: &[u8]) -> Option<u16> {
    loop {
        let header: [u8; 4] = attributes.get(..4)?.try_into().ok()?;
        let [a, b, c, d] = header;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        if u16::from_ne_bytes([c, d]) == CTRL_ATTR_FAMILY_ID {
            return Some(u16::from_ne_bytes(attributes.get(4..6)?.try_into().ok()?));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

/// A netlink attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(place..place + 4)?.try_into().ok()?))
}
