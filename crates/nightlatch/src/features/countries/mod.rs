//! Countries: shutting strangers of whole countries out, or letting in only those of some.
//!
//! `nightlatch country block CN RU` and `nightlatch country allow US CA` hold in mode `open`; who
//! has an account comes in from anywhere. The table comes from Debian's package `tor-geoipdb`,
//! without any network, or from where `[countries] source` in the configuration says: zone files
//! by country, the registries' own statistics, a database in the `MaxMind` format.
//!
//! A country is named by its code of two or three letters or by its name: `CN`, `CHN`, `China`. What
//! belongs to no country is let in with `block`, and shut out with `allow`. Both can hold at once.
//! `allow`, also called `only`, does not undo `block`, which `unblock` does: it shuts out all the rest.
//! Rules that would shut out the address from which you came over SSH are refused, or taken back as
//! soon as the table says so.
//!
//! The source is looked at once a day in the background; a new table takes the old one's place only
//! if it can be read whole and has not lost most of its ranges.
//!
//! In JSON there are the `rules` (`blocked`, `only`), the `source`, the number of `ranges` of the table
//! in force, when it was `taken` in milliseconds since 1970, the `result` of the last look and whether
//! that `failed`, whether the table is `stale` or just `reading`, and the `sizes` of the countries.
//!
//! `nightlatch country of 203.0.113.7` says to which country an address belongs.

pub mod cli;
pub mod io;
mod wording;
