//! Netlink messages as bytes: writing them into one growing buffer, and reading them without
//! trusting a length.

/// `NLA_F_NESTED`, and the mask that leaves an attribute's number.
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;
const HEADER: usize = 16;

/// Messages being written, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
}

/// Where a message or nested attribute began, to close it.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Open(usize);

impl Buffer {
    /// An empty buffer; grows as needed.
    pub(crate) fn new() -> Buffer {
        Buffer::default()
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Opens a message: netlink header and `struct nfgenmsg`.
    pub(crate) fn open_message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        family: u8,
        resource: u16,
    ) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        Open(at)
    }

    /// Closes a message: writes its length.
    pub(crate) fn close_message(&mut self, open: Open) {
        let length = u32::try_from(self.bytes.len() - open.0).unwrap_or(u32::MAX);
        self.patch(open.0, &length.to_ne_bytes());
    }

    /// Adds flags to a message written before.
    pub(crate) fn add_flags(&mut self, open: Open, flags: u16) {
        let old: u16 = self
            .bytes
            .get(open.0 + 6..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |bytes| u16::from_ne_bytes(*bytes));
        self.patch(open.0 + 6, &(old | flags).to_ne_bytes());
    }

    /// Opens a nested attribute.
    pub(crate) fn open(&mut self, kind: u16) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        Open(at)
    }

    /// Closes a nested attribute: writes its length, which must stay below 65,536.
    pub(crate) fn close(&mut self, open: Open) {
        let length = u16::try_from(self.bytes.len() - open.0).unwrap_or(u16::MAX);
        self.patch(open.0, &length.to_ne_bytes());
    }

    /// An attribute with bytes, padded to four.
    pub(crate) fn attribute(&mut self, kind: u16, payload: &[u8]) {
        let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute with a 32-bit number in network order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute with a text that ends in a zero.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        let length = u16::try_from(text.len() + 5).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(at..at + value.len()) {
            slot.copy_from_slice(value);
        }
    }
}

/// A message as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// The subsystem in the upper byte, the message type in the lower.
    pub(crate) kind: u16,
    /// `NLM_F_...`.
    pub(crate) flags: u16,
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    /// The netlink port of who caused it.
    pub(crate) port: u32,
    /// All behind the netlink header.
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The family of `struct nfgenmsg`.
    pub(crate) fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or(0)
    }

    /// The attributes behind `struct nfgenmsg`.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(4..).unwrap_or_default())
    }
}

/// The messages of a datagram. Ends at the first that is cut off.
#[derive(Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header: &[u8; HEADER] = self.0.first_chunk()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            body,
        })
    }
}

/// An attribute as received: its number without flags, and its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes nested in it.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes(self.payload)
    }

    /// A 16-bit number in network order.
    pub(crate) fn u16(&self) -> Option<u16> {
        self.payload.first_chunk().map(|b| u16::from_be_bytes(*b))
    }

    /// A 32-bit number in network order.
    pub(crate) fn u32(&self) -> Option<u32> {
        self.payload.first_chunk().map(|b| u32::from_be_bytes(*b))
    }

    /// A 64-bit number in network order.
    pub(crate) fn u64(&self) -> Option<u64> {
        self.payload.first_chunk().map(|b| u64::from_be_bytes(*b))
    }

    /// A text up to its first zero; strange bytes are replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.text_bytes()).into_owned()
    }

    /// The bytes of a text up to its first zero.
    pub(crate) fn text_bytes(&self) -> &'a [u8] {
        self.payload.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// A run of attributes. Ends at the first that is cut off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of a number.
    pub(crate) fn find(self, kind: u16) -> Option<Attribute<'a>> {
        self.into_iter().find(|attribute| attribute.kind == kind)
    }

    /// The attributes nested in the first attribute of a number; none where it is absent.
    pub(crate) fn nested(self, kind: u16) -> Attributes<'a> {
        self.find(kind).map(|a| a.nested()).unwrap_or_default()
    }
}

impl<'a> IntoIterator for Attributes<'a> {
    type Item = Attribute<'a>;
    type IntoIter = AttributeIterator<'a>;

    fn into_iter(self) -> AttributeIterator<'a> {
        AttributeIterator(self.0)
    }
}

/// The attributes one by one.
#[derive(Debug)]
pub(crate) struct AttributeIterator<'a>(&'a [u8]);

impl<'a> Iterator for AttributeIterator<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let [l0, l1, k0, k1] = *self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind: u16::from_ne_bytes([k0, k1]) & KIND_MASK, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = Buffer::new();
        let message = buffer.open_message(0x0a0c, 5, 77, 1, 10);
        buffer.text(1, "nightlatch");
        let nest = buffer.open(3);
        buffer.number(2, 0xc000_0201);
        buffer.attribute(4, &[1, 2, 3]);
        buffer.close(nest);
        buffer.close_message(message);
        buffer.add_flags(message, 0x400);

        let mut messages = Messages(buffer.bytes());
        let message = messages.next().unwrap();
        assert!(messages.next().is_none());
        assert_eq!(
            (message.kind, message.flags, message.sequence, message.family()),
            (0x0a0c, 0x405, 77, 1)
        );
        assert_eq!(message.attributes().find(1).unwrap().text(), "nightlatch");
        let nested = message.attributes().nested(3);
        assert_eq!(nested.find(2).unwrap().u32(), Some(0xc000_0201));
        assert_eq!(nested.find(4).unwrap().payload, [1, 2, 3]);
        assert!(nested.find(5).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut seen = 0;
            for message in Messages(&bytes) {
                seen += 1 + message.attributes().into_iter().count();
            }
            seen += Attributes(&bytes).into_iter().flat_map(|a| a.nested()).count();
            prop_assert!(seen <= bytes.len());
        }
    }
}
