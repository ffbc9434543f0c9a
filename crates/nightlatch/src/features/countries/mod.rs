//! Countries: shutting strangers of whole countries out, or letting in only those of some.
//!
//! `nightlatch country block CN RU` and `nightlatch country allow US CA` hold in mode `open`; who
//! has an account comes in from anywhere. The table comes from Debian's package `tor-geoipdb`,
//! without any network, or from where `[countries] source` in the configuration says: zone files
//! by country, the registries' own statistics, a database in the `MaxMind` format.

pub mod cli;
pub mod io;
