//! Names and numbers of a DNS message.

/// The longest name in bytes, as it is sent (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// The longest label.
const MAX_LABEL: usize = 63;

/// Appends a name in wire format. `None` if it is not a valid name.
pub(super) fn push_name(packet: &mut Vec<u8>, name: &str) -> Option<()> {
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() + 2 > MAX_NAME {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > MAX_LABEL || !label.bytes().all(is_allowed) {
            return None;
        }
        packet.push(length);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    Some(())
}

/// Whether a byte may be in a label: the letters of host names and of `_sip`. Other bytes are legal in
/// DNS, but not needed here, and they would be printed.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Reads a message from its beginning, never beyond its end.
pub(super) struct Reader<'a> {
    /// The message up to the end of the part that is read: compressed names point into it.
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(packet: &'a [u8]) -> Reader<'a> {
        Reader { packet, at: 0 }
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes = self.packet.get(self.at..)?.first_chunk::<2>()?;
        self.at += 2;
        Some(u16::from_be_bytes(*bytes))
    }

    /// The next bytes, as many as the array has.
    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.packet.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*bytes)
    }

    /// The next text: a byte with its length, and so many bytes.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let [length] = self.bytes()?;
        let end = self.at.checked_add(usize::from(length))?;
        let text = self.packet.get(self.at..end)?;
        self.at = end;
        Some(text)
    }

    /// Whether everything is read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.packet.len()
    }

    /// A reader for the next `length` bytes; this one continues after them.
    pub(super) fn part(&mut self, length: usize) -> Option<Reader<'a>> {
        let end = self.at.checked_add(length)?;
        let part = Reader { packet: self.packet.get(..end)?, at: self.at };
        self.at = end;
        Some(part)
    }

    /// A name in lower case, without the trailing dot.
    ///
    /// A pointer must lead to a position before the labels it continues, so that pointers cannot form a
    /// loop; the length of the whole name is limited too.
    pub(super) fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut at = self.at;
        let mut begins = at;
        let mut is_elsewhere = false;
        loop {
            let length = *self.packet.get(at)?;
            let next = at + 1;
            match length {
                0 => {
                    if !is_elsewhere {
                        self.at = next;
                    }
                    return Some(name);
                }
                0xc0.. => {
                    let low = *self.packet.get(next)?;
                    if !is_elsewhere {
                        self.at = next + 1;
                    }
                    is_elsewhere = true;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= begins {
                        return None;
                    }
                    (at, begins) = (target, target);
                }
                64.. => return None,
                _ => {
                    let label = self.packet.get(next..next + usize::from(length))?;
                    if !label.iter().copied().all(is_allowed) {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                    if name.len() + 2 > MAX_NAME {
                        return None;
                    }
                    at = next + usize::from(length);
                }
            }
        }
    }
}
