//! The lines of a message: names, values, folding (RFC 3261, section 7.3).

use std::borrow::Cow;

use super::Fault;
use super::scan::{from, is_word, position, split, trim, trim_end};

/// Defines the headers that are known by name, from one table.
macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal $(or $compact:literal)?;)*) => {
        /// The headers that are known by name. Others are found by [`Header::is_named`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $($(#[$doc])* $variant,)*
        }

        impl Name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)*];

            /// The long form, as RFCs write it.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)*
                }
            }

            /// The one-letter form, in lower case.
            pub const fn compact(self) -> Option<&'static str> {
                match self {
                    $(Name::$variant => compact!($($compact)?),)*
                }
            }
        }
    };
}

macro_rules! compact {
    () => {
        None
    };
    ($letter:literal) => {
        Some($letter)
    };
}

names! {
    /// The way back of the response.
    Via = "Via" or "v";
    /// Who sends the request.
    From = "From" or "f";
    /// To whom it was sent first.
    To = "To" or "t";
    /// What all messages of a call or registration have in common.
    CallId = "Call-ID" or "i";
    /// The number and method of the request.
    CSeq = "CSeq";
    /// Where the sender is reached directly.
    Contact = "Contact" or "m";
    /// The program that sent a request.
    UserAgent = "User-Agent";
    /// The program that sent a response.
    Server = "Server";
    /// For how many seconds a registration is to be valid.
    Expires = "Expires";
    /// The length of the body in bytes.
    ContentLength = "Content-Length" or "l";
    /// The type of the body.
    ContentType = "Content-Type" or "c";
    /// How the body is compressed.
    ContentEncoding = "Content-Encoding" or "e";
    /// Credentials for a server.
    Authorization = "Authorization";
    /// Credentials for a proxy.
    ProxyAuthorization = "Proxy-Authorization";
    /// By how many servers the request may still be passed on.
    MaxForwards = "Max-Forwards";
    /// Servers by which the request is to go.
    Route = "Route";
    /// Servers that want to see later requests.
    RecordRoute = "Record-Route";
    /// Extensions that the sender knows.
    Supported = "Supported" or "k";
    /// What a call is about.
    Subject = "Subject" or "s";
    /// What a subscription is for (RFC 6665).
    Event = "Event" or "o";
    /// Which subscriptions are possible (RFC 6665).
    AllowEvents = "Allow-Events" or "u";
    /// Whom to call instead (RFC 3515).
    ReferTo = "Refer-To" or "r";
    /// Who asked for that (RFC 3892).
    ReferredBy = "Referred-By" or "b";
    /// How long a call lasts without being refreshed (RFC 4028).
    SessionExpires = "Session-Expires" or "x";
}

/// How many names are known.
pub(super) const NAMES: usize = Name::ALL.len();

impl Name {
    /// The known header of this name, in long or compact form, in upper or lower case.
    pub fn of(name: &[u8]) -> Option<Name> {
        let is_same = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        let mut all = Name::ALL.iter().copied();
        all.find(|known| is_same(known.text()) || known.compact().is_some_and(is_same))
    }

    /// Whether it may occur more than once in a message.
    pub fn is_repeatable(self) -> bool {
        use Name::{AllowEvents, Authorization, ContentEncoding, ProxyAuthorization, Supported};
        use Name::{Contact, RecordRoute, Route, Via};
        matches!(self, AllowEvents | Authorization | ContentEncoding | ProxyAuthorization)
            || matches!(self, Contact | RecordRoute | Route | Supported | Via)
    }
}

/// One header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as it was sent.
    pub name: &'a [u8],
    /// The value as it was sent, without white space at its ends. It contains line ends if it was
    /// folded.
    pub raw: &'a [u8],
    /// Whether the whole value is known: `false` for a header in which a truncated message ends, and
    /// for one after which it ends, since the next line might continue it.
    pub is_whole: bool,
}

impl<'a> Header<'a> {
    /// Whether it is the header of this name (long form, in upper or lower case).
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value in one line: a line end with the white space around it is one space.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfolded(self.raw)
    }
}

/// A value in one line, see [`Header::unfolded`]. Allocates only if it was folded.
pub fn unfolded(raw: &[u8]) -> Cow<'_, [u8]> {
    if position(raw, |byte| byte == b'\n').is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text: Vec<u8> = Vec::with_capacity(raw.len());
    for line in raw.split(|byte| *byte == b'\n') {
        let line = trim(line);
        if !text.is_empty() && !line.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(line);
    }
    Cow::Owned(text)
}

/// All headers of a message, also unknown ones, in their order. Lines that are not headers are
/// skipped.
#[derive(Clone, Debug)]
pub struct Headers<'a>(pub(super) Lines<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.0.find_map(Result::ok)
    }
}

/// The lines after the start line, folded ones as one. Ends at the empty line.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    is_cut: bool,
    is_first: bool,
    /// What follows the empty line; `None` as long as there was none.
    pub(super) body: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    /// `is_cut` says that the message had more bytes than these.
    pub(super) fn new(bytes: &'a [u8], is_cut: bool) -> Lines<'a> {
        Lines { rest: bytes, is_cut, is_first: true, body: None }
    }

    /// Removes the next line with its continuations: the line with its line end, and whether it is
    /// known that it ends there.
    fn take(&mut self) -> (&'a [u8], bool) {
        let mut place = 0;
        let mut is_whole = !self.is_cut;
        while let Some(end) = position(from(self.rest, place), |byte| byte == b'\n') {
            place += end + 1;
            let next = self.rest.get(place);
            if !matches!(next, Some(b' ' | b'\t')) {
                is_whole |= next.is_some();
                let (line, rest) = split(self.rest, place);
                self.rest = rest;
                return (line, is_whole);
            }
        }
        (std::mem::take(&mut self.rest), is_whole)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Header<'a>, Fault>;

    fn next(&mut self) -> Option<Result<Header<'a>, Fault>> {
        if self.body.is_some() || self.rest.is_empty() {
            return None;
        }
        // An empty line is never continued: what follows it is the body.
        for end in [&b"\r\n"[..], b"\n"] {
            if let Some(body) = self.rest.strip_prefix(end) {
                self.body = Some(body);
                return None;
            }
        }
        let is_first = std::mem::take(&mut self.is_first);
        let (line, is_whole) = self.take();
        if is_first && matches!(line.first(), Some(b' ' | b'\t')) {
            return Some(Err(Fault::FoldedStart));
        }
        let Some(colon) = position(line, |byte| byte == b':') else {
            // The end of a truncated message is not wrong, but is not a header either.
            return if is_whole { Some(Err(Fault::NoColon)) } else { None };
        };
        let (before, value) = (split(line, colon).0, trim(from(line, colon + 1)));
        let name = trim_end(before);
        // Spaces may be before the colon, but no line end.
        let is_folded = position(before, |byte| matches!(byte, b'\r' | b'\n')).is_some();
        if is_folded || !is_word(name) {
            return Some(Err(Fault::HeaderName));
        }
        Some(Ok(Header { name, raw: value, is_whole }))
    }
}
