//! The netlink socket: requests, dumps, errors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Weak;
use std::time::Duration;

use crate::constants::{
    self as c, F_ACK_TLVS, F_CAPPED, F_DUMP, F_DUMP_INTR, F_REQUEST, FAMILY_UNSPEC, NLMSG_DONE,
    NLMSG_ERROR, nft,
};
use crate::monitor::Ear;
use crate::socket::{Received, Socket};
use crate::text::Loads;
use crate::wire::{Attributes, Buffer, Message};

/// The kernel answers at once; a dump of a very large set takes some seconds between parts.
const TIMEOUT: Duration = Duration::from_secs(20);
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// How often a listing is begun anew because the ruleset changed meanwhile.
const ATTEMPTS: usize = 12;

/// A netlink socket to the kernel's firewall and connection tracking.
///
/// Acts on the network namespace of the thread that opened it. Needs `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct Netlink {
    pub(crate) socket: Socket,
    sequence: u32,
    /// The monitors that pause while this socket commits a large transaction.
    pub(crate) listeners: Vec<Weak<Ear>>,
    /// How many transactions it has committed.
    pub(crate) commits: u32,
    /// The texts that [`Netlink::load`] has loaded.
    pub(crate) loads: Loads,
}

/// Why the kernel's firewall could not be read or changed. A change that failed changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No netlink socket.
    #[error("cannot open a netlink socket to the kernel's firewall; are you root?")]
    Open(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("cannot communicate with the kernel's firewall while {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel refused; nothing was changed.
    #[error("the kernel refused to {what}{}: {errno}", said(message.as_ref()))]
    Refused {
        /// What was asked for, with the set's name and, where known, the element.
        what: String,
        /// The kernel's error number.
        errno: io::Error,
        /// The kernel's own words, where it has some.
        message: Option<String>,
    },
    /// The ruleset changed again and again while it was read.
    #[error(
        "the ruleset kept changing while {doing}; is another program changing it continuously?"
    )]
    Restless {
        /// What was being done.
        doing: &'static str,
    },
    /// The kernel did not answer, or the answer was lost. Whether a change was made is not
    /// known: open a new socket and read back what matters.
    #[error(
        "no reply from the kernel while {doing}; if this was a change, it may or may not have been made"
    )]
    NoAnswer {
        /// What was being done.
        doing: &'static str,
    },
    /// The transaction is larger than the kernel lets this process send at once.
    #[error(
        "the change of {bytes} bytes is too large for one netlink message: run as root, or raise net.core.wmem_max"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An element that does not belong into the set.
    #[error("the element {element} has the wrong type for the set \"{set}\"")]
    WrongElement {
        /// The set's name.
        set: String,
        /// The element.
        element: String,
    },
}

impl NetlinkError {
    /// Whether the kernel said that the table, chain, set or element does not exist (`ENOENT`).
    pub fn is_missing(&self) -> bool {
        self.errno() == Some(libc::ENOENT)
    }

    /// Whether the element exists already, with another verdict, or overlaps one of the set
    /// (`EEXIST`, `ENOTEMPTY`).
    pub fn is_conflict(&self) -> bool {
        matches!(self.errno(), Some(libc::EEXIST | libc::ENOTEMPTY))
    }

    fn errno(&self) -> Option<i32> {
        match self {
            NetlinkError::Refused { errno, .. } => errno.raw_os_error(),
            _ => None,
        }
    }
}

/// The kernel's own words in brackets.
fn said(message: Option<&String>) -> String {
    message.map_or_else(String::new, |message| format!(" ({message})"))
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open() -> Result<Netlink, NetlinkError> {
        let socket = Socket::open(RECEIVE_BUFFER, TIMEOUT).map_err(NetlinkError::Open)?;
        Ok(Netlink {
            socket,
            sequence: 1,
            listeners: Vec::new(),
            commits: 0,
            loads: Loads::default(),
        })
    }

    /// The netlink port of this socket: a [`Change`](crate::Change) with this port was made here.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// The number of the ruleset's present generation; every change by anybody counts it up.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] without `CAP_NET_ADMIN`, [`NetlinkError::NoAnswer`].
    pub fn generation(&mut self) -> Result<u32, NetlinkError> {
        let doing = "asking for the generation";
        self.get(
            nft::GETGEN,
            doing,
            |_| {},
            |message| message.attributes().find(c::generation::ID)?.u32(),
        )?
        .ok_or(NetlinkError::NoAnswer { doing })
    }

    /// How many times the generation was counted up by this socket and by [`Netlink::load`]: where the generation has grown by more between two
    /// looks, another program was at it. What may have changed
    /// nothing is not counted, as the kernel then does not count either: so another's change is
    /// invented rather than one missed.
    pub fn own_changes(&self) -> u32 {
        self.commits.wrapping_add(self.loads.count)
    }

    /// Whether a change was made by this socket or, lately, by [`Netlink::load`], which runs a program.
    pub fn has_made(&self, change: &crate::Change) -> bool {
        change.port == Some(self.port()) || self.loads.have_made(change)
    }

    /// Takes `count` sequence numbers and gives the first.
    pub(crate) fn take_sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = first.wrapping_add(count).max(1);
        first
    }

    /// Asks for one thing. `read` sees the answer.
    pub(crate) fn get<T>(
        &mut self,
        kind: u16,
        doing: &'static str,
        write: impl FnOnce(&mut Buffer),
        read: impl FnOnce(Message<'_>) -> T,
    ) -> Result<T, NetlinkError> {
        let sequence = self.ask(kind, 0, c::FAMILY_INET, doing, write)?;
        loop {
            let datagram = match self.socket.receive() {
                Ok(Received::Datagram(datagram)) => datagram,
                Ok(Received::Lost | Received::Nothing) => {
                    return Err(NetlinkError::NoAnswer { doing });
                }
                Err(source) => return Err(NetlinkError::Io { doing, source }),
            };
            let mut messages = crate::wire::Messages(datagram);
            let Some(message) = messages.find(|message| message.sequence == sequence) else {
                continue;
            };
            if message.kind == NLMSG_ERROR {
                return Err(refusal(&message)
                    .map_or(NetlinkError::NoAnswer { doing }, |refusal| {
                        refusal.into_error(doing)
                    }));
            }
            return Ok(read(message));
        }
    }

    /// Lists things: `on_message` sees every message of the answer.
    ///
    /// `Ok(false)` where the ruleset changed meanwhile, so that what was seen may not fit
    /// together. The answer is always read to its end.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        family: u8,
        doing: &'static str,
        write: impl FnOnce(&mut Buffer),
        mut on_message: impl FnMut(&Message<'_>),
    ) -> Result<bool, NetlinkError> {
        let sequence = self.ask(kind, F_DUMP, family, doing, write)?;
        let mut consistent = true;
        loop {
            let datagram = match self.socket.receive() {
                Ok(Received::Datagram(datagram)) => datagram,
                Ok(Received::Lost) => {
                    consistent = false;
                    continue;
                }
                Ok(Received::Nothing) => return Err(NetlinkError::NoAnswer { doing }),
                Err(source) => return Err(NetlinkError::Io { doing, source }),
            };
            for message in crate::wire::Messages(datagram) {
                if message.sequence != sequence {
                    continue;
                }
                consistent &= message.flags & F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match refusal(&message) {
                            Some(refusal) => Err(refusal.into_error(doing)),
                            None => Ok(consistent),
                        };
                    }
                    _ => on_message(&message),
                }
            }
        }
    }

    /// Tries a listing until it was not disturbed. `attempt` gives `None` where it was.
    pub(crate) fn undisturbed<T>(
        &mut self,
        doing: &'static str,
        mut attempt: impl FnMut(&mut Netlink) -> Result<Option<T>, NetlinkError>,
    ) -> Result<T, NetlinkError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = attempt(self)? {
                return Ok(done);
            }
        }
        Err(NetlinkError::Restless { doing })
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        doing: &'static str,
        write: impl FnOnce(&mut Buffer),
    ) -> Result<u32, NetlinkError> {
        let sequence = self.take_sequence(1);
        let mut buffer = Buffer::new();
        let message =
            buffer.open_message(kind, F_REQUEST | flags, sequence, family, FAMILY_UNSPEC.into());
        write(&mut buffer);
        buffer.close_message(message);
        self.socket.send(buffer.bytes()).map_err(|source| NetlinkError::Io { doing, source })?;
        Ok(sequence)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel says about a request that it refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    pub(crate) message: Option<String>,
    /// Where in the request the offending attribute begins.
    pub(crate) offset: Option<usize>,
}

impl Refusal {
    pub(crate) fn into_error(self, what: impl Into<String>) -> NetlinkError {
        NetlinkError::Refused {
            what: what.into(),
            errno: io::Error::from_raw_os_error(self.errno),
            message: self.message,
        }
    }
}

/// Reads an answer of type error or done; `None` where it means success.
pub(crate) fn refusal(message: &Message<'_>) -> Option<Refusal> {
    let code = message.body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 {
        return None;
    }
    // Behind the code: the header of the request, its rest unless capped, then attributes.
    let mut rest = 4 + 16;
    if message.kind == NLMSG_ERROR && message.flags & F_CAPPED == 0 {
        let length = message.body.get(4..).and_then(<[u8]>::first_chunk);
        let length = length.map_or(16, |bytes| u32::from_ne_bytes(*bytes));
        rest = usize::try_from(length).unwrap_or(16).max(16).saturating_add(4 + 3) & !3;
    }
    let attributes = if message.kind == NLMSG_ERROR && message.flags & F_ACK_TLVS != 0 {
        Attributes(message.body.get(rest..).unwrap_or_default())
    } else {
        Attributes::default()
    };
    let offset = attributes
        .find(c::NLMSGERR_ATTR_OFFS)
        .and_then(|a| a.payload.first_chunk())
        .and_then(|bytes| usize::try_from(u32::from_ne_bytes(*bytes)).ok());
    Some(Refusal {
        errno: code.checked_neg().unwrap_or(libc::EIO),
        message: attributes.find(c::NLMSGERR_ATTR_MSG).map(|a| a.text()),
        offset,
    })
}
