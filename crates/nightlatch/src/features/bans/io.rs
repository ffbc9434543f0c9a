//! What the kernel limits now.

use nightlatch_core::AddrRange;

use crate::shell::firewall::Firewall;
use crate::shell::outcome::Failure;

/// The sources whose packets were dropped within the last minute because they exceeded a rate limit, with how many
/// were counted, most first: addresses, of IPv6 networks of 64 bits.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn over_limits() -> Result<Vec<(AddrRange, u64)>, Failure> {
    let over = Firewall::open().and_then(|mut firewall| firewall.over_limits());
    let over = over.map_err(|error| {
        Failure::failed(format!(
            "who exceeds the rate limits cannot be read from the kernel: {error}; run it as root, where the daemon runs"
        ))
    })?;
    let range = |source: std::net::IpAddr| match source {
        std::net::IpAddr::V4(_) => Some(source.into()),
        std::net::IpAddr::V6(_) => AddrRange::network(source, 64),
    };
    let over = over.into_iter().filter_map(|(source, packets)| Some((range(source)?, packets)));
    let mut over: Vec<(AddrRange, u64)> = over.collect();
    over.sort_unstable_by_key(|(source, packets)| (std::cmp::Reverse(*packets), *source));
    Ok(over)
}
