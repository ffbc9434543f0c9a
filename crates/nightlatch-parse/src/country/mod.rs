//! Which country an address belongs to, from the tables that are published.
//!
//! A [`Reader`] takes the text forms block by block as they arrive; [`mmdb::read`] takes a whole
//! database in the `MaxMind` format. Both fill a [`Builder`], which becomes a [`CountryTable`].

mod code;
pub mod mmdb;
mod names;
mod reader;
mod table;

pub use code::{CountryCode, NoSuch, all, find, name};
pub use reader::{Countries, CountryError, Layout, Reader};
pub use table::{Builder, CountryTable, Size};
