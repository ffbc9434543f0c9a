//! Changes of the ruleset as they happen, and who made them.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::constants::{NFNLGRP_NFTABLES, SUBSYS_NFTABLES, TABLE, generation, nft};
use crate::inventory::TableFamily;
use crate::netlink::NetlinkError;
use crate::socket::{Received, Socket};
use crate::wire::{Message, Messages};

/// Loading a list of hundreds of thousands of elements tells of every single one.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
/// Beyond that many tables in one change, `lost` is said instead.
const TABLES: usize = 64;

/// Hears of every change of the ruleset in the network namespace where it was opened.
///
/// Tells of changes by programs only: elements that packets add or that run out are no change.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    tables: BTreeSet<(TableFamily, String)>,
    lost: bool,
}

/// One generation of the ruleset: what one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The generation that came of it; `None` where that was lost.
    pub generation: Option<u32>,
    /// The process (exactly: the thread) that made it, as numbered outside all containers;
    /// `None` where unknown. To tell one's own changes, compare `port`.
    pub process_id: Option<u32>,
    /// The first 15 bytes of that program's name; empty where unknown.
    pub program: String,
    /// The netlink port by which it was made: compare with [`Netlink::port`](crate::Netlink::port).
    pub port: Option<u32>,
    /// The tables in which anything changed. Incomplete where `lost`.
    pub tables: BTreeSet<(TableFamily, String)>,
    /// Whether anything was lost on the way: verify everything.
    pub lost: bool,
}

impl Change {
    /// Whether the table `inet NAME` may have been changed.
    pub fn touches(&self, name: &str) -> bool {
        self.lost
            || self
                .tables
                .iter()
                .any(|(family, table)| *family == TableFamily::Inet && table == name)
    }
}

impl Monitor {
    /// Subscribes. What happens from now on is told by [`next`](Monitor::next).
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open() -> Result<Monitor, NetlinkError> {
        // Nothing is ever awaited in `receive`, so that the time-out does not matter.
        let open = || -> io::Result<Socket> {
            let socket = Socket::open(RECEIVE_BUFFER, Duration::from_secs(1))?;
            socket.subscribe(NFNLGRP_NFTABLES)?;
            Ok(socket)
        };
        Ok(Monitor {
            socket: open().map_err(NetlinkError::Open)?,
            tables: BTreeSet::new(),
            lost: false,
        })
    }

    /// The next change; `None` where there was none for the time given. The time runs anew
    /// with every part of a large change.
    ///
    /// # Errors
    /// [`NetlinkError::Io`]; an overrun is no error but a change with `lost`.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Change>, NetlinkError> {
        let failed = |source| NetlinkError::Io { doing: "listening for changes", source };
        loop {
            let received = self.socket.receive_now().map_err(failed)?;
            let generation = match received {
                Received::Datagram(datagram) => gather(datagram, &mut self.tables, &mut self.lost),
                Received::Lost => {
                    self.lost = true;
                    return Ok(Some(self.finish(None)));
                }
                Received::Nothing => {
                    if self.socket.wait(timeout).map_err(failed)? {
                        continue;
                    }
                    return Ok(None);
                }
            };
            if let Some(generation) = generation {
                return Ok(Some(self.finish(Some(generation))));
            }
        }
    }

    fn finish(&mut self, generation: Option<Generation>) -> Change {
        let generation = generation.unwrap_or_default();
        Change {
            generation: generation.number,
            process_id: generation.process_id,
            program: generation.program,
            port: generation.port,
            tables: mem::take(&mut self.tables),
            lost: mem::take(&mut self.lost),
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[derive(Default)]
struct Generation {
    number: Option<u32>,
    process_id: Option<u32>,
    program: String,
    port: Option<u32>,
}

/// Notes which tables a datagram is about. The message that ends a generation comes last, in a
/// datagram of its own.
fn gather(
    datagram: &[u8],
    tables: &mut BTreeSet<(TableFamily, String)>,
    lost: &mut bool,
) -> Option<Generation> {
    let mut end = None;
    let mut previous: Option<(u8, &[u8])> = None;
    for message in Messages(datagram).filter(|m| m.kind >> 8 == SUBSYS_NFTABLES) {
        if message.kind == nft::NEWGEN {
            end = Some(read_generation(&message));
            continue;
        }
        let Some(table) = message.attributes().find(TABLE) else {
            continue;
        };
        let table = (message.family(), table.text_bytes());
        if previous == Some(table) {
            continue;
        }
        previous = Some(table);
        if tables.len() < TABLES {
            let name = String::from_utf8_lossy(table.1).into_owned();
            tables.insert((TableFamily::from_number(table.0), name));
        } else {
            *lost = true;
        }
    }
    end
}

fn read_generation(message: &Message<'_>) -> Generation {
    let attributes = message.attributes();
    Generation {
        number: attributes.find(generation::ID).and_then(|a| a.u32()),
        process_id: attributes.find(generation::PROCESS_ID).and_then(|a| a.u32()),
        program: attributes.find(generation::PROCESS_NAME).map(|a| a.text()).unwrap_or_default(),
        port: Some(message.port),
    }
}
