//! The thread that looks at packets which may open an address. It finds out whether one is genuine, so that
//! no other reaches the loop.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::features::users::{Event, Job};
use nightlatch_core::watched::{AGENT_PREFIX, NFLOG_GROUP, SPA_PREFIX};

use super::keyring::Keyring;
use crate::shell::packets::{Content, Packet, Packets};
use crate::shell::{journal, lane};

/// How much of a packet is read, from its IP header on, in bytes: what the rules copy.
const COPIED: u16 = 1_500;
/// How many genuine packets wait for the loop.
const MAX_HANDED_OVER: usize = 64;
/// After how long it is tried again to read packets where another program reads them.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The way to the thread.
pub(super) struct Watch(Arc<Shared>);

struct Shared {
    keys: Mutex<Keyring>,
    tell: Mutex<Box<dyn Fn(Event) + Send>>,
    /// How many genuine packets wait for the loop.
    handed_over: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Spa,
    Agent,
}

impl Watch {
    /// Begins the thread. Genuine packets are told.
    pub(super) fn begin(tell: impl Fn(Event) + Send + 'static) -> Watch {
        let (keys, handed_over) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { keys, tell: Mutex::new(Box::new(tell)), handed_over });
        let of_thread = Arc::clone(&shared);
        lane::begin("access", move || of_thread.read());
        Watch(shared)
    }

    pub(super) fn take(&self, job: Job) {
        match job {
            Job::Know(keys) => self.0.keys().know(*keys),
            Job::Forget(user) => drop(self.0.keys().forget(&user)),
            Job::Taken => {
                // One less, and never fewer than none.
                let less = |count: usize| Some(count.saturating_sub(1));
                let _ = self.0.handed_over.fetch_update(Relaxed, Relaxed, less);
            }
        }
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Keyring> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has packets read in a thread that shows them here; waits until no other program reads them.
    fn read(self: &Arc<Shared>) {
        let mut has_failed = false;
        let _reading = loop {
            let shared = Arc::clone(self);
            match Packets::show(NFLOG_GROUP, COPIED, kind_of, move |it| shared.look_at(it)) {
                Ok(reading) => break reading,
                Err(error) if !has_failed => {
                    has_failed = true;
                    let message =
                        format!("SPA packets and secret user agents cannot be read: {error}");
                    journal::tell(Level::Error, &message);
                }
                Err(_) => {}
            }
            std::thread::sleep(AGAIN_AFTER);
        };
        if has_failed {
            journal::tell(Level::Info, "SPA packets and secret user agents are read again");
        }
        loop {
            std::thread::park();
        }
    }

    fn look_at(&self, packet: Packet<Kind>) {
        let Content::Udp { payload, is_truncated } = packet.content else { return };
        let source = packet.source.ip().to_canonical();
        let event = match packet.kind {
            Kind::Spa if is_truncated => None,
            Kind::Spa => self.keys().spa(source, packet.destination.port(), &payload),
            Kind::Agent => self.keys().agent(source, &payload, is_truncated),
        };
        let Some(event) = event else { return };
        if self.handed_over.load(Relaxed) < MAX_HANDED_OVER {
            self.handed_over.fetch_add(1, Relaxed);
            self.tell.lock().unwrap_or_else(PoisonError::into_inner)(event);
        }
    }
}

fn kind_of(prefix: &str) -> Option<Kind> {
    match prefix {
        SPA_PREFIX => Some(Kind::Spa),
        AGENT_PREFIX => Some(Kind::Agent),
        _ => None,
    }
}
