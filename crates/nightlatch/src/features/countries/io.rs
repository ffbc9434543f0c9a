//! Reading the table of countries.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use nightlatch_core::event::{Event, FetchedTable};
use nightlatch_parse::country::{Builder, Layout};

use crate::run::Message;
use crate::shell::fetch::{self, CountrySink, Limits, Source, Version};

/// How many ranges a table may have.
const MOST_RANGES: usize = 4_000_000;

/// Reads the table in a thread of its own; what comes of it goes to the loop.
pub fn read_in_background(source: String, _have: bool, inbox: SyncSender<Message>) {
    std::thread::spawn(move || {
        let result = read(&source).map(Some);
        // The daemon has ended where nobody takes it.
        let _ = inbox.send(Message::Happened(Event::CountriesRead(result)));
    });
}

/// Reads a table: a file or address, or a folder with the files of `tor-geoipdb`.
fn read(source: &str) -> Result<FetchedTable, String> {
    let files: Vec<String> = if Path::new(source).is_dir() {
        ["geoip", "geoip6"].iter().map(|name| format!("{source}/{name}")).collect()
    } else {
        vec![source.to_owned()]
    };
    let mut builder = Builder::new();
    for file in files {
        let place = Source { address: file, ..Source::default() };
        let sink = CountrySink::new(Layout::Auto, MOST_RANGES);
        let fetched = fetch::fetch(&place, &Version::default(), &Limits::default(), sink);
        if let fetch::Fetched::New(new) = fetched.map_err(|error| error.to_string())? {
            for (range, code) in new.content.build().iter() {
                builder.add(range, code);
            }
        }
    }
    Ok(FetchedTable { table: Arc::new(builder.build()) })
}
