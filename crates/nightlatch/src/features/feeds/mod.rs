//! Feeds: published lists of bad networks.
//!
//! `nightlatch feed add NAME URL|FILE` fetches a list now and again; in mode `open` whoever is on it
//! meets silence. A list that shrinks, grows or widens beyond belief, or that names what this
//! server needs, is trimmed or refused, and what was in force stays. `nightlatch feed catalogue`
//! shows the ones that need no more than their name.
//!
//! A list is read from `https://`, `http://` or a file (not below `/home`, `/root` or `/tmp`, which
//! systemd hides from the daemon), plain or packed with gzip, IPv4 and IPv6: one address or network
//! a line with comments, CSV (`--format csv:COLUMN`), JSON (`--format json:PATH`, also one object a
//! line). Without `--format` its kind is found out.
//!
//! A key stands in a file that only root may read, and is named by `${key}` in the address or in a
//! header: `nightlatch feed add apiban --key-file /etc/nightlatch/apiban.key`. It is in no log, and
//! is sent to no other server, wherever that one redirects.
//!
//! A list that never came may be added again under its name, corrected.
//!
//! Each list is looked at in the background at its own pace (`--every`; a file every 5 minutes, so
//! that what you write into it soon counts), after a failure in growing pauses; only what has changed
//! is sent. Lists are kept on disk, so that a restart needs no network.
//! An account, the gateway, the resolver, the server's own addresses, private networks, and the
//! address from which you add a list over SSH are never shut out by any.
//!
//! `nightlatch feed list` shows entries, age and how many packets each list stopped, and of those
//! the ones that no other would have stopped: a list that stops nothing alone can go. Neighbouring
//! addresses are one entry. `nightlatch feed show NAME` shows where one comes from, and when it is
//! looked at again.
//!
//! In JSON each list has its `feed` (`name`, `source`, `format`, `every`), its `state` (`entries_v4`,
//! `entries_v6`, when it was `fetched` and last `checked` in milliseconds since 1970, the `result` of
//! that, `failures` in a row, `notes`, packets `stopped` and `stopped_alone`), and whether it is
//! `stale` or just `fetching`.

mod catalogue;
pub mod cli;
pub mod io;
mod json;
mod show;
mod wording;
