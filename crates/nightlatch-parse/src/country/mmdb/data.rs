//! The data section: values with a type and a size each, and pointers to values.

use std::cell::Cell;

use super::super::CountryCode;

/// Pointers that may follow each other; a sound database has one.
const MAX_POINTERS: usize = 4;
/// Values that may be skipped for every byte of data, all records together. Records of cities
/// have some hundred values before the country.
const WORK_PER_BYTE: u64 = 16;

/// A data section.
pub(super) struct Data<'a> {
    bytes: &'a [u8],
    /// How many values may still be skipped: many records that point to one long value must not
    /// cost more than the file's size justifies.
    work: Cell<u64>,
}

/// The head of a value.
#[derive(Clone, Copy)]
struct Head {
    kind: Kind,
    /// Bytes of the value, or its number of entries.
    size: usize,
    /// Where it begins behind the head.
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pointer,
    Text,
    Unsigned,
    Map,
    Array,
    Bool,
    /// Anything else that has `size` bytes.
    Other,
}

/// The value that cannot be read.
#[derive(Debug)]
pub(super) struct Damaged;

/// What damaged data is called in a message.
const DAMAGED: &str = "its data is damaged";

impl<'a> Data<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Data<'a> {
        let work = bytes.len() as u64 * WORK_PER_BYTE + 1024;
        Data { bytes, work: Cell::new(work) }
    }

    /// The country of the record at `at`: `country.iso_code`, `country_code`, or `country` where
    /// that is a code itself.
    pub(super) fn country(&self, at: usize) -> Result<Option<CountryCode>, &'static str> {
        self.country_or_damage(at).map_err(|Damaged| DAMAGED)
    }

    /// The number at a key of the map at `at`.
    pub(super) fn number_of(&self, at: usize, key: &[u8]) -> Option<u64> {
        let value = self.value(self.get(at, key).ok()??).ok()?;
        if value.kind != Kind::Unsigned || value.size > 8 {
            return None;
        }
        self.part(value.at, value.size).ok().map(number_at)
    }

    /// The text at a key of the map at `at`.
    pub(super) fn text_of(&self, at: usize, key: &[u8]) -> Option<&'a [u8]> {
        let value = self.value(self.get(at, key).ok()??).ok()?;
        if value.kind != Kind::Text {
            return None;
        }
        self.part(value.at, value.size).ok()
    }

    fn country_or_damage(&self, at: usize) -> Result<Option<CountryCode>, Damaged> {
        if let Some(country) = self.get(at, b"country")? {
            let code = match self.value(country)?.kind {
                Kind::Map => self.get(country, b"iso_code")?,
                _ => Some(country),
            };
            if let Some(code) = code.map(|code| self.code(code)).transpose()?.flatten() {
                return Ok(Some(code));
            }
        }
        let code = self.get(at, b"country_code")?;
        Ok(code.map(|code| self.code(code)).transpose()?.flatten())
    }

    fn code(&self, at: usize) -> Result<Option<CountryCode>, Damaged> {
        let value = self.value(at)?;
        if value.kind != Kind::Text {
            return Ok(None);
        }
        Ok(CountryCode::of_table(self.part(value.at, value.size)?))
    }

    /// Where the value of a key of the map at `at` is; `None` where it has none, or is no map.
    fn get(&self, at: usize, wanted: &[u8]) -> Result<Option<usize>, Damaged> {
        let map = self.value(at)?;
        if map.kind != Kind::Map {
            return Ok(None);
        }
        let mut place = map.at;
        for _ in 0..map.size {
            let key = self.value(place)?;
            let value = self.skip(place)?;
            if key.kind == Kind::Text && self.part(key.at, key.size)? == wanted {
                return Ok(Some(value));
            }
            place = self.skip(value)?;
        }
        Ok(None)
    }

    /// The head of the value at `at`, or of the one that a pointer there leads to.
    fn value(&self, mut at: usize) -> Result<Head, Damaged> {
        for _ in 0..=MAX_POINTERS {
            let head = self.head(at)?;
            if head.kind != Kind::Pointer {
                return Ok(head);
            }
            at = head.size;
        }
        Err(Damaged)
    }

    /// Where the value behind the one at `at` begins.
    fn skip(&self, mut at: usize) -> Result<usize, Damaged> {
        let mut values: u64 = 1;
        while values > 0 {
            values -= 1;
            let work = self.work.get().checked_sub(1).ok_or(Damaged)?;
            self.work.set(work);
            let head = self.head(at)?;
            at = match head.kind {
                Kind::Pointer | Kind::Bool => head.at,
                Kind::Map => {
                    values += head.size as u64 * 2;
                    head.at
                }
                Kind::Array => {
                    values += head.size as u64;
                    head.at
                }
                Kind::Text | Kind::Unsigned | Kind::Other => {
                    head.at.checked_add(head.size).ok_or(Damaged)?
                }
            };
        }
        Ok(at)
    }

    fn head(&self, at: usize) -> Result<Head, Damaged> {
        let control = self.part(at, 1)?.first().copied().ok_or(Damaged)?;
        let mut at = at + 1;
        if control >> 5 == 1 {
            return self.pointer(control, at);
        }
        let kind = match control >> 5 {
            0 => {
                let extended = self.part(at, 1)?.first().copied().ok_or(Damaged)?;
                at += 1;
                match extended {
                    // The numbers of types go on behind 7.
                    2 | 3 => Kind::Unsigned,
                    4 => Kind::Array,
                    7 => Kind::Bool,
                    1 | 8 => Kind::Other,
                    _ => return Err(Damaged),
                }
            }
            2 => Kind::Text,
            5 | 6 => Kind::Unsigned,
            7 => Kind::Map,
            _ => Kind::Other,
        };
        let (base, more) = match control & 31 {
            29 => (29, 1),
            30 => (285, 2),
            31 => (65_821, 3),
            size => (usize::from(size), 0),
        };
        let more_size = usize::try_from(number_at(self.part(at, more)?)).map_err(|_| Damaged)?;
        Ok(Head { kind, size: base + more_size, at: at + more })
    }

    /// A pointer; its target is kept as the size.
    fn pointer(&self, control: u8, at: usize) -> Result<Head, Damaged> {
        let (base, length, high) = match (control >> 3) & 3 {
            0 => (0, 1, control & 7),
            1 => (2048, 2, control & 7),
            2 => (526_336, 3, control & 7),
            _ => (0, 4, 0),
        };
        let low = number_at(self.part(at, length)?);
        let target = base + ((u64::from(high) << (8 * length)) | low);
        Ok(Head {
            kind: Kind::Pointer,
            size: usize::try_from(target).map_err(|_| Damaged)?,
            at: at + length,
        })
    }

    fn part(&self, at: usize, length: usize) -> Result<&'a [u8], Damaged> {
        let end = at.checked_add(length).ok_or(Damaged)?;
        self.bytes.get(at..end).ok_or(Damaged)
    }
}

/// The number of up to eight bytes in network order.
pub(super) fn number_at(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
