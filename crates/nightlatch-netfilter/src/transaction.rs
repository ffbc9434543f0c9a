//! Changes of elements: many sets, one atomic transaction.

use std::iter;

use crate::batch::{Batch, BatchError};
use crate::constants::{F_CREATE, element as e, nft};
use crate::element::{self, Element, Key, Kind, RawKey, Set};
use crate::netlink::{Netlink, NetlinkError, Refusal};
use crate::wire::{Attributes, Buffer, Open};

/// A list of elements is a nested attribute, whose length has 16 bits. Leaves room for one more
/// element with two chain names of the greatest length.
const LIST_LIMIT: usize = 60_000;

/// From how many bytes on monitors pause: some thousand elements.
const LARGE: usize = 64 * 1024;

/// Changes of elements that the kernel carries out all or none, in the order given.
///
/// No packet sees a part of them. Nothing is sent before [`commit`](Transaction::commit);
/// dropping the transaction forgets it.
#[derive(Debug)]
#[must_use = "nothing happens before commit"]
pub struct Transaction<'a> {
    netlink: &'a mut Netlink,
    batch: Batch,
    steps: Vec<Step>,
    wrong: Option<NetlinkError>,
    /// Whether the kernel certainly counts it as a change.
    counts: bool,
}

/// From which message on the batch does what to which set.
#[derive(Debug)]
struct Step {
    first_sequence: u32,
    verb: Verb,
    set: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Empty,
    Add,
    Delete,
}

impl Netlink {
    /// Begins a transaction.
    pub fn transaction(&mut self) -> Transaction<'_> {
        let (batch, steps) = (Batch::begin(self), Vec::new());
        Transaction { batch, netlink: self, steps, wrong: None, counts: false }
    }
}

impl Transaction<'_> {
    /// Empties a set.
    pub fn flush(&mut self, set: &Set) -> &mut Self {
        let message = self.open(Verb::Empty, set);
        self.batch.buffer.close_message(message);
        self
    }

    /// Adds elements.
    ///
    /// Ranges must not overlap each other or those of the set. Ascending order is fastest;
    /// what is out of order is sorted here, at the cost of memory. An element that is there
    /// already stays as it is, timeout and all (kernels from 6.12 on take the new timeout): to
    /// renew one, `remove` it first in the same transaction.
    pub fn add<I>(&mut self, set: &Set, elements: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<Element>,
    {
        self.write(Verb::Add, set, elements)
    }

    /// Deletes elements, which must be there: one that is absent fails the transaction. Only the
    /// keys count.
    pub fn delete<I>(&mut self, set: &Set, elements: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<Element>,
    {
        self.write(Verb::Delete, set, elements)
    }

    /// Deletes elements that may be absent, such as those that may run out at any moment. For
    /// sets of single keys.
    ///
    /// Adds each before deleting it, as kernels before 6.3 have no other way; so a set with a
    /// `size` needs room for those that are absent.
    pub fn remove<I>(&mut self, set: &Set, elements: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<Element>,
        I::IntoIter: Clone,
    {
        let elements = elements.into_iter();
        self.write(Verb::Add, set, elements.clone()).write(Verb::Delete, set, elements)
    }

    /// How many bytes the transaction has by now.
    pub fn size(&self) -> usize {
        self.batch.buffer.len()
    }

    /// Sends the transaction; afterwards all of it is in force, or none.
    ///
    /// # Errors
    /// [`NetlinkError::WrongElement`] before anything is sent; [`NetlinkError::TooLarge`] where
    /// this process may not send so much at once; [`NetlinkError::Refused`] with set and
    /// element where the kernel said no.
    pub fn commit(self) -> Result<(), NetlinkError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let large = self.batch.buffer.len() > LARGE;
        // How much a set holds that is emptied is not known here.
        let large = large || self.steps.iter().any(|step| step.verb == Verb::Empty);
        let result = if large {
            self.netlink.unheard(|netlink| self.batch.commit(netlink))
        } else {
            self.batch.commit(self.netlink)
        };
        if self.counts && result.is_ok() {
            self.netlink.commits = self.netlink.commits.wrapping_add(1);
        }
        result.map_err(|error| match error {
            BatchError::Refused { sequence, refusal, buffer } => {
                explain(&self.steps, sequence, refusal, &buffer)
            }
            BatchError::Other(error) => error,
        })
    }

    fn write<I>(&mut self, verb: Verb, set: &Set, elements: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<Element>,
    {
        let mut elements = elements.into_iter().map(Into::into);
        let Some(first) = elements.next() else {
            return self;
        };
        let mut list = self.open_list(verb, set);
        let mut previous: Option<Key> = None;
        let elements = &mut iter::once(first).chain(elements);
        while let Some(element) = elements.next() {
            let sorted = !matches!(set.kind(), Kind::Ranges(_))
                || previous.is_none_or(|previous| previous <= element.key);
            if sorted {
                previous = Some(element.key);
                list = self.write_one(verb, set, list, &element);
                continue;
            }
            let mut rest: Vec<Element> = iter::once(element).chain(elements).collect();
            rest.sort_unstable_by_key(|element| element.key);
            for element in rest {
                list = self.write_one(verb, set, list, &element);
            }
            break;
        }
        self.close_list(list);
        self
    }

    fn write_one(&mut self, verb: Verb, set: &Set, list: List, element: &Element) -> List {
        if !element::fits(set.kind(), &element.key) {
            self.wrong.get_or_insert_with(|| NetlinkError::WrongElement {
                set: set.name().to_owned(),
                element: element.key.to_string(),
            });
            return list;
        }
        let list = if self.batch.buffer.len() - list.begins > LIST_LIMIT {
            self.close_list(list);
            self.open_list(verb, set)
        } else {
            list
        };
        // One that lasts a while may be there already, as it is: nothing is changed then, nor by
        // emptying what is empty.
        self.counts |= verb == Verb::Delete || element.timeout.is_none();
        element::write(&mut self.batch.buffer, element, verb == Verb::Delete);
        list
    }

    fn open_list(&mut self, verb: Verb, set: &Set) -> List {
        let message = self.open(verb, set);
        let elements = self.batch.buffer.open(e::LIST_ELEMENTS);
        List { message, elements, begins: self.batch.buffer.len() }
    }

    fn close_list(&mut self, list: List) {
        self.batch.buffer.close(list.elements);
        self.batch.buffer.close_message(list.message);
    }

    fn open(&mut self, verb: Verb, set: &Set) -> Open {
        let (kind, flags) = match verb {
            Verb::Add => (nft::NEWSETELEM, F_CREATE),
            Verb::Delete | Verb::Empty => (nft::DELSETELEM, 0),
        };
        let message = self.batch.open(self.netlink, kind, flags);
        self.batch.buffer.text(e::LIST_TABLE, set.table());
        self.batch.buffer.text(e::LIST_SET, set.name());
        let begun = self.steps.last().is_some_and(|step| step.verb == verb && step.set == *set);
        if !begun {
            self.steps.push(Step {
                first_sequence: self.batch.last_sequence(),
                verb,
                set: set.clone(),
            });
        }
        message
    }
}

/// A message with a list of elements being written.
#[derive(Clone, Copy)]
struct List {
    message: Open,
    elements: Open,
    begins: usize,
}

/// Says which set and, where the kernel told, which element was refused.
fn explain(steps: &[Step], sequence: u32, refusal: Refusal, buffer: &Buffer) -> NetlinkError {
    let step =
        steps.iter().rev().find(|step| sequence.wrapping_sub(step.first_sequence) < u32::MAX / 2);
    let Some(Step { verb, set, .. }) = step else {
        return refusal.into_error("change the ruleset");
    };
    let element = buffer.message(sequence).and_then(|message| {
        // The offset counts from the netlink header, which is 16 bytes before the body.
        let at = refusal.offset?.checked_sub(16)?;
        let attribute = Attributes(message.body.get(at..)?).into_iter().next()?;
        element::read(set.kind(), attribute.nested())
    });
    let element = element.map(|raw| match (raw.key, set.kind()) {
        (RawKey::Whole(key), _) => format!(" at {key}"),
        (RawKey::Start(number), Kind::Ranges(family)) => {
            format!(" at the range from {}", nightlatch_parse::address::from_number(family, number))
        }
        (RawKey::End(number), Kind::Ranges(family)) => format!(
            " at the range up to before {}",
            nightlatch_parse::address::from_number(family, number)
        ),
        _ => String::new(),
    });
    let verb = match verb {
        Verb::Empty => "empty the set",
        Verb::Add => "add to the set",
        Verb::Delete => "delete from the set",
    };
    let (table, name) = (set.table(), set.name());
    refusal.into_error(format!(
        "{verb} \"{name}\" of the table \"{table}\"{}",
        element.unwrap_or_default()
    ))
}
