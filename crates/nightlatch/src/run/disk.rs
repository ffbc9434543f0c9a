//! The store lane and the files lane: each one thread, so that a disk that hangs stops nothing else,
//! and a long file no commit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::audit::Record;
use nightlatch_core::event::Event;
use nightlatch_core::features::Change;
use nightlatch_core::learned::LearnedSets;
use nightlatch_core::row::Row;
use nightlatch_core::time::Time;

use crate::features::boot::{self, Copy};
use crate::shell::background::{self, WithKept};
use crate::shell::inbox::{Inbox, Message};
use crate::shell::kept::Kept;
use crate::shell::paths::Paths;
use crate::shell::store::Store;
use crate::shell::{journal, known_peers, lane};

/// How long to wait until erasing secrets is tried again.
const ERASE_AGAIN: Duration = Duration::from_secs(10);

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
        while let Some(job) = next(&waiting, &mut store) {
            match job {
                StoreJob::Commit { changes, records, now } => {
                    let was_erasing = store.is_erasing();
                    let stored = rows(&changes).and_then(|rows| store.commit(&rows, &records, now));
                    // Before the answer: whoever has revoked a user is told so when the secrets are gone.
                    if !was_erasing {
                        erase(&mut store);
                    }
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

/// The next job; `None` at the end. Meanwhile secrets are erased that could not be before.
fn next(waiting: &Receiver<StoreJob>, store: &mut Store) -> Option<StoreJob> {
    while store.is_erasing() {
        match waiting.recv_timeout(ERASE_AGAIN) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Timeout) => drop(store.erase()),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    waiting.recv().ok()
}

/// Erases the secrets that were replaced or removed.
fn erase(store: &mut Store) {
    if let Err(error) = store.erase() {
        let again = ERASE_AGAIN.as_secs();
        journal::tell(
            Level::Warning,
            &format!(
                "could not erase replaced or removed secrets from the write-ahead log of the database: {error}; retrying every {again} seconds"
            ),
        );
    }
}

fn rows(changes: &[Change]) -> Result<Vec<Row>, String> {
    let rows: Result<Vec<Row>, _> = changes.iter().map(Change::row).collect();
    rows.map_err(|error| error.to_string())
}

/// What is to be done with files.
pub(super) enum FileJob {
    WithKept(WithKept),
    SaveLearned(Box<LearnedSets>, Time),
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
            match job {
                FileJob::WithKept(work) => {
                    if let Some(event) = work(&kept) {
                        background::tell(&inbox, event);
                    }
                }
                FileJob::SaveLearned(sets, now) => {
                    let saved = peers.save(&sets, now).map_err(|error| error.to_string());
                    let _ = inbox.send(Message::Happened(Event::LearnedSaved(saved)));
                }
                FileJob::Copy(copy) => copies.keep(copy),
            }
        }
    });
    jobs
}
