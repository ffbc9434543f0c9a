//! The store lane and the files lane: each one thread, so that a disk that hangs stops nothing else,
//! and a long file no commit.

use std::sync::mpsc::{Receiver, Sender, channel};

use nightlatch_core::action::Content;
use nightlatch_core::audit::Record;
use nightlatch_core::event::{Event, Kept as What};
use nightlatch_core::ledger::Change;
use nightlatch_core::lists::FeedName;
use nightlatch_core::signalling::Learned;
use nightlatch_core::time::Time;

use super::{Inbox, Message};
use crate::features::boot::{self, Copy};
use crate::shell::kept::Kept;
use crate::shell::paths::Paths;
use crate::shell::store::Store;
use crate::shell::{known_peers, lane};

/// What the store is asked to do.
#[derive(Debug)]
pub(super) enum StoreJob {
    Commit {
        changes: Vec<Change>,
        records: Vec<Record>,
        now: Time,
    },
    /// Keep the text of the configuration, which was good.
    KeepConfiguration,
}

/// Begins the store lane.
pub(super) fn begin_store(mut store: Store, paths: &Paths, inbox: Inbox) -> Sender<StoreJob> {
    let (jobs, waiting): (_, Receiver<StoreJob>) = channel();
    let configuration = paths.config.clone();
    lane::begin("store", move || {
        for job in waiting {
            match job {
                StoreJob::Commit { changes, records, now } => {
                    let stored = store.commit(&changes, &records, now);
                    let _ = inbox.send(Message::Happened(Event::Stored(stored)));
                }
                StoreJob::KeepConfiguration => {
                    boot::keep_configuration(&store, &configuration);
                }
            }
        }
    });
    jobs
}

/// What is to be written to files.
#[derive(Debug)]
pub(super) enum FileJob {
    Keep(Content),
    Forget(FeedName),
    SavePeers(Box<Learned>, Time),
    /// A copy of the firewall for a boot at which nothing else can be read; `None` removes it.
    Copy(Option<Box<Copy>>),
}

/// Begins the files lane.
pub(super) fn begin_files(
    kept: Kept,
    mut peers: known_peers::Saved,
    mut copies: boot::Copies,
    inbox: Inbox,
) -> Sender<FileJob> {
    let (jobs, waiting): (_, Receiver<FileJob>) = channel();
    lane::begin("files", move || {
        for job in waiting {
            let (what, result) = match job {
                FileJob::Keep(content) => (What::List, kept.keep(&content)),
                FileJob::Forget(name) => {
                    let result = kept.forget(&name);
                    (What::Forgotten(name), result)
                }
                FileJob::SavePeers(learned, now) => (What::Peers, peers.save(&learned, now)),
                FileJob::Copy(copy) => {
                    copies.keep(copy);
                    continue;
                }
            };
            let result = result.map_err(|error| error.to_string());
            let _ = inbox.send(Message::Happened(Event::Kept { what, result }));
        }
    });
    jobs
}
