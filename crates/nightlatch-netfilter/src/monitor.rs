//! Changes of the ruleset as they happen, and who made them.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::constants::{NFNLGRP_NFTABLES, SUBSYS_NFTABLES, TABLE, element, generation, nft};
use crate::inventory::TableFamily;
use crate::netlink::{Netlink, NetlinkError};
use crate::socket::{Membership, Received, Socket};
use crate::wire::{Message, Messages};

/// Every element that somebody adds is told of by itself. More room would slow down the kernel
/// for others: it waits for slow listeners.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Beyond that many tables or sets in one change, `lost` is said instead.
const PLACES: usize = 64;

/// Hears of every change of the ruleset in the network namespace where it was opened.
///
/// Tells of changes by programs only: elements that packets add or that run out are no change.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    ear: Arc<Ear>,
    touched: Touched,
}

/// What was changed so far.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    tables: BTreeSet<(TableFamily, String)>,
    elements_of: BTreeSet<(String, String)>,
    rules_of: BTreeSet<String>,
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
    /// The netlink port by which it was made: compare with [`Netlink::port`](Netlink::port).
    pub port: Option<u32>,
    /// The tables in which anything changed. Incomplete where `lost`.
    pub tables: BTreeSet<(TableFamily, String)>,
    /// Table and name of the sets whose elements were changed, of whatever family. Incomplete where
    /// `lost`.
    pub elements_of: BTreeSet<(String, String)>,
    /// The names of the tables in which anything else was changed.
    pub rules_of: BTreeSet<String>,
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

    /// Whether in the table `inet NAME` anything may have been changed but elements of other sets
    /// than these.
    pub fn touches_more(&self, name: &str, these: impl Fn(&str) -> bool) -> bool {
        let elements = || self.elements_of.iter().any(|(table, set)| table == name && these(set));
        self.lost || self.touches(name) && (self.rules_of.contains(name) || elements())
    }
}

impl Monitor {
    /// Subscribes. What happens from now on is told by [`next`](Monitor::next).
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open() -> Result<Monitor, NetlinkError> {
        // Nothing is ever awaited in `receive`, so that the time-out does not matter.
        let open = || -> io::Result<(Socket, Ear)> {
            let socket = Socket::open(RECEIVE_BUFFER, Duration::from_secs(1))?;
            let ear = Ear {
                membership: socket.membership(NFNLGRP_NFTABLES)?,
                missed: AtomicBool::new(false),
            };
            ear.membership.join()?;
            Ok((socket, ear))
        };
        let (socket, ear) = open().map_err(NetlinkError::Open)?;
        Ok(Monitor { socket, ear: Arc::new(ear), touched: Touched::default() })
    }

    /// From now on this monitor does not listen while `netlink` commits a large transaction.
    ///
    /// Where anybody listens, the kernel writes a message of 4 kB for each element and keeps
    /// all until the end: 600,000 ranges would take gigabytes of memory and ten times as long.
    /// What others changed just then is told as a change that is `lost`, with the next call of
    /// [`next`](Monitor::next).
    pub fn pause_for(&self, netlink: &mut Netlink) {
        netlink.listeners.push(Arc::downgrade(&self.ear));
    }

    /// The next change; `None` where there was none for the time given. The time runs anew
    /// with every part of a large change. Times up to a second are good: so long it may take
    /// until it is noticed that something was missed in a pause.
    ///
    /// # Errors
    /// [`NetlinkError::Io`]; an overrun is no error but a change with `lost`.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Change>, NetlinkError> {
        let failed = |source| NetlinkError::Io { doing: "listening for changes", source };
        loop {
            if self.ear.missed.swap(false, Ordering::AcqRel) {
                // After a pause that could not be ended, this ends it.
                self.ear.membership.join().map_err(failed)?;
                self.touched.lost = true;
                return Ok(Some(self.finish(None)));
            }
            let received = self.socket.receive_now().map_err(failed)?;
            let generation = match received {
                Received::Datagram(datagram) => gather(datagram, &mut self.touched),
                Received::Lost => {
                    self.touched.lost = true;
                    return Ok(Some(self.finish(None)));
                }
                Received::Nothing => {
                    let more = self.socket.wait(timeout).map_err(failed)?;
                    if more || self.ear.missed.load(Ordering::Acquire) {
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
        let touched = mem::take(&mut self.touched);
        Change {
            generation: generation.number,
            process_id: generation.process_id,
            program: generation.program,
            port: generation.port,
            tables: touched.tables,
            elements_of: touched.elements_of,
            rules_of: touched.rules_of,
            lost: touched.lost,
        }
    }
}

/// What the committing side needs of a monitor.
#[derive(Debug)]
pub(crate) struct Ear {
    membership: Membership,
    missed: AtomicBool,
}

impl Netlink {
    /// Does something while no monitor listens that is to pause for this socket, and tells them
    /// if anybody else changed the ruleset meanwhile.
    pub(crate) fn unheard<T, E>(
        &mut self,
        work: impl FnOnce(&mut Netlink) -> Result<T, E>,
    ) -> Result<T, E> {
        self.listeners.retain(|ear| ear.strong_count() > 0);
        let ears: Vec<Arc<Ear>> = self.listeners.iter().filter_map(Weak::upgrade).collect();
        if ears.is_empty() {
            return work(self);
        }
        let before = self.generation().ok();
        for ear in &ears {
            // Who could not leave hears all, which costs time but loses nothing.
            let _ = ear.membership.leave();
        }
        let result = work(self);
        let rejoined: Vec<bool> = ears.iter().map(|ear| ear.membership.join().is_ok()).collect();
        // Counted after joining again, so that whatever comes later is heard.
        let after = self.generation().ok();
        let own = before.map(|before| before.wrapping_add(u32::from(result.is_ok())));
        let alone = after.is_some() && (after == own || after == before);
        for (ear, rejoined) in ears.iter().zip(rejoined) {
            if !alone || !rejoined {
                ear.missed.store(true, Ordering::Release);
            }
        }
        result
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[derive(Default)]
pub(crate) struct Generation {
    number: Option<u32>,
    process_id: Option<u32>,
    program: String,
    port: Option<u32>,
}

/// Notes what a datagram is about. The message that ends a generation comes last, in a datagram of
/// its own.
pub(crate) fn gather(datagram: &[u8], touched: &mut Touched) -> Option<Generation> {
    let mut end = None;
    let mut previous = None;
    for message in Messages(datagram).filter(|m| m.kind >> 8 == SUBSYS_NFTABLES) {
        if message.kind == nft::NEWGEN {
            end = Some(read_generation(&message));
            continue;
        }
        let Some(table) = message.attributes().find(TABLE) else {
            continue;
        };
        let elements = matches!(message.kind, nft::NEWSETELEM | nft::DELSETELEM);
        let set = message.attributes().find(element::LIST_SET).filter(|_| elements);
        let set = set.map(|set| set.text_bytes());
        // Most messages are about elements of the same set as the one before.
        let place = (message.family(), table.text_bytes(), set);
        if previous != Some(place) {
            previous = Some(place);
            touched.note(place);
        }
    }
    end
}

impl Touched {
    fn note(&mut self, (family, table, set): (u8, &[u8], Option<&[u8]>)) {
        if self.tables.len() + self.elements_of.len() + self.rules_of.len() >= PLACES {
            self.lost = true;
            return;
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.tables.insert((TableFamily::from_number(family), text(table)));
        match set {
            Some(set) => drop(self.elements_of.insert((text(table), text(set)))),
            None => drop(self.rules_of.insert(text(table))),
        }
    }
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
