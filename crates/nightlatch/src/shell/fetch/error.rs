//! Why a list could not be fetched, in plain words.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Cleaner;

/// What a fetch was doing when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the name, connecting, agreeing on TLS.
    Connect,
    /// Waiting for the next byte.
    Stalled,
    /// All of it.
    Whole,
}

impl Phase {
    fn words(self) -> &'static str {
        match self {
            Phase::Connect => "no connection",
            Phase::Stalled => "no data received",
            Phase::Whole => "transfer not complete",
        }
    }
}

/// Why a list could not be fetched. Where a message names an address, it is the one in the
/// configuration, with the placeholder in place of the key.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address cannot be used.
    #[error("invalid list address \"{address}\": {reason}")]
    Address {
        /// The address as written.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// A header cannot be sent.
    #[error("cannot send the header \"{name}\" to {address}: {reason}")]
    Header {
        /// The address.
        address: String,
        /// The header's name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The key file cannot be used.
    #[error("cannot use the key file {}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file of trusted authorities cannot be used.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No connection.
    #[error("cannot connect to {address}: {reason}; check this machine's network and DNS resolver")]
    Connect {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// TLS found no reason to trust the server.
    #[error(
        "{address}: the TLS certificate is not trusted: {reason}; check this machine's clock; if the server uses a private CA, download the list by other means and use its file"
    )]
    NotTrusted {
        /// The address.
        address: String,
        /// What TLS said.
        reason: String,
    },
    /// It took too long.
    #[error("{address}: {} within {} s", phase.words(), limit.as_secs_f32())]
    TooSlow {
        /// The address.
        address: String,
        /// In which phase.
        phase: Phase,
        /// The limit.
        limit: Duration,
    },
    /// The server answered something else than "here it is".
    #[error("{address}: the server answered {status}{}", advice(*status))]
    Status {
        /// The address.
        address: String,
        /// The HTTP status.
        status: u16,
        /// Seconds that the server asks to wait.
        retry_after: Option<u64>,
    },
    /// A redirect that is not followed.
    #[error("{address} redirects to \"{to}\", which is not followed: {reason}")]
    Redirect {
        /// The address.
        address: String,
        /// Where to.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// Too many redirects; likely a circle.
    #[error("{address} redirects more than {most} times; use the final address instead")]
    Redirects {
        /// The address.
        address: String,
        /// The limit.
        most: u32,
    },
    /// More bytes than allowed on the wire or after unpacking.
    #[error("{address} sends more than {limit} bytes{}; raise the limit if that is expected", if *unpacked { " after unpacking" } else { "" })]
    TooLarge {
        /// The address.
        address: String,
        /// The limit.
        limit: u64,
        /// Whether it is the limit after unpacking.
        unpacked: bool,
    },
    /// It ended before its end.
    #[error("{address} was cut off after {bytes} bytes")]
    CutOff {
        /// The address.
        address: String,
        /// Bytes received, on the wire.
        bytes: u64,
    },
    /// The packed data is damaged.
    #[error("{address}: the gzip data is damaged")]
    Damaged {
        /// The address.
        address: String,
    },
    /// Packed in a way that was not asked for.
    #[error(
        "{address}: the server sent the content encoding \"{encoding}\", which was not requested; only gzip is supported"
    )]
    Encoding {
        /// The address.
        address: String,
        /// The encoding as the server names it.
        encoding: String,
    },
    /// An invalid HTTP response.
    #[error("{address}: invalid HTTP response: {reason}")]
    Protocol {
        /// The address.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It is here, but no list.
    #[error("{address}: {reason}")]
    Content {
        /// The address.
        address: String,
        /// What the parser says.
        reason: String,
    },
}

impl FetchError {
    /// Seconds that the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same again cannot help before somebody changes something here.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            FetchError::Address { .. }
                | FetchError::Header { .. }
                | FetchError::Key { .. }
                | FetchError::Authority { .. }
        )
    }

    /// The error without a key that the other side or a library may have quoted.
    pub(super) fn cleaned(mut self, cleaner: &Cleaner) -> FetchError {
        match &mut self {
            FetchError::Connect { reason, .. }
            | FetchError::NotTrusted { reason, .. }
            | FetchError::Protocol { reason, .. }
            | FetchError::Redirect { to: reason, .. }
            | FetchError::Encoding { encoding: reason, .. }
            | FetchError::Content { reason, .. } => *reason = cleaner.clean(reason),
            _ => {}
        }
        self
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => " (not allowed); check the key",
        404 | 410 => " (not found); check the address",
        429 => " (rate limited)",
        500..=599 => " (server error)",
        304 => " (not modified), which was not expected",
        _ => ", which is not a list",
    }
}
