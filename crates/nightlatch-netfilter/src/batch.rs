//! A batch: messages that the kernel carries out all or none.

use crate::constants::{
    BATCH_BEGIN, BATCH_END, F_ACK, F_REQUEST, FAMILY_INET, FAMILY_UNSPEC, NLMSG_ERROR,
    SUBSYS_NFTABLES,
};
use crate::netlink::{Netlink, NetlinkError, Refusal, refusal};
use crate::socket::Received;
use crate::wire::{Buffer, Message, Messages, Open};

const DOING: &str = "changing the ruleset";

/// A batch being written.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) buffer: Buffer,
    first_sequence: u32,
    last: Option<(Open, u32)>,
}

/// Why a batch was not carried out.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// The kernel refused the message of that number.
    Refused { sequence: u32, refusal: Refusal, buffer: Buffer },
    /// Anything else.
    Other(NetlinkError),
}

impl Batch {
    pub(crate) fn begin(netlink: &mut Netlink) -> Batch {
        let first_sequence = netlink.take_sequence(1);
        let mut buffer = Buffer::new();
        frame(&mut buffer, BATCH_BEGIN, first_sequence);
        Batch { buffer, first_sequence, last: None }
    }

    /// Opens a message about the family `inet`.
    pub(crate) fn open(&mut self, netlink: &mut Netlink, kind: u16, flags: u16) -> Open {
        let sequence = netlink.take_sequence(1);
        let open = self.buffer.open_message(kind, F_REQUEST | flags, sequence, FAMILY_INET, 0);
        self.last = Some((open, sequence));
        open
    }

    /// The number of the message opened last.
    pub(crate) fn last_sequence(&self) -> u32 {
        self.last.map_or(self.first_sequence, |(_, sequence)| sequence)
    }

    /// Sends everything as one datagram and reads what the kernel says. A batch without
    /// messages is done at once.
    pub(crate) fn commit(mut self, netlink: &mut Netlink) -> Result<(), BatchError> {
        let Some((last, last_sequence)) = self.last else {
            return Ok(());
        };
        // Kernels before 6.10 do not confirm the begin and end of a batch: ask at the last
        // message. Refusals come unasked, and before that answer.
        self.buffer.add_flags(last, F_ACK);
        let end = netlink.take_sequence(1);
        frame(&mut self.buffer, BATCH_END, end);
        self.send(netlink)?;

        let mut confirmed = false;
        let mut first_refusal = None;
        // The kernel has worked on the whole batch before `send` returned: all there will ever
        // be said about it has been said.
        loop {
            let datagram = match netlink.socket.receive_now() {
                Ok(Received::Datagram(datagram)) => datagram,
                Ok(Received::Lost) => continue,
                Ok(Received::Nothing) => break,
                Err(source) => {
                    return Err(BatchError::Other(NetlinkError::Io { doing: DOING, source }));
                }
            };
            for message in Messages(datagram).filter(|message| message.kind == NLMSG_ERROR) {
                // Numbers of this batch only; they may wrap around.
                let place = message.sequence.wrapping_sub(self.first_sequence);
                if place > end.wrapping_sub(self.first_sequence) {
                    continue;
                }
                match refusal(&message) {
                    Some(refusal) if first_refusal.is_none() => {
                        first_refusal = Some((message.sequence, refusal));
                    }
                    Some(_) => {}
                    None => confirmed |= message.sequence == last_sequence,
                }
            }
        }
        match first_refusal {
            Some((sequence, refusal)) => {
                Err(BatchError::Refused { sequence, refusal, buffer: self.buffer })
            }
            None if confirmed => Ok(()),
            None => Err(BatchError::Other(NetlinkError::NoAnswer { doing: DOING })),
        }
    }

    fn send(&self, netlink: &mut Netlink) -> Result<(), BatchError> {
        let bytes = self.buffer.len();
        netlink
            .socket
            .reserve_send(bytes)
            .and_then(|()| netlink.socket.send(self.buffer.bytes()))
            .map_err(|source| {
                BatchError::Other(if source.raw_os_error() == Some(libc::EMSGSIZE) {
                    NetlinkError::TooLarge { bytes }
                } else {
                    NetlinkError::Io { doing: DOING, source }
                })
            })
    }
}

impl Buffer {
    /// The message of that number.
    pub(crate) fn message(&self, sequence: u32) -> Option<Message<'_>> {
        Messages(self.bytes()).find(|message| message.sequence == sequence)
    }
}

fn frame(buffer: &mut Buffer, kind: u16, sequence: u32) {
    let open = buffer.open_message(kind, F_REQUEST, sequence, FAMILY_UNSPEC, SUBSYS_NFTABLES);
    buffer.close_message(open);
}
