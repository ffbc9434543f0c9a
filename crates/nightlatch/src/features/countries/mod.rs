//! Countries: block strangers by country, or allow only some countries.
//!
//! `nightlatch country block CN RU` and `nightlatch country allow US CA` apply in mode `open`; addresses of
//! accounts are allowed from anywhere. The GeoIP table comes from Debian's package `tor-geoipdb`, without any
//! network access, or from the `[countries] source` in the configuration: zone files by country, the statistics of
//! the registries, or a database in the `MaxMind` format.
//!
//! A country is named by its code of two or three letters or by its name: `CN`, `CHN`, `China`. Addresses that
//! belong to no country are not affected by `block`, and are blocked by `allow`. Both can be used together.
//! `allow`, also called `only`, blocks all other countries; it does not undo `block`, which `unblock` does. Rules
//! that would block the address from which you are connected over SSH are rejected, or rolled back as soon as the
//! table shows it.
//!
//! The source is checked once a day in the background. A new table replaces the old one only if it can be read
//! completely and has not lost most of its ranges.
//!
//! In JSON there are the `rules` (`blocked`, `only`), the `source`, the number of `ranges` of the active table,
//! when it was `taken` in milliseconds since 1970, the `result` of the last check and whether it `failed`, whether
//! the table is `stale` or being loaded (`reading`), and the `sizes` of the countries.
//!
//! `nightlatch country of 203.0.113.7` shows to which country an address belongs.

pub mod cli;
pub mod io;
mod wording;
