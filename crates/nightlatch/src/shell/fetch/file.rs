//! Lists in files of this machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::secret::Cleaner;
use super::{FetchError, Fetched, Limits, New, Sink, Version, body, unseen};

/// Reads a file into `sink`, unless it is the version at hand.
pub(super) fn fetch<S: Sink>(
    path: &Path,
    known: &Version,
    limits: &Limits,
    sink: S,
    cleaner: &Cleaner,
) -> Result<Fetched<S::Output>, FetchError> {
    let wrong = |reason: String| FetchError::File { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| wrong(unseen::reason(path, &error));
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(wrong("not a regular file; use the path of the file itself".to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    let etag =
        format!("{}-{}-{}.{:09}", facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec());
    if known.etag.as_ref() == Some(&etag) {
        return Ok(Fetched::NotModified);
    }
    let address = path.display().to_string();
    let (content, bytes) = body::pump(file, false, &address, limits, sink, cleaner, unreadable)?;
    Ok(Fetched::New(New {
        content,
        version: Version { etag: Some(etag), last_modified: None },
        modified: u64::try_from(facts.mtime()).ok(),
        bytes,
    }))
}
