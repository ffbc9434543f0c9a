//! Fetching.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nightlatch_core::event::{Event, Failed, Fetched};
use nightlatch_core::lists::{Feed, FeedName, FeedState, Version};
use nightlatch_parse::feed::{FeedError, Format, Parsed, Reader};

use crate::run::{Inbox, Message};
use crate::shell::fetch::{self, Limits, Sink, Source};

/// How many entries a feed may have.
const MOST_ENTRIES: usize = 2_000_000;

/// How many bytes have arrived of each feed that is being fetched.
#[derive(Clone, Debug, Default)]
pub struct Arriving(Arc<Mutex<BTreeMap<FeedName, Arc<AtomicU64>>>>);

impl Arriving {
    /// Of all feeds that are being fetched.
    pub fn all(&self) -> BTreeMap<FeedName, u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, bytes)| (name.clone(), bytes.load(Ordering::Relaxed))).collect()
    }

    fn begin(&self, name: &FeedName) -> Arc<AtomicU64> {
        let bytes = Arc::new(AtomicU64::new(0));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.clone(), Arc::clone(&bytes));
        bytes
    }

    fn end(&self, name: &FeedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Fetches a feed in a thread of its own; what comes of it goes to the loop.
pub fn fetch_in_background(feed: Feed, state: FeedState, arriving: Arriving, inbox: Inbox) {
    std::thread::spawn(move || {
        let result = fetch_feed(&feed, &state, arriving.begin(&feed.name));
        arriving.end(&feed.name);
        // The daemon has ended where nobody takes it.
        let _ = inbox.send(Message::Happened(Event::Fetched { name: feed.name, result }));
    });
}

/// Why a path cannot be that of a file, in words; `None` also where that cannot be seen from here.
pub(super) fn trouble_with(path: &Path) -> Option<&'static str> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => None,
        Ok(_) => Some("is no file; name the file itself"),
        Err(error) if error.kind() == ErrorKind::NotFound => Some("does not exist"),
        Err(_) => None,
    }
}

fn fetch_feed(feed: &Feed, state: &FeedState, bytes: Arc<AtomicU64>) -> Result<Fetched, Failed> {
    let format: Format = feed
        .format
        .parse()
        .map_err(|error: FeedError| Failed { reason: error.to_string(), wait: None })?;
    let source = Source {
        address: feed.source.clone(),
        headers: feed.headers.clone(),
        key_file: feed.key_file.as_ref().map(PathBuf::from),
        authority: None,
    };
    let Version { etag, last_modified } = state.version.clone();
    let known = fetch::Version { etag, last_modified };
    let sink = Counting { reader: Reader::new(format, MOST_ENTRIES), bytes };
    match fetch::fetch(&source, &known, &Limits::default(), sink) {
        Ok(fetch::Fetched::NotModified) => Ok(Fetched::default()),
        Ok(fetch::Fetched::New(new)) => {
            let fetch::Version { etag, last_modified } = new.version;
            let version = Version { etag, last_modified };
            let notes = remarks(&new.content);
            let tally = &new.content.tally;
            let read = usize::try_from(tally.lines.saturating_sub(tally.refused)).ok();
            Ok(Fetched { content: Some(new.content.ranges), read, version, notes })
        }
        Err(error) => {
            let wait = error.retry_after().map(Duration::from_secs);
            Err(Failed { reason: error.to_string(), wait })
        }
    }
}

/// A reader that tells how much has arrived.
struct Counting {
    reader: Reader,
    bytes: Arc<AtomicU64>,
}

impl Sink for Counting {
    type Output = Parsed;
    type Error = FeedError;

    fn push(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.reader.push(bytes)
    }

    fn finish(self, clean: &dyn Fn(&str) -> String) -> Result<Parsed, FeedError> {
        Sink::finish(self.reader, clean)
    }
}

/// What could not be read.
fn remarks(parsed: &Parsed) -> Vec<String> {
    let first = parsed.tally.samples.first();
    let remark = first.map(|sample| match parsed.tally.refused {
        1 => format!("1 line could not be read: \"{}\"", sample.text),
        many => format!("{many} lines could not be read, such as \"{}\"", sample.text),
    });
    remark.into_iter().collect()
}
