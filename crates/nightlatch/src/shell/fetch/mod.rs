//! Fetches feeds and country tables over https, http or from a file, into a parser as they arrive.
//!
//! Nothing the other side sends can cost more than the [`Limits`] say: time, bytes on the wire,
//! bytes unpacked, redirects. No list is ever held whole in memory. A key never appears in an
//! error, a sample or a `Debug` text.
//!
//! TLS trusts the roots that are compiled in, not those of the system: a telephone server is often
//! an old one whose own roots have expired, and a rescue system may have none. A source with an
//! authority of its own names it in `authority`, and then only that one is trusted for it.

mod body;
mod error;
mod file;
mod http;
mod place;
mod secret;
mod sink;
mod unseen;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{FetchError, Phase};
pub use secret::Secret;
pub use sink::{CountrySink, Sink};

use place::Place;
use secret::Cleaner;

/// Stands in an address or a header for the key.
pub const PLACEHOLDER: &str = "${key}";

/// Where a list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `https://`, `http://`, `file://` or a path from the root; `${key}` stands for the key.
    pub address: String,
    /// Headers to send, such as `Authorization: Bearer ${key}`. Not sent on to another server.
    pub headers: Vec<(String, String)>,
    /// The file that holds the key in its first line. Only its owner and group may read it.
    pub key_file: Option<PathBuf>,
    /// A file of certificates (PEM): the only authorities trusted for this source.
    pub authority: Option<PathBuf>,
}

/// What is known of the version at hand, as the source named it when it was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The entity tag. Of a file: its number, size and time.
    pub etag: Option<String>,
    /// The time of the last change as the server wrote it.
    pub last_modified: Option<String>,
}

/// How much a fetch may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the name, the connection and TLS together.
    pub connect: Duration,
    /// Without a single byte.
    pub stalled: Duration,
    /// For everything, redirects included.
    pub whole: Duration,
    /// Bytes on the wire or in the file.
    pub wire_bytes: u64,
    /// Bytes after unpacking.
    pub bytes: u64,
    /// Redirects followed.
    pub redirects: u32,
}

impl Default for Limits {
    /// 15 s to connect, 30 s without a byte, 10 minutes in all; 128 MiB on the wire, 512 MiB
    /// unpacked; 5 redirects.
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(15),
            stalled: Duration::from_secs(30),
            whole: Duration::from_secs(600),
            wire_bytes: 128 << 20,
            bytes: 512 << 20,
            redirects: 5,
        }
    }
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched<T> {
    /// The version at hand is the newest.
    NotModified,
    /// A new version.
    New(New<T>),
}

/// A new version of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New<T> {
    /// What the parser made of it.
    pub content: T,
    /// To be given with the next fetch.
    pub version: Version,
    /// The time of the last change in seconds since 1970, where the source names one.
    pub modified: Option<u64>,
    /// Bytes after unpacking.
    pub bytes: u64,
}

/// Fetches a list into `sink`, unless `known` is its newest version. Blocks.
///
/// # Errors
/// See [`FetchError`]. The sink is gone then, and what it had read with it.
pub fn fetch<S: Sink>(
    source: &Source,
    known: &Version,
    limits: &Limits,
    sink: S,
) -> Result<Fetched<S::Output>, FetchError> {
    let key = source.key_file.as_deref().map(Secret::read).transpose()?;
    let cleaner = Cleaner::new(key.as_ref());
    let result = match Place::parse(&source.address, key.as_ref())? {
        Place::File(path) => file::fetch(&path, known, limits, sink, &cleaner),
        Place::Http(url) => http::fetch(source, url, key.as_ref(), known, limits, sink, &cleaner),
    };
    result.map_err(|error| error.cleaned(&cleaner))
}
