//! What servers of lists say in HTTP: addresses, redirects, times.

mod date;
mod url;

pub use date::parse_date;
pub use url::HttpUrl;
