//! Learned state as text, to be saved for a reboot.
//!
//! A JSON array, one element a line. Its first item is the version. Files of older versions have none,
//! and call the set `by`. Items that are not understood are ignored.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Element, Key, LearnedSets, SetSpec};
use crate::time::Time;

/// The version of the format.
const VERSION: u32 = 2;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Damaged(#[from] serde_json::Error);

/// One item.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Element(Row),
    Head { version: u32 },
    Other(IgnoredAny),
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(alias = "by")]
    set: String,
    address: IpAddr,
    #[serde(default, skip_serializing_if = "is_zero")]
    protocol: u8,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    local_port: u16,
    until: Time,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// The sets that are saved, as text.
pub fn write(sets: &LearnedSets, now: Time) -> String {
    let mut text = format!("[{{\"version\":{VERSION}}}");
    for Element { set, key, until } in sets.at(now) {
        let Some(name) = set.saved else { continue };
        let Key { address, protocol, port, local_port } = key;
        let row = Row { set: name.to_owned(), address, protocol, port, local_port, until };
        if let Ok(row) = serde_json::to_string(&row) {
            let _ = write!(text, ",\n{row}");
        }
    }
    text.push_str("]\n");
    text
}

/// Reads a text of [`write()`] or of an older version, for the sets declared.
///
/// # Errors
/// It is not a JSON array, or of a later version.
pub fn read(
    text: &[u8],
    declared: impl Iterator<Item = &'static SetSpec>,
) -> Result<LearnedSets, Damaged> {
    let reader = Reader { declared: declared.filter(|set| set.saved.is_some()).collect() };
    let mut text = serde_json::Deserializer::from_slice(text);
    let sets = text.deserialize_seq(reader)?;
    text.end()?;
    Ok(sets)
}

struct Reader {
    declared: Vec<&'static SetSpec>,
}

impl Reader {
    fn element(&self, row: &Row) -> Option<Element> {
        let set = *self.declared.iter().find(|set| set.saved == Some(row.set.as_str()))?;
        let Row { address, protocol, port, local_port, until, .. } = *row;
        let key = Key { address: address.to_canonical(), protocol, port, local_port };
        set.shape.fits(&key).then_some(Element { set, key, until })
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = LearnedSets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LearnedSets, A::Error> {
        let mut sets = LearnedSets::default();
        while let Some(item) = items.next_element()? {
            match item {
                Item::Head { version } if version > VERSION => {
                    return Err(A::Error::custom(format!("version {version} is not supported")));
                }
                Item::Element(row) => {
                    self.element(&row).into_iter().for_each(|element| {
                        sets.put(element);
                    });
                }
                Item::Head { .. } | Item::Other(_) => {}
            }
        }
        Ok(sets)
    }
}
