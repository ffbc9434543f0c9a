//! Fetching.

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use nightlatch_core::event::{Event, Fetched};
use nightlatch_core::lists::{Feed, FeedState};
use nightlatch_parse::feed::{Format, Parsed, Reader};

use crate::run::Message;
use crate::shell::fetch::{self, Limits, Source, Version};

/// How many entries a feed may have.
const MOST_ENTRIES: usize = 2_000_000;

/// Fetches a feed in a thread of its own; what comes of it goes to the loop.
pub fn fetch_in_background(feed: Feed, state: FeedState, inbox: SyncSender<Message>) {
    std::thread::spawn(move || {
        let result = fetch_feed(&feed, &state);
        // The daemon has ended where nobody takes it.
        let _ = inbox.send(Message::Happened(Event::Fetched { name: feed.name, result }));
    });
}

fn fetch_feed(feed: &Feed, state: &FeedState) -> Result<Fetched, String> {
    let format: Format = feed.format.parse().map_err(|error| format!("{error}"))?;
    let source = Source {
        address: feed.source.clone(),
        headers: feed.headers.clone(),
        key_file: feed.key_file.as_ref().map(PathBuf::from),
        authority: None,
    };
    let known = Version { etag: state.etag.clone(), last_modified: state.last_modified.clone() };
    let reader = Reader::new(format, MOST_ENTRIES);
    match fetch::fetch(&source, &known, &Limits::default(), reader) {
        Ok(fetch::Fetched::NotModified) => Ok(Fetched::default()),
        Ok(fetch::Fetched::New(new)) => {
            let Version { etag, last_modified } = new.version;
            let notes = remarks(&new.content);
            Ok(Fetched { content: Some(new.content.ranges), etag, last_modified, notes })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What could not be read.
fn remarks(parsed: &Parsed) -> Vec<String> {
    let first = parsed.tally.samples.first();
    let remark = first.map(|sample| {
        format!("{} lines could not be read, such as \"{}\"", parsed.tally.refused, sample.text)
    });
    remark.into_iter().collect()
}
