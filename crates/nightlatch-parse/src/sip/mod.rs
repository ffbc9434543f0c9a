//! SIP messages as they arrive in UDP datagrams (RFC 3261), read tolerantly.
//!
//! Strangers send these messages, and some of them make them wrong on purpose. So the reader fails only
//! if the bytes cannot be SIP at all; whatever else is wrong is listed, see [`Fault`], and what is
//! sound beside it is usable.
//!
//! The message may be truncated, because the kernel copies only its beginning. A part that is not
//! wholly known is never returned as a value: a truncated address is another address.
//!
//! Nothing is copied: all parts are slices of the input. Only the list of faults is allocated, which is
//! short however long the message is; folded values and names with escapes are copied on request. All
//! work is linear: no byte is looked at more than a fixed number of times.

mod address;
pub mod agent;
mod fault;
mod header;
mod params;
mod scan;
mod start;
mod uri;
mod via;

pub use address::Address;
pub use fault::Fault;
use fault::Faults;
pub use header::{Header, Headers, Name, unfolded};
use header::{Lines, NAMES};
pub use params::{Parameter, Parameters};
use scan::{Pieces, from, is_word, number, position, split, trim};
pub use start::StartLine;
pub use uri::{Host, Scheme, Uri};
pub use via::Via;

/// The most `Via` values and contacts that are returned.
pub const MAX_VALUES: usize = 64;

/// Why bytes are not SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSip {
    /// Nothing but line ends, spaces or zeros: devices send that to keep NAT open.
    #[error("it is empty, to keep a connection alive")]
    KeepAlive,
    /// It does not begin with a start line of SIP.
    #[error("it does not begin like a SIP message")]
    StartLine,
}

/// The number and method of a request, which its responses repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: &'a [u8],
}

/// A message. Values are `None` if the header is missing, unusable or not wholly known.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The start line.
    pub start: StartLine<'a>,
    /// The topmost `Via`.
    pub via: Option<Via<'a>>,
    /// Who sends it.
    pub from: Option<Address<'a>>,
    /// To whom.
    pub to: Option<Address<'a>>,
    /// The `Call-ID`.
    pub call_id: Option<&'a [u8]>,
    /// Number and method of the request.
    pub cseq: Option<CSeq<'a>>,
    /// The first contact.
    pub contact: Option<Address<'a>>,
    /// For how many seconds the registration of the first contact is asked for.
    pub expires: Option<u32>,
    /// What `Content-Length` says, in bytes.
    pub content_length: Option<u32>,
    /// The body as far as it is there. Empty if the empty line before it is missing.
    pub body: &'a [u8],
    /// Whether the headers end with an empty line.
    pub has_all_headers: bool,
    first: [Option<Header<'a>>; NAMES],
    lines: Lines<'a>,
    faults: Faults,
}

/// Reads the payload of a UDP datagram, or its beginning if `is_cut` says that it had more bytes. Line
/// ends before the message are skipped; the limit of its size is the caller's.
///
/// # Errors
///
/// [`NotSip`] if it cannot be SIP.
pub fn read(payload: &[u8], is_cut: bool) -> Result<Message<'_>, NotSip> {
    // Some devices add zeros to what keeps a connection alive.
    let start = position(payload, |byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0));
    let start = start.ok_or(NotSip::KeepAlive)?;
    let text = from(payload, start);
    let mut faults = Faults::default();
    if position(split(payload, start).0, |byte| !matches!(byte, b'\r' | b'\n')).is_some() {
        faults.add(Fault::StartSpacing);
    }
    let end = position(text, |byte| byte == b'\n');
    let (line, rest) = split(text, end.map_or(text.len(), |end| end + 1));
    let bare = line.strip_suffix(b"\n").unwrap_or(line);
    let start = start::parse(bare, end.is_some() || !is_cut, &mut faults)?;
    let lines = Lines::new(rest, is_cut);
    let mut reader = lines.clone();
    let mut first = [None; NAMES];
    for line in reader.by_ref() {
        match line {
            Ok(header) => keep(&mut first, header, &mut faults),
            Err(fault) => faults.add(fault),
        }
    }
    let has_all_headers = reader.body.is_some();
    let body = reader.body.unwrap_or_default();
    let head = split(text, text.len() - body.len()).0;
    bytes_of_head(head, has_all_headers, is_cut, &mut faults);
    let mut message = Message {
        start,
        via: None,
        from: None,
        to: None,
        call_id: None,
        cseq: None,
        contact: None,
        expires: None,
        content_length: None,
        body,
        has_all_headers,
        first,
        lines,
        faults,
    };
    let knows_all_headers = has_all_headers || !is_cut;
    message.parse_values(knows_all_headers);
    message.measure_body(is_cut);
    if knows_all_headers {
        message.report_missing();
    }
    Ok(message)
}

impl<'a> Message<'a> {
    /// What is wrong with it, each fault once.
    pub fn faults(&self) -> &[Fault] {
        self.faults.as_slice()
    }

    /// The method of a request; `None` for a response.
    pub fn method(&self) -> Option<&'a [u8]> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The first header of this name, also if it is not wholly known.
    pub fn header(&self, name: Name) -> Option<Header<'a>> {
        self.first.get(name as usize).copied().flatten()
    }

    /// All headers.
    pub fn headers(&self) -> Headers<'a> {
        Headers(self.lines.clone())
    }

    /// The `User-Agent` of a request; `None` if it is not wholly known.
    pub fn user_agent(&self) -> Option<Header<'a>> {
        self.whole(Name::UserAgent)
    }

    /// The `Server` of a response; `None` if it is not wholly known.
    pub fn server(&self) -> Option<Header<'a>> {
        self.whole(Name::Server)
    }

    /// All `Via` values from the topmost on, at most [`MAX_VALUES`]; malformed ones are skipped.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> + use<'a> {
        self.values(Name::Via).filter_map(Via::parse)
    }

    /// All contacts, at most [`MAX_VALUES`].
    pub fn contacts(&self) -> impl Iterator<Item = Address<'a>> + use<'a> {
        self.values(Name::Contact).map(Address::parse)
    }

    /// The values of a header that may be a list and may occur more than once.
    fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let headers = self.headers().filter(move |header| is(header, name) && header.is_whole);
        let pieces = headers.flat_map(|header| Pieces::of_list(header.raw));
        pieces.filter(|value| !value.is_empty()).take(MAX_VALUES)
    }

    fn whole(&self, name: Name) -> Option<Header<'a>> {
        self.header(name).filter(|header| header.is_whole)
    }

    /// The value of a header, parsed; what cannot be parsed, or is not sound, is a fault.
    fn value<T>(
        &mut self,
        name: Name,
        parse: impl FnOnce(&'a [u8]) -> (Option<T>, bool),
    ) -> Option<T> {
        let (value, is_sound) = parse(self.whole(name)?.raw);
        if !is_sound || value.is_none() {
            self.faults.add(Fault::Malformed(name));
        }
        value
    }

    fn parse_values(&mut self, knows_all_headers: bool) {
        let address = |value| {
            let address = Address::parse(value);
            (Some(address), address.is_sound)
        };
        let number = |value| (number(value), true);
        self.via = self.value(Name::Via, |value| {
            let via = first_of(value).and_then(Via::parse);
            (via, via.is_some_and(|via| via.is_sound))
        });
        self.from = self.value(Name::From, address);
        self.to = self.value(Name::To, address);
        self.contact = self.value(Name::Contact, |value| {
            let contact = first_of(value).map(Address::parse);
            (contact, contact.is_some_and(|contact| contact.is_sound))
        });
        self.call_id = self.value(Name::CallId, |value| {
            let is_word = position(value, scan::is_space).is_none();
            (Some(value).filter(|value| !value.is_empty()), is_word)
        });
        self.cseq = self.value(Name::CSeq, |value| (cseq(value), true));
        self.content_length = self.value(Name::ContentLength, number);
        let general = self.value(Name::Expires, number);
        let own = self.contact.and_then(|contact| contact.parameters.value("expires"));
        self.expires = match own {
            Some(own) => self.value(Name::Contact, |_| number(own)),
            // A contact that is not known yet may say something else.
            None => general.filter(|_| knows_all_headers || self.contact.is_some()),
        };
        if let (Some(method), Some(cseq)) = (self.method(), self.cseq)
            && method != cseq.method
        {
            self.faults.add(Fault::OtherMethod);
        }
    }

    fn measure_body(&mut self, is_cut: bool) {
        let length = self.content_length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|_| self.has_all_headers) else {
            return;
        };
        match self.body.get(..length) {
            Some(body) if body.len() < self.body.len() => {
                self.faults.add(Fault::BodyTooLong);
                self.body = body;
            }
            None if !is_cut => self.faults.add(Fault::BodyTooShort),
            _ => {}
        }
    }

    fn report_missing(&mut self) {
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            if self.header(name).is_none() {
                self.faults.add(Fault::Missing(name));
            }
        }
    }
}

fn keep<'a>(first: &mut [Option<Header<'a>>; NAMES], header: Header<'a>, faults: &mut Faults) {
    let Some(name) = Name::of(header.name) else {
        return;
    };
    match first.get_mut(name as usize) {
        Some(place @ None) => *place = Some(header),
        _ if !name.is_repeatable() => faults.add(Fault::Repeated(name)),
        _ => {}
    }
}

fn is(header: &Header<'_>, name: Name) -> bool {
    Name::of(header.name) == Some(name)
}

/// Faults of start line and headers as a whole.
fn bytes_of_head(head: &[u8], is_ended: bool, is_cut: bool, faults: &mut Faults) {
    let (mut before, mut is_after_return) = (0, false);
    for byte in head {
        match *byte {
            b'\n' if before != b'\r' => faults.add(Fault::LineFeedOnly),
            0 => faults.add(Fault::Zero),
            _ => {}
        }
        if is_after_return && *byte != b'\n' {
            faults.add(Fault::LoneReturn);
        }
        is_after_return = *byte == b'\r';
        before = *byte;
    }
    if is_cut || is_ended {
        return;
    }
    faults.add(Fault::NoEmptyLine);
    if before != b'\n' {
        faults.add(Fault::NoLineEnd);
    }
}

/// The first value of a list that is not empty.
fn first_of(list: &[u8]) -> Option<&[u8]> {
    Pieces::of_list(list).find(|value| !value.is_empty())
}

fn cseq(value: &[u8]) -> Option<CSeq<'_>> {
    let end = position(value, scan::is_space)?;
    let (digits, method) = split(value, end);
    let (number, method) = (number(digits)?, trim(method));
    (number < 1 << 31 && is_word(method)).then_some(CSeq { number, method })
}

#[cfg(test)]
mod tests;
