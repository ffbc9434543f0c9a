//! From the wire through gzip into a sink, in bounds.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::secret::Cleaner;
use super::{FetchError, Limits, Sink};

const BLOCK: usize = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How often packed data is unpacked again: a packed file, sent packed.
const MAX_LAYERS: usize = 2;

/// Reads all of `wire` into `sink`; returns what the sink made of it and the bytes unpacked.
///
/// `is_packed` says that the server packed it for the way. A packed file is found out by its first
/// bytes. `failed` turns what else goes wrong on the wire into an error.
pub(super) fn pump<S: Sink>(
    wire: impl Read,
    is_packed: bool,
    address: &str,
    limits: &Limits,
    mut sink: S,
    cleaner: &Cleaner,
    failed: impl Fn(io::Error) -> FetchError,
) -> Result<(S::Output, u64), FetchError> {
    let received = Rc::new(Cell::new(0));
    let content = |error: S::Error| FetchError::Content {
        address: address.to_owned(),
        reason: error.to_string(),
    };
    let cut_off = || FetchError::CutOff { address: address.to_owned(), bytes: received.get() };
    let explained = |error: io::Error| match Stop::of(error) {
        Ok(Stop::TooLarge { limit, unpacked }) => {
            FetchError::TooLarge { address: address.to_owned(), limit, unpacked }
        }
        Ok(Stop::Wire(error)) if error.kind() != io::ErrorKind::UnexpectedEof => failed(error),
        Ok(Stop::Wire(_)) | Err(io::ErrorKind::UnexpectedEof) => cut_off(),
        Err(_) => FetchError::Damaged { address: address.to_owned() },
    };
    let wire = Bounded {
        inner: Wire(wire),
        seen: Rc::clone(&received),
        limit: limits.wire_bytes,
        unpacked: false,
    };
    let mut reader = unpacked(wire, is_packed, limits.bytes).map_err(explained)?;
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    loop {
        let length = match reader.read(&mut block) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(explained(error)),
        };
        bytes += length as u64;
        if bytes > limits.bytes {
            return Err(explained(Stop::too_large(limits.bytes, true)));
        }
        let part = block.get(..length).unwrap_or_default();
        sink.push(part).map_err(content)?;
    }
    let output = sink.finish(&|text| cleaner.clean(text)).map_err(content)?;
    Ok((output, bytes))
}

/// Unpacks as often as the data says, each time in bounds.
fn unpacked<'a>(
    wire: impl Read + 'a,
    is_packed: bool,
    limit: u64,
) -> io::Result<Box<dyn Read + 'a>> {
    let mut reader: Box<dyn Read + 'a> = Box::new(wire);
    let mut asked = is_packed;
    for _ in 0..MAX_LAYERS {
        let mut head = Vec::new();
        reader.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
        let found = head == GZIP;
        // A server that says "gzip" and sends an empty body means an empty list.
        let unpack = found || (asked && !head.is_empty());
        let whole = Cursor::new(head).chain(reader);
        if !unpack {
            return Ok(Box::new(whole));
        }
        asked = false;
        reader = Box::new(Bounded {
            inner: MultiGzDecoder::new(whole),
            seen: Rc::default(),
            limit,
            unpacked: true,
        });
    }
    Ok(reader)
}

/// Ends with an error when more than `limit` bytes come.
struct Bounded<R> {
    inner: R,
    seen: Rc<Cell<u64>>,
    limit: u64,
    unpacked: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let seen = self.seen.get() + length as u64;
        self.seen.set(seen);
        if seen > self.limit {
            return Err(Stop::too_large(self.limit, self.unpacked));
        }
        Ok(length)
    }
}

/// Marks the errors of the wire, so that they are not taken for those of unpacking.
struct Wire<R>(R);

impl<R: Read> Read for Wire<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(Stop::Wire(error)),
        })
    }
}

/// Why reading ended, other than by unpacking.
#[derive(Debug)]
enum Stop {
    TooLarge { limit: u64, unpacked: bool },
    Wire(io::Error),
}

impl Stop {
    fn too_large(limit: u64, unpacked: bool) -> io::Error {
        io::Error::other(Stop::TooLarge { limit, unpacked })
    }

    /// The reason in an error, or the kind of one that is of unpacking.
    fn of(error: io::Error) -> Result<Stop, io::ErrorKind> {
        error.downcast().map_err(|error: io::Error| error.kind())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::TooLarge { limit, .. } => write!(f, "more than {limit} bytes"),
            Stop::Wire(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}
