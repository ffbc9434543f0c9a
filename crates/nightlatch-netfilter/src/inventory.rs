//! What there is on the machine: tables, base chains, counters; and taking our table away.

use std::collections::BTreeMap;
use std::fmt;

use crate::batch::{Batch, BatchError};
use crate::constants::{self as c, FAMILY_INET, FAMILY_UNSPEC, chain, nft, object, table};
use crate::netlink::{Netlink, NetlinkError};
use crate::wire::{Attributes, Message};

/// The family of a table, as `nft` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// `inet`: IPv4 and IPv6.
    Inet,
    /// `ip`: IPv4.
    Ip,
    /// `ip6`: IPv6.
    Ip6,
    /// `arp`.
    Arp,
    /// `bridge`.
    Bridge,
    /// `netdev`: before the network layer.
    Netdev,
    /// Any other, by its `NFPROTO_` number.
    Other(u8),
}

impl TableFamily {
    /// `NFPROTO_...` of `linux/netfilter.h`.
    pub(crate) fn from_number(number: u8) -> TableFamily {
        match number {
            1 => TableFamily::Inet,
            2 => TableFamily::Ip,
            3 => TableFamily::Arp,
            5 => TableFamily::Netdev,
            7 => TableFamily::Bridge,
            10 => TableFamily::Ip6,
            other => TableFamily::Other(other),
        }
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableFamily::Inet => "inet",
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
            TableFamily::Arp => "arp",
            TableFamily::Bridge => "bridge",
            TableFamily::Netdev => "netdev",
            TableFamily::Other(number) => return write!(f, "family {number}"),
        })
    }
}

/// A table, ours or another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableInfo {
    /// Its family.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
    /// Whether it is dormant: there, but judging nothing.
    pub dormant: bool,
    /// The netlink port of the process that owns it alone, if any (firewalld does that).
    pub owner: Option<u32>,
}

/// A chain that the kernel calls for packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseChain {
    /// The family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// Where: `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, `egress`.
    pub hook: String,
    /// The smaller, the earlier.
    pub priority: i32,
    /// Whether a packet that no rule judged is thrown away.
    pub policy_drop: bool,
    /// How many rules it has.
    pub rules: u32,
}

/// The value of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counter {
    /// Packets counted.
    pub packets: u64,
    /// Bytes counted.
    pub bytes: u64,
}

impl Netlink {
    /// Every table of the network namespace, of any family and owner.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] without `CAP_NET_ADMIN`; [`NetlinkError::Restless`].
    pub fn tables(&mut self) -> Result<Vec<TableInfo>, NetlinkError> {
        self.list(nft::GETTABLE, "listing the tables", |message| {
            read_table(message.family(), message.attributes())
        })
    }

    /// Every base chain of the network namespace, of any family and owner.
    ///
    /// # Errors
    /// As [`tables`](Netlink::tables).
    pub fn base_chains(&mut self) -> Result<Vec<BaseChain>, NetlinkError> {
        self.list(nft::GETCHAIN, "listing the chains", |message| {
            read_base_chain(message.family(), message.attributes())
        })
    }

    /// Whether the table `inet NAME` exists.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] without `CAP_NET_ADMIN`; [`NetlinkError::NoAnswer`].
    pub fn table_exists(&mut self, name: &str) -> Result<bool, NetlinkError> {
        Ok(self.table(name)?.is_some())
    }

    /// The table `inet NAME`, if it exists.
    ///
    /// # Errors
    /// As [`table_exists`](Netlink::table_exists).
    pub fn table(&mut self, name: &str) -> Result<Option<TableInfo>, NetlinkError> {
        let found = self.get(
            nft::GETTABLE,
            "asking for a table",
            |buffer| buffer.text(table::NAME, name),
            |message| read_table(message.family(), message.attributes()),
        );
        match found {
            Err(error) if error.is_missing() => Ok(None),
            found => found,
        }
    }

    /// Deletes the table `inet NAME` with all that is in it. `false` where there was none.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`], for example where another process owns the table.
    pub fn delete_table(&mut self, name: &str) -> Result<bool, NetlinkError> {
        let mut batch = Batch::begin(self);
        let message = batch.open(self, nft::DELTABLE, 0);
        batch.buffer.text(table::NAME, name);
        batch.buffer.close_message(message);
        let result = batch.commit(self).map_err(|error| match error {
            BatchError::Refused { refusal, .. } => {
                refusal.into_error(format!("delete the table \"{name}\""))
            }
            BatchError::Other(error) => error,
        });
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The named counters of the table `inet TABLE`; none where the table does not exist.
    ///
    /// # Errors
    /// As [`tables`](Netlink::tables).
    pub fn counters(&mut self, table: &str) -> Result<BTreeMap<String, Counter>, NetlinkError> {
        let doing = "reading the counters";
        self.undisturbed(doing, |netlink| {
            let mut counters = BTreeMap::new();
            let consistent = netlink.dump(
                nft::GETOBJ,
                FAMILY_INET,
                doing,
                |buffer| {
                    buffer.text(object::TABLE, table);
                    buffer.number(object::TYPE, object::TYPE_COUNTER);
                },
                |message| counters.extend(read_counter(table, message)),
            )?;
            Ok(consistent.then_some(counters))
        })
    }

    fn list<T: Ord>(
        &mut self,
        kind: u16,
        doing: &'static str,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut list = self.undisturbed(doing, |netlink| {
            let mut list = Vec::new();
            let consistent = netlink.dump(
                kind,
                FAMILY_UNSPEC,
                doing,
                |_| {},
                |message| {
                    list.extend(read(message));
                },
            )?;
            Ok(consistent.then_some(list))
        })?;
        list.sort_unstable();
        Ok(list)
    }
}

/// Reads a table of a message.
pub(crate) fn read_table(family: u8, attributes: Attributes<'_>) -> Option<TableInfo> {
    let flags = attributes.find(table::FLAGS).and_then(|a| a.u32());
    Some(TableInfo {
        family: TableFamily::from_number(family),
        name: attributes.find(table::NAME)?.text(),
        dormant: flags.unwrap_or(0) & table::FLAG_DORMANT != 0,
        owner: attributes.find(table::OWNER).and_then(|a| a.u32()),
    })
}

/// Reads a base chain of a message; `None` for any other chain.
pub(crate) fn read_base_chain(family: u8, attributes: Attributes<'_>) -> Option<BaseChain> {
    let hook = attributes.find(chain::HOOK)?.nested();
    let family = TableFamily::from_number(family);
    let number = hook.find(chain::HOOK_NUMBER)?.u32()?;
    Some(BaseChain {
        family,
        table: attributes.find(chain::TABLE)?.text(),
        name: attributes.find(chain::NAME)?.text(),
        kind: attributes.find(chain::TYPE).map(|a| a.text()).unwrap_or_default(),
        hook: hook_name(family, number),
        priority: hook.find(chain::HOOK_PRIORITY)?.u32()?.cast_signed(),
        // NF_DROP is 0, NF_ACCEPT 1.
        policy_drop: attributes.find(chain::POLICY).and_then(|a| a.u32()) == Some(0),
        // Nothing can jump to a base chain: its uses are its rules.
        rules: attributes.find(chain::USE).and_then(|a| a.u32()).unwrap_or(0),
    })
}

/// `enum nf_inet_hooks`, `NF_ARP_...`, `enum nf_dev_hooks`.
fn hook_name(family: TableFamily, number: u32) -> String {
    let names: &[&str] = match family {
        TableFamily::Arp => &["input", "output", "forward"],
        TableFamily::Netdev => &["ingress", "egress"],
        _ => &["prerouting", "input", "forward", "output", "postrouting", "ingress"],
    };
    let name = usize::try_from(number).ok().and_then(|at| names.get(at));
    name.map_or_else(|| format!("hook {number}"), |name| (*name).to_owned())
}

pub(crate) fn read_counter(table: &str, message: &Message<'_>) -> Option<(String, Counter)> {
    let attributes = message.attributes();
    // Not every kernel filters what it lists.
    let ours = attributes.find(c::TABLE)?.text_bytes() == table.as_bytes()
        && attributes.find(object::TYPE)?.u32()? == object::TYPE_COUNTER;
    let data = attributes.nested(object::DATA);
    let counter = Counter {
        packets: data.find(object::COUNTER_PACKETS)?.u64()?,
        bytes: data.find(object::COUNTER_BYTES)?.u64()?,
    };
    ours.then(|| Some((attributes.find(object::NAME)?.text(), counter)))?
}
