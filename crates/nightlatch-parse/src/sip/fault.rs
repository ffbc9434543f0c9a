//! What is wrong with a message that can be read all the same.

use std::fmt;

use super::Name;

/// Something that RFC 3261 forbids, or that makes a part of the message unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The parts of the start line are not separated by single spaces, or something else than line
    /// ends is before it.
    StartSpacing,
    /// The version is missing or is not `SIP/2.0`.
    Version,
    /// The status of a response is not a number from 100 to 699.
    Status,
    /// The URI of a request is not a sound SIP or telephone URI.
    RequestUri,
    /// Lines end with LF only.
    LineFeedOnly,
    /// A CR is not followed by LF.
    LoneReturn,
    /// A byte 0 in the start line or the headers.
    Zero,
    /// The first line after the start line begins with white space, so that it continues nothing.
    FoldedStart,
    /// A line has no colon.
    NoColon,
    /// The name of a header has characters that it must not have.
    HeaderName,
    /// The message ends within a line.
    NoLineEnd,
    /// No empty line ends the headers.
    NoEmptyLine,
    /// A header that every message must have is missing.
    Missing(Name),
    /// A header occurs again that may occur only once; the first one is used.
    Repeated(Name),
    /// The value of a header, or a part of it, is unusable.
    Malformed(Name),
    /// `CSeq` has another method than the request.
    OtherMethod,
    /// The body is shorter than `Content-Length` says.
    BodyTooShort,
    /// More follows than `Content-Length` says; it is not part of the body.
    BodyTooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Fault::StartSpacing => "wrong spaces in the start line",
            Fault::Version => "the version is not SIP/2.0",
            Fault::Status => "invalid status code",
            Fault::RequestUri => "invalid request URI",
            Fault::LineFeedOnly => "lines end with LF only",
            Fault::LoneReturn => "a CR without LF",
            Fault::Zero => "a byte 0 in the headers",
            Fault::FoldedStart => "white space before the first header",
            Fault::NoColon => "a line without a colon",
            Fault::HeaderName => "invalid name of a header",
            Fault::NoLineEnd => "the message ends within a line",
            Fault::NoEmptyLine => "no empty line after the headers",
            Fault::Missing(name) => return write!(f, "{} is missing", name.text()),
            Fault::Repeated(name) => return write!(f, "{} occurs more than once", name.text()),
            Fault::Malformed(name) => return write!(f, "invalid {}", name.text()),
            Fault::OtherMethod => "CSeq has another method than the request",
            Fault::BodyTooShort => "the body is shorter than Content-Length",
            Fault::BodyTooLong => "bytes after the body",
        };
        f.write_str(text)
    }
}

/// The faults of one message, each of them once, in the order in which they were found. There are
/// fewer than a hundred different ones, so the list is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(super) fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}
