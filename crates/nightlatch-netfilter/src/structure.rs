//! The structure of a table, and a digest that tells whether anybody changed it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::constants::{
    self as c, FAMILY_INET, chain, element as e, flowtable, nft, object, rule, set, table,
};
use crate::inventory::{BaseChain, TableInfo, read_base_chain, read_table};
use crate::netlink::{Netlink, NetlinkError};
use crate::wire::{Attribute, Attributes, Message};

const DOING: &str = "reading the structure of a table";

/// The structure of a table: all but the elements of its named sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// SHA-256 over everything in it that only a program can change: the table's flags, chains
    /// with hook, priority and policy, rules in their order, declarations of sets, elements of
    /// sets inside rules, limits of quotas. What packets and time change (counters, meters, use
    /// counts) and what the kernel numbers (handles) is left out. Equal only for the same load:
    /// the same text loaded anew may give another digest.
    pub digest: [u8; 32],
    /// The table itself.
    pub table: TableInfo,
    /// Its chains in order of their names.
    pub chains: Vec<Chain>,
    /// The names of its named sets and maps, sorted.
    pub sets: Vec<String>,
    /// The kernel's count of changes at which it was read.
    pub generation: u32,
    /// What the digest is made of, by kind and name.
    parts: Parts,
}

/// The digest of each part of a table, by its kind and name.
type Parts = BTreeMap<(&'static str, String), [u8; 32]>;

impl Structure {
    /// Whether this is `earlier` without some of its chains and sets: what is here was there, just
    /// so, and nothing is missing but what `may_go` says yes to, by its name. Sets inside rules go
    /// with their rules.
    pub fn is_left_of(&self, earlier: &Structure, may_go: impl Fn(&str) -> bool) -> bool {
        self.parts.iter().all(|(part, digest)| earlier.parts.get(part) == Some(digest))
            && earlier
                .parts
                .keys()
                .filter(|part| !self.parts.contains_key(part))
                .all(|(_, name)| name.starts_with("__") || may_go(name))
    }
}

/// A chain of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; `None` for a chain that only rules call.
    pub base: Option<BaseChain>,
    /// How many rules it has.
    pub rules: u32,
    /// The sets in which its rules look something up.
    pub looks_in: BTreeSet<String>,
}

impl Netlink {
    /// The structure of the table `inet NAME`; `None` where there is no such table.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] without `CAP_NET_ADMIN`; [`NetlinkError::Restless`].
    pub fn structure(&mut self, name: &str) -> Result<Option<Structure>, NetlinkError> {
        self.undisturbed(DOING, |netlink| {
            let before = netlink.generation()?;
            let mut collector = Collector::new(name);
            let found = netlink.get(
                nft::GETTABLE,
                DOING,
                |buffer| buffer.text(table::NAME, name),
                |message| collector.table(&message),
            );
            match found {
                Err(error) if error.is_missing() => return Ok(Some(None)),
                found => found?,
            }
            let consistent = netlink.collect(&mut collector)?;
            // The parts belong together only where nothing was changed from first to last.
            if !consistent || netlink.generation()? != before {
                return Ok(None);
            }
            Ok(Some(collector.finish(before)))
        })
    }

    fn collect(&mut self, collector: &mut Collector) -> Result<bool, NetlinkError> {
        let mut consistent = true;
        for (kind, read) in Collector::READERS {
            let name = collector.name.clone();
            consistent &= self.dump(
                kind,
                FAMILY_INET,
                DOING,
                |buffer| buffer.text(c::TABLE, &name),
                |message| {
                    // Not every kernel filters what it lists.
                    let table = message.attributes().find(c::TABLE);
                    if table.is_some_and(|t| t.text_bytes() == name.as_bytes()) {
                        read(collector, message);
                    }
                },
            )?;
        }
        for set in collector.constant.clone() {
            let mut elements = Vec::new();
            let listed = self.dump(
                nft::GETSETELEM,
                FAMILY_INET,
                DOING,
                |buffer| {
                    buffer.text(e::LIST_TABLE, &collector.name);
                    buffer.text(e::LIST_SET, &set);
                },
                |message| {
                    for element in message.attributes().nested(e::LIST_ELEMENTS) {
                        elements.push(stable(element.nested(), ELEMENT));
                    }
                },
            );
            match listed {
                // Deleted meanwhile: begin anew.
                Err(error) if error.is_missing() => return Ok(false),
                listed => consistent &= listed?,
            }
            // Their order is that of the kernel's hash table.
            elements.sort_unstable();
            collector.note("elements", &set, &elements.concat());
        }
        Ok(consistent)
    }
}

/// What is left of each kind of message for the digest: attributes that only a program changes.
/// New kernels may add others, so these are named rather than those to leave out.
const TABLE: &[u16] = &[table::FLAGS, table::USERDATA, table::OWNER];
const CHAIN: &[u16] =
    &[chain::NAME, chain::HOOK, chain::POLICY, chain::TYPE, chain::FLAGS, chain::USERDATA];
const RULE: &[u16] = &[rule::COMPAT, rule::USERDATA];
const SET: &[u16] = &[
    set::NAME,
    set::FLAGS,
    set::KEY_TYPE,
    set::KEY_LEN,
    set::DATA_TYPE,
    set::DATA_LEN,
    set::POLICY,
    set::DESC,
    set::TIMEOUT,
    set::GC_INTERVAL,
    set::USERDATA,
    set::OBJ_TYPE,
];
const ELEMENT: &[u16] =
    &[e::KEY, e::DATA, e::FLAGS, e::TIMEOUT, e::USERDATA, e::OBJREF, e::KEY_END];
const OBJECT: &[u16] = &[object::NAME, object::TYPE, object::USERDATA];
const FLOWTABLE: &[u16] = &[flowtable::NAME, flowtable::HOOK, flowtable::FLAGS];

/// Gathers a structure from messages.
pub(crate) struct Collector {
    name: String,
    table: Option<TableInfo>,
    chains: BTreeMap<String, Chain>,
    sets: Vec<String>,
    /// The sets whose elements are part of the structure: those inside rules.
    constant: Vec<String>,
    /// By kind and name: what the digest is made of. Sorted, so that only the order of rules
    /// counts.
    parts: BTreeMap<(&'static str, String), Sha256>,
}

/// The request for a list, and what reads its messages.
type Reader = (u16, fn(&mut Collector, &Message<'_>));

impl Collector {
    /// What is listed, and how it is read.
    pub(crate) const READERS: [Reader; 5] = [
        (nft::GETCHAIN, Collector::chain),
        (nft::GETRULE, Collector::rule),
        (nft::GETSET, Collector::set),
        (nft::GETOBJ, Collector::object),
        (nft::GETFLOWTABLE, Collector::flowtable),
    ];

    pub(crate) fn new(name: &str) -> Collector {
        Collector {
            name: name.to_owned(),
            table: None,
            chains: BTreeMap::new(),
            sets: Vec::new(),
            constant: Vec::new(),
            parts: BTreeMap::new(),
        }
    }

    fn table(&mut self, message: &Message<'_>) {
        self.table = read_table(message.family(), message.attributes());
        self.note("table", "", &stable(message.attributes(), TABLE));
    }

    fn chain(&mut self, message: &Message<'_>) {
        let attributes = message.attributes();
        let name = text(attributes, chain::NAME);
        self.note("chain", &name, &stable(attributes, CHAIN));
        let base = read_base_chain(message.family(), attributes);
        let looks_in = BTreeSet::new();
        let chain = Chain { name: name.clone(), base, rules: 0, looks_in };
        self.chains.insert(name, chain);
    }

    fn rule(&mut self, message: &Message<'_>) {
        let attributes = message.attributes();
        let chain = text(attributes, rule::CHAIN);
        let mut bytes = stable(attributes, RULE);
        let mut looks_in = BTreeSet::new();
        for expression in attributes.nested(rule::EXPRESSIONS) {
            bytes.extend(stable_expression(expression.nested()));
            looks_in.extend(set_looked_in(expression.nested()));
        }
        self.note("rule", &chain, &bytes);
        if let Some(chain) = self.chains.get_mut(&chain) {
            chain.rules += 1;
            chain.looks_in.extend(looks_in);
        }
    }

    fn set(&mut self, message: &Message<'_>) {
        let attributes = message.attributes();
        let name = text(attributes, set::NAME);
        let mut bytes = stable(attributes, SET);
        if let Some(expression) = attributes.find(set::EXPR) {
            bytes.extend(stable_expression(expression.nested()));
        }
        for expression in attributes.nested(set::EXPRESSIONS) {
            bytes.extend(stable_expression(expression.nested()));
        }
        self.note("set", &name, &bytes);
        let flags = attributes.find(set::FLAGS).and_then(|a| a.u32());
        let flags = flags.unwrap_or(0);
        if flags & (set::FLAG_ANONYMOUS | set::FLAG_CONSTANT) != 0 {
            self.constant.push(name.clone());
        }
        if flags & set::FLAG_ANONYMOUS == 0 {
            self.sets.push(name);
        }
    }

    fn object(&mut self, message: &Message<'_>) {
        let attributes = message.attributes();
        let mut bytes = stable(attributes, OBJECT);
        if let Some(data) = attributes.find(object::DATA) {
            match attributes.find(object::TYPE).and_then(|a| a.u32()) {
                Some(object::TYPE_COUNTER) => {}
                Some(object::TYPE_QUOTA) => bytes.extend(stable_quota(data.nested())),
                _ => frame(&mut bytes, &data),
            }
        }
        let kind = attributes.find(object::TYPE).and_then(|a| a.u32());
        let name = format!("{} {}", kind.unwrap_or(0), text(attributes, object::NAME));
        self.note("object", &name, &bytes);
    }

    fn flowtable(&mut self, message: &Message<'_>) {
        let attributes = message.attributes();
        let name = text(attributes, flowtable::NAME);
        self.note("flowtable", &name, &stable(attributes, FLOWTABLE));
    }

    /// Adds a thing to the digest, behind those of the same kind and name.
    fn note(&mut self, kind: &'static str, name: &str, bytes: &[u8]) {
        let part = self.parts.entry((kind, name.to_owned())).or_default();
        part.update(bytes.len().to_be_bytes());
        part.update(bytes);
    }

    pub(crate) fn finish(self, generation: u32) -> Option<Structure> {
        let mut digest = Sha256::new();
        let finished = self.parts.into_iter().map(|(name, part)| (name, part.finalize().into()));
        let parts: Parts = finished.collect();
        for ((kind, name), part) in &parts {
            for text in [kind, name.as_str()] {
                digest.update(text.len().to_be_bytes());
                digest.update(text);
            }
            digest.update(part);
        }
        let mut sets = self.sets;
        sets.sort_unstable();
        Some(Structure {
            digest: digest.finalize().into(),
            table: self.table?,
            chains: self.chains.into_values().collect(),
            sets,
            generation,
            parts,
        })
    }
}

/// The attributes of those numbers, with their lengths.
fn stable(attributes: Attributes<'_>, kinds: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for attribute in attributes {
        if kinds.contains(&attribute.kind) {
            frame(&mut bytes, &attribute);
        }
    }
    bytes
}

/// An expression of a rule without what packets change in it.
fn stable_expression(attributes: Attributes<'_>) -> Vec<u8> {
    let mut bytes = stable(attributes, &[rule::EXPRESSION_NAME]);
    let name = attributes.find(rule::EXPRESSION_NAME);
    if let Some(data) = attributes.find(rule::EXPRESSION_DATA) {
        match name.map(|a| a.text_bytes()).unwrap_or_default() {
            b"counter" | b"last" => {}
            b"quota" => bytes.extend(stable_quota(data.nested())),
            _ => frame(&mut bytes, &data),
        }
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes.splice(0..0, length.to_be_bytes());
    bytes
}

/// The set that a rule's expression asks, where that is what it does.
fn set_looked_in(attributes: Attributes<'_>) -> Option<String> {
    let name = attributes.find(rule::EXPRESSION_NAME)?;
    let data = attributes.find(rule::EXPRESSION_DATA).filter(|_| name.text_bytes() == b"lookup")?;
    data.nested().find(rule::LOOKUP_SET).map(|set| set.text())
}

/// A quota without how much of it is used up.
fn stable_quota(attributes: Attributes<'_>) -> Vec<u8> {
    let mut bytes = stable(attributes, &[rule::QUOTA_BYTES]);
    let flags = attributes.find(rule::QUOTA_FLAGS).and_then(|a| a.u32());
    bytes.extend((flags.unwrap_or(0) & rule::QUOTA_FLAG_INVERT).to_be_bytes());
    bytes
}

fn frame(bytes: &mut Vec<u8>, attribute: &Attribute<'_>) {
    let length = u32::try_from(attribute.payload.len()).unwrap_or(u32::MAX);
    bytes.extend(attribute.kind.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(attribute.payload);
}

fn text(attributes: Attributes<'_>, kind: u16) -> String {
    attributes.find(kind).map(|a| a.text()).unwrap_or_default()
}
