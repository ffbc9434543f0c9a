//! Fetching.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nightlatch_core::features::feeds::{Event, Failed, Feed, FeedName, Feeds, Fetched, Job};
use nightlatch_core::lists::Version;
use nightlatch_parse::feed::{FeedError, Format, Parsed, Reader};
use nightlatch_parse::ranges::RangeList;

mod kept;

use crate::features::places::{LookUp, Network, Place};
use crate::features::worded::Works;
use crate::shell::background::Background;
use crate::shell::fetch::{self, Limits, Sink, Source};
use crate::shell::kept::{Kept, read_kept};
use crate::shell::paths::Paths;

/// How many entries a feed may have.
const MAX_ENTRIES: usize = 2_000_000;

impl Works for Feeds {
    fn places(paths: &Paths) -> Option<LookUp> {
        let kept = Kept::of(paths);
        let lists: Vec<(FeedName, RangeList)> = kept::names(&kept)
            .into_iter()
            .filter_map(|name| {
                let (ranges, _) = kept::read(&kept, &name).ok()?;
                Some((name, ranges))
            })
            .collect();
        let look_up = move |address: IpAddr, place: &mut Place| {
            let found = lists.iter().filter_map(|(name, ranges)| {
                Some(Network { range: ranges.find(address)?, list: name.to_string() })
            });
            place.networks.extend(found);
        };
        Some(Box::new(look_up))
    }

    fn kept(&self, kept: &Kept) -> Vec<Event> {
        let restored = |name: &FeedName| {
            let read = read_kept(&format!("the cached list {name}"), kept::read(kept, name));
            let (content, version) = read?;
            Some(Event::Restored { name: name.clone(), content: Arc::new(content), version })
        };
        self.all.keys().filter_map(restored).collect()
    }

    fn progress(background: &Background) -> Option<Event> {
        let all = background.arriving.all().into_iter();
        let all = all.filter_map(|(name, bytes)| Some((name.parse().ok()?, bytes)));
        Some(Event::Arriving(all.collect()))
    }

    fn run(job: Job, background: &Background) {
        match job {
            Job::Fetch(feed, known) => {
                let arriving = background.arriving.clone();
                background.in_thread(move || {
                    let result = fetch_feed(&feed, known, arriving.begin(feed.name.as_str()));
                    arriving.end(feed.name.as_str());
                    Event::Fetched { name: feed.name, result }
                });
            }
            Job::Keep { name, content, version } => background.with_kept(move |kept| {
                let error = kept::keep(kept, &name, &content, &version).err()?;
                Some(Event::NotKept { name, keep: true, error: error.to_string() })
            }),
            Job::Forget(name) => background.with_kept(move |kept| {
                let error = kept.remove(&kept::file(&name)).err()?;
                Some(Event::NotKept { name, keep: false, error: error.to_string() })
            }),
        }
    }
}

/// Why a path cannot be that of a file, in words; `None` also where that cannot be seen from here.
pub(super) fn trouble_with(path: &Path) -> Option<&'static str> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => None,
        Ok(_) => Some("is not a regular file; name the file itself"),
        Err(error) if error.kind() == ErrorKind::NotFound => Some("does not exist"),
        Err(_) => None,
    }
}

fn fetch_feed(feed: &Feed, known: Version, bytes: Arc<AtomicU64>) -> Result<Fetched, Failed> {
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
    let Version { etag, last_modified } = known;
    let known = fetch::Version { etag, last_modified };
    let sink = Counting { reader: Reader::new(format, MAX_ENTRIES), bytes };
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
        many => format!("{many} lines could not be read, e.g. \"{}\"", sample.text),
    });
    remark.into_iter().collect()
}
