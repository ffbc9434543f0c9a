//! The export format of the journal (`journalctl -o export`), as it arrives: each record is fields and an empty
//! line, a field is `NAME=value` or, for any bytes, `NAME`, its length and the bytes.
//!
//! Whoever writes into the journal chooses its messages, but not the fields whose names begin with `_`: those
//! are what the journal itself knows of the writer.

use crate::log::MAX_LINE;

/// The longest value of a field but the message that is kept, in bytes.
const MAX_VALUE: usize = 4096;
/// The longest name that is kept of a field.
const MAX_NAME: usize = 64;

/// A record of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in the journal (`__CURSOR`).
    pub cursor: Vec<u8>,
    /// When it was received, in microseconds since 1970 (`__REALTIME_TIMESTAMP`).
    pub received: Option<u64>,
    /// The unit of the writer (`_SYSTEMD_UNIT`).
    pub unit: Vec<u8>,
    /// The program of the writer (`_EXE`).
    pub program: Vec<u8>,
    /// The name of the writer's process (`_COMM`).
    pub command: Vec<u8>,
    /// The user of the writer (`_UID`).
    pub user: Option<u32>,
    /// The process of the writer (`_PID`).
    pub process: Option<u32>,
    /// What the writer calls itself (`SYSLOG_IDENTIFIER`).
    pub identifier: Vec<u8>,
    /// The message (`MESSAGE`).
    pub message: Vec<u8>,
    /// Whether something of it is missing: a field was too long, or came twice.
    pub is_damaged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Cursor,
    Received,
    Unit,
    Program,
    Command,
    User,
    Process,
    Identifier,
    Message,
}

impl Field {
    fn of(name: &[u8]) -> Option<Field> {
        Some(match name {
            b"__CURSOR" => Field::Cursor,
            b"__REALTIME_TIMESTAMP" => Field::Received,
            b"_SYSTEMD_UNIT" => Field::Unit,
            b"_EXE" => Field::Program,
            b"_COMM" => Field::Command,
            b"_UID" => Field::User,
            b"_PID" => Field::Process,
            b"SYSLOG_IDENTIFIER" => Field::Identifier,
            b"MESSAGE" => Field::Message,
            _ => return None,
        })
    }

    fn bit(self) -> u16 {
        1 << (self as u8)
    }

    fn longest(self) -> usize {
        if self == Field::Message { MAX_LINE } else { MAX_VALUE }
    }
}

/// What is read next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A name, up to `=` or the end of the line.
    #[default]
    Name,
    /// A value, up to the end of the line.
    Value(Option<Field>),
    /// The eight bytes of a length.
    Length(Option<Field>),
    /// So many bytes of a value.
    Bytes(Option<Field>, u64),
    /// The end of the line behind them.
    End(Option<Field>),
}

/// Reads records from bytes as they arrive, in whatever parts.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    state: State,
    record: Record,
    /// The fields that the record has.
    seen: u16,
    /// What is kept of the name, length or value that is being read.
    held: Vec<u8>,
    /// Whether not all of it is kept.
    is_cut: bool,
}

impl Reader {
    /// Takes bytes in, and shows each record that is complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut record: impl FnMut(&Record)) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Name => self.name(bytes, &mut record),
                State::Value(field) => self.value(bytes, field),
                State::Length(field) => self.length(bytes, field),
                State::Bytes(field, left) => self.bytes(bytes, field, left),
                State::End(field) => {
                    self.finish(field);
                    bytes.get(1..).unwrap_or_default()
                }
            };
        }
    }

    /// How many bytes are held, at most [`MAX_LINE`] and a little.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn name<'a>(&mut self, bytes: &'a [u8], record: &mut impl FnMut(&Record)) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|byte| matches!(byte, b'=' | b'\n')) else {
            self.hold(bytes, MAX_NAME);
            return &[];
        };
        let (name, rest) = bytes.split_at(end);
        self.hold(name, MAX_NAME);
        let field = Field::of(&self.held).filter(|_| !self.is_cut);
        let is_empty = self.held.is_empty();
        self.release();
        match rest.first() {
            Some(b'=') => self.state = State::Value(field),
            _ if is_empty => self.end_record(record),
            _ => self.state = State::Length(field),
        }
        rest.get(1..).unwrap_or_default()
    }

    fn value<'a>(&mut self, bytes: &'a [u8], field: Option<Field>) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (value, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.hold(value, field.map_or(0, Field::longest));
        if end.is_some() {
            self.finish(field);
        }
        rest.get(1..).unwrap_or_default()
    }

    fn length<'a>(&mut self, bytes: &'a [u8], field: Option<Field>) -> &'a [u8] {
        let missing = 8_usize.saturating_sub(self.held.len());
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        self.held.extend_from_slice(part);
        if let Ok(length) = <[u8; 8]>::try_from(self.held.as_slice()) {
            self.release();
            self.state = match u64::from_le_bytes(length) {
                0 => State::End(field),
                length => State::Bytes(field, length),
            };
        }
        rest
    }

    fn bytes<'a>(&mut self, bytes: &'a [u8], field: Option<Field>, left: u64) -> &'a [u8] {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (part, rest) = bytes.split_at(now);
        self.hold(part, field.map_or(0, Field::longest));
        self.state = match left.saturating_sub(u64::try_from(now).unwrap_or(u64::MAX)) {
            0 => State::End(field),
            left => State::Bytes(field, left),
        };
        rest
    }

    /// Keeps what fits.
    fn hold(&mut self, bytes: &[u8], longest: usize) {
        let room = longest.saturating_sub(self.held.len());
        self.is_cut |= bytes.len() > room;
        self.held.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    fn release(&mut self) {
        self.held.clear();
        self.is_cut = false;
    }

    /// A field is complete.
    fn finish(&mut self, field: Option<Field>) {
        self.state = State::Name;
        if let Some(field) = field {
            self.record.is_damaged |= self.is_cut || self.seen & field.bit() != 0;
            self.seen |= field.bit();
            let number = || std::str::from_utf8(&self.held).ok()?.parse().ok();
            match field {
                Field::Cursor => self.record.cursor.clone_from(&self.held),
                Field::Received => self.record.received = number(),
                Field::Unit => self.record.unit.clone_from(&self.held),
                Field::Program => self.record.program.clone_from(&self.held),
                Field::Command => self.record.command.clone_from(&self.held),
                Field::User => self.record.user = number().and_then(|it| u32::try_from(it).ok()),
                Field::Process => {
                    self.record.process = number().and_then(|it| u32::try_from(it).ok());
                }
                Field::Identifier => self.record.identifier.clone_from(&self.held),
                Field::Message => self.record.message.clone_from(&self.held),
            }
        }
        self.release();
    }

    fn end_record(&mut self, record: &mut impl FnMut(&Record)) {
        if self.seen != 0 {
            record(&self.record);
        }
        self.record = Record::default();
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], part: usize) -> Vec<Record> {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for bytes in text.chunks(part) {
            reader.feed(bytes, |record| found.push(record.clone()));
            assert!(reader.held() <= MAX_LINE);
        }
        found
    }

    fn check(text: &[u8], expected: &[Record]) {
        for part in [1, 2, 7, 4096] {
            assert_eq!(all(text, part), expected, "in parts of {part}");
        }
    }

    fn failed() -> Record {
        Record {
            cursor: b"s=1;i=2".to_vec(),
            received: Some(1_796_069_833_505_000),
            unit: b"ssh.service".to_vec(),
            program: b"/usr/sbin/sshd".to_vec(),
            command: b"sshd".to_vec(),
            user: Some(0),
            process: Some(4711),
            identifier: b"sshd".to_vec(),
            message: b"Failed password for root from 192.0.2.1 port 4000 ssh2".to_vec(),
            is_damaged: false,
        }
    }

    const TEXT: &[u8] =
        b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1796069833505000\n_UID=0\n_PID=4711\n\
        PRIORITY=6\n_SYSTEMD_UNIT=ssh.service\n_EXE=/usr/sbin/sshd\n_COMM=sshd\nSYSLOG_IDENTIFIER=sshd\n\
        MESSAGE=Failed password for root from 192.0.2.1 port 4000 ssh2\n\n";

    #[test]
    fn records_in_any_parts() {
        check(TEXT, &[failed()]);
        check(&[TEXT, TEXT].concat(), &[failed(), failed()]);
        check(b"\n\n\n", &[]);
        let empty = Record { message: Vec::new(), ..failed() };
        let text = String::from_utf8(TEXT.to_vec()).unwrap();
        let (head, _) = text.split_once("MESSAGE=").unwrap();
        check(format!("{head}MESSAGE=\n\n").as_bytes(), &[empty]);
    }

    /// A message with line breaks comes with its length: nothing in it is a field.
    #[test]
    fn a_message_cannot_add_fields() {
        let message = b"x\n_UID=0\n\n_SYSTEMD_UNIT=ssh.service\nMESSAGE=Failed".to_vec();
        let mut text = b"_UID=1000\nMESSAGE\n".to_vec();
        text.extend_from_slice(&u64::try_from(message.len()).unwrap().to_le_bytes());
        text.extend_from_slice(&message);
        text.extend_from_slice(b"\n\n");
        check(&text, &[Record { user: Some(1000), message, ..Record::default() }]);
        // A field that nobody asked for, too.
        let text = [b"FOO\n".as_slice(), &3_u64.to_le_bytes(), b"a\nb\n", TEXT].concat();
        check(&text, &[failed()]);
    }

    #[test]
    fn what_is_too_long_or_comes_twice_is_damaged() {
        let mut twice = TEXT.to_vec();
        let end = twice.len() - 1;
        twice.splice(end..end, b"MESSAGE=Accepted\n".iter().copied());
        let expected = Record { message: b"Accepted".to_vec(), is_damaged: true, ..failed() };
        check(&twice, &[expected]);
        let long = [b"MESSAGE=".as_slice(), &vec![b'x'; MAX_LINE + 1], b"\n\n"].concat();
        let found = all(&long, 1000);
        assert!(found.iter().all(|record| record.is_damaged && record.message.len() == MAX_LINE));
        assert_eq!(found.len(), 1);
    }

    /// A length of many terabytes is only a claim.
    #[test]
    fn a_claimed_length_costs_nothing() {
        let text =
            [b"MESSAGE\n".as_slice(), &u64::MAX.to_le_bytes(), &vec![b'x'; 100_000]].concat();
        assert_eq!(all(&text, 4096), []);
    }
}
