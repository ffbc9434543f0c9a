//! Packets that the firewall copies to the daemon (`log group`), whatever it does with them: no socket is
//! open for them, and nothing answers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TrySendError, channel, sync_channel};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::time::Time;
use nightlatch_netfilter::{Batch, Logged, NetlinkError, Nflog, NflogError};
use nightlatch_parse::ip_packet::{self, TcpFlags, Transport};
use rustix::event::{PollFd, PollFlags, poll};

use super::busy::Busy;
use super::wake::Waker;
use super::{journal, lane};

/// The pause after the kernel could not be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long packets are waited for together.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// How long the end of the thread is awaited.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A packet that arrived, of the kind `K` that its rule's prefix tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<K> {
    /// Which rule copied it.
    pub kind: K,
    /// The source that it claims.
    pub source: SocketAddr,
    /// The destination.
    pub destination: SocketAddr,
    /// When it arrived by the kernel's clock, where that is known.
    pub arrived: Option<Time>,
    /// What it carries.
    pub content: Content,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A UDP datagram.
    Udp {
        /// Its payload, as far as it was copied.
        payload: Vec<u8>,
        /// Whether a part of the payload is missing.
        is_truncated: bool,
    },
    /// A TCP segment.
    Tcp(TcpFlags),
}

/// How many packets there were, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed over.
    pub accepted: u64,
    /// Dropped because whoever takes the packets was too slow.
    pub dropped: u64,
    /// Lost by the kernel because this thread was too slow.
    pub lost: u64,
    /// Neither UDP nor TCP, later fragments, or damaged.
    pub unreadable: u64,
    /// Copied by rules with a prefix that is not known: those of another program.
    pub foreign: u64,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    unreadable: AtomicU64,
    foreign: AtomicU64,
}

/// Reads a group of packets in a thread, until this is dropped: then the group is free again. Ends by
/// itself with the next packet when nobody takes them any more.
#[derive(Debug)]
pub struct Packets {
    counters: Arc<Counters>,
    waker: Waker,
    /// To disconnect it is the order to end.
    order: Option<Sender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// What became of a packet.
enum Handed {
    Over,
    Dropped,
    /// Nobody takes any more.
    Ended,
}

/// What a thread has.
struct Reader<F, T> {
    nflog: Nflog,
    kind_of: F,
    to: T,
    counters: Arc<Counters>,
    waker: Waker,
    order: Receiver<()>,
}

impl Packets {
    /// Begins to read a group in the network namespace of the calling thread. Of each packet, `copied`
    /// bytes from the IP header on are copied at most. `kind_of` tells the kind of a packet by the prefix
    /// of its rule; `None` for prefixes of others. Up to `room` packets wait for whoever takes them; what
    /// comes beyond that is dropped and counted, so that the kernel never waits.
    ///
    /// # Errors
    /// The group is read by another program, or the kernel refuses.
    pub fn read<K: Send + 'static>(
        group: u16,
        copied: u16,
        room: usize,
        kind_of: impl Fn(&str) -> Option<K> + Send + 'static,
    ) -> Result<(Packets, Receiver<Packet<K>>), NflogError> {
        let (to, packets) = sync_channel(room);
        let hand_over = move |packet| match to.try_send(packet) {
            Ok(()) => Handed::Over,
            Err(TrySendError::Full(_)) => Handed::Dropped,
            Err(TrySendError::Disconnected(_)) => Handed::Ended,
        };
        Ok((Packets::begin(group, copied, kind_of, hand_over)?, packets))
    }

    /// As [`Packets::read`], but shows each packet to `on_packet` in the thread that reads them, which must
    /// not take long: a thread of its own would be woken for each packet.
    ///
    /// # Errors
    /// As [`Packets::read`].
    pub fn show<K: Send + 'static>(
        group: u16,
        copied: u16,
        kind_of: impl Fn(&str) -> Option<K> + Send + 'static,
        mut on_packet: impl FnMut(Packet<K>) + Send + 'static,
    ) -> Result<Packets, NflogError> {
        let show = move |packet| {
            on_packet(packet);
            Handed::Over
        };
        Packets::begin(group, copied, kind_of, show)
    }

    fn begin<K: Send + 'static>(
        group: u16,
        copied: u16,
        kind_of: impl Fn(&str) -> Option<K> + Send + 'static,
        to: impl FnMut(Packet<K>) -> Handed + Send + 'static,
    ) -> Result<Packets, NflogError> {
        let nflog = Nflog::open(group, copied)?;
        let waker = Waker::new().map_err(|errno| NetlinkError::Open(errno.into()))?;
        let counters = Arc::<Counters>::default();
        let (order, ordered) = channel();
        let (end, ended) = channel::<()>();
        let reader = Reader {
            nflog,
            kind_of,
            to,
            counters: Arc::clone(&counters),
            waker: waker.clone(),
            order: ordered,
        };
        lane::begin("packets", move || {
            reader.run();
            drop(end);
        });
        Ok(Packets { counters, waker, order: Some(order), ended })
    }

    /// How many packets there were.
    pub fn counts(&self) -> Counts {
        let Counters { accepted, dropped, lost, unreadable, foreign } = &*self.counters;
        Counts {
            accepted: accepted.load(Relaxed),
            dropped: dropped.load(Relaxed),
            lost: lost.load(Relaxed),
            unreadable: unreadable.load(Relaxed),
            foreign: foreign.load(Relaxed),
        }
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.order = None;
        self.waker.wake();
        // The group is free when this returns.
        let _ = self.ended.recv_timeout(STOP_TIMEOUT);
    }
}

impl<F, T> Reader<F, T> {
    fn run<K>(mut self)
    where
        F: Fn(&str) -> Option<K>,
        T: FnMut(Packet<K>) -> Handed,
    {
        let mut has_failed = false;
        let mut busy = Busy::new(BUSY_PAUSE);
        loop {
            let (counters, to, kind_of) = (&self.counters, &mut self.to, &self.kind_of);
            let mut is_wanted = true;
            let read = self.nflog.read(|logged| {
                is_wanted &= hand_over(&logged, kind_of, counters, to);
            });
            if !is_wanted {
                return;
            }
            let pause = match read {
                Ok(Batch { packets: 0, lost: 0 }) => {
                    self.wait().err().map(|error| error.to_string())
                }
                Ok(Batch { lost, .. }) => {
                    counters.lost.fetch_add(lost.into(), Relaxed);
                    busy.pause();
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            if self.is_to_end(pause.as_ref().map_or(Duration::ZERO, |_| PAUSE)) {
                return;
            }
            if let (Some(error), false) = (&pause, has_failed) {
                let message = format!("cannot read packets for the daemon: {error}; retrying");
                journal::tell(Level::Warning, &message);
            }
            has_failed = pause.is_some();
        }
    }

    /// Whether the thread is to end, now or within a time.
    fn is_to_end(&self, within: Duration) -> bool {
        matches!(self.order.recv_timeout(within), Err(RecvTimeoutError::Disconnected))
    }

    /// Waits for packets or the order to end.
    fn wait(&self) -> io::Result<()> {
        let nflog = self.nflog.as_fd();
        let mut watched = [
            PollFd::from_borrowed_fd(nflog, PollFlags::IN),
            PollFd::new(&self.waker, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a packet and hands it over; `false` if nobody takes any more.
fn hand_over<K>(
    logged: &Logged<'_>,
    kind_of: impl Fn(&str) -> Option<K>,
    counters: &Counters,
    to: &mut impl FnMut(Packet<K>) -> Handed,
) -> bool {
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Relaxed);
    };
    let Some(kind) = kind_of(logged.prefix) else {
        count(&counters.foreign);
        return true;
    };
    let Ok(packet) = ip_packet::read(logged.bytes) else {
        count(&counters.unreadable);
        return true;
    };
    let arrived = logged.arrived.and_then(|time| i64::try_from(time.as_millis()).ok());
    let packet = Packet {
        kind,
        source: packet.source,
        destination: packet.destination,
        arrived: arrived.map(Time::from_millis),
        content: match packet.transport {
            Transport::Udp { payload, is_truncated } => {
                Content::Udp { payload: payload.to_vec(), is_truncated }
            }
            Transport::Tcp(flags) => Content::Tcp(flags),
        },
    };
    match to(packet) {
        Handed::Over => count(&counters.accepted),
        Handed::Dropped => count(&counters.dropped),
        Handed::Ended => return false,
    }
    true
}
