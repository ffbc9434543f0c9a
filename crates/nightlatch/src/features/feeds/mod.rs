//! Feeds: published blocklists.
//!
//! `nightlatch feed add NAME URL|FILE` fetches a list periodically; in mode `open` packets from listed addresses
//! are dropped. A list that shrinks, grows or widens implausibly, or that contains what this server needs, is
//! trimmed or rejected, and the previous version stays active. `nightlatch feed catalogue` lists the built-in
//! feeds, which need no more than their name.
//!
//! A list is read from `https://`, `http://` or a file (not below `/home`, `/root` or `/tmp`, which systemd hides
//! from the daemon), plain or compressed with gzip, IPv4 and IPv6: one address or network per line with comments,
//! CSV (`--format csv:COLUMN`), or JSON (`--format json:PATH`, also one object per line). Without `--format`, the
//! format is detected.
//!
//! A key is stored in a file that only root can read, and is inserted for `${key}` in the URL or in a header:
//! `nightlatch feed add apiban --key-file /etc/nightlatch/apiban.key`. It is never logged, and never sent to
//! another server, even after a redirect.
//!
//! A feed that has never been fetched can be added again under the same name, to correct it.
//!
//! Each list is checked in the background at its own interval (`--every`; a file every 5 minutes, so that changes
//! to it soon take effect), and after a failure at growing intervals; only changed lists are transferred. Lists are
//! cached on disk, so that a restart needs no network. Accounts, the gateway, the resolver, the server's own
//! addresses, private networks, and the address from which you add a list over SSH are never blocked by a list.
//!
//! `nightlatch feed list` shows entries, age and how many packets each list dropped, and how many of them no other
//! list would have dropped: a list without any of the latter can be removed. Adjacent addresses count as one entry.
//! `nightlatch feed show NAME` shows the source of a feed, and when it is checked again.
//!
//! In JSON each list has its `feed` (`name`, `source`, `format`, `every`), its `state` (`entries_v4`, `entries_v6`,
//! when it was `fetched` and last `checked` in milliseconds since 1970, the `result` of that, `failures` in a row,
//! `notes`, packets `stopped` and `stopped_alone`), and whether it is `stale` or being fetched (`fetching`).

mod catalogue;
pub mod cli;
pub mod io;
mod json;
mod show;
mod wording;
