//! The kernel side of Nightlatch: the only crate that talks to the machine's firewall.
//!
//! - [`text`] gives the structure (table, chains, rules, empty sets) to `nft -f -`, as text that
//!   any administrator can read.
//! - [`Netlink`] does everything else over a netlink socket of its own: elements of sets in one
//!   atomic [`Transaction`], reading them back, the [`Structure`] with its digest, counters, and
//!   which other tables and base chains the machine has.
//! - [`Monitor`] tells of every change of the ruleset and which program made it.
//! - [`conntrack`] lists the flows that the kernel tracks.
//! - [`Nflog`] reads the packets that rules copy to user space (`log group`).
//! - [`close_on_exec`] is here because it needs unsafe code, which no other crate may have.
//!
//! Sockets act on the network namespace of the thread that opens them, and `nft` on that of the
//! thread that starts it. Numbers and names are those of the kernel's headers
//! `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `nf_tables.h`, `nfnetlink_conntrack.h` and
//! `nfnetlink_log.h`; kernels 6.1 to 6.18.

mod batch;
pub mod conntrack;
mod constants;
mod descriptors;
mod element;
#[cfg(test)]
mod hostile;
mod inventory;
mod monitor;
mod netlink;
mod nflog;
mod read;
mod socket;
mod structure;
pub mod text;
mod transaction;
mod wire;

pub use descriptors::close_on_exec;
pub use element::{Element, EndpointKey, FlowKey, Key, Kind, PeerKey, Set, Verdict};
pub use inventory::{BaseChain, Counter, TableFamily, TableInfo};
pub use monitor::{Change, Monitor};
pub use netlink::{Netlink, NetlinkError};
pub use nflog::{Batch, Hook, Logged, Nflog, NflogError};
pub use structure::{Chain, Structure};
pub use text::NftError;
pub use transaction::Transaction;
