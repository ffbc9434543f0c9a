//! Connection tracking before there is a firewall.

use nightlatch_netfilter::{Netlink, NetlinkError, text};

/// The table that has connections tracked, and decides nothing.
const TABLE: &str = "nightlatch_tracking";

/// Has the kernel track connections until it is dropped: it does so only where a rule asks for their
/// state.
#[derive(Debug)]
pub struct Tracking {
    netlink: Netlink,
}

impl Tracking {
    /// Begins.
    ///
    /// # Errors
    /// What `nft` or the kernel said.
    pub fn begin() -> Result<Tracking, String> {
        let netlink = Netlink::open().map_err(|error: NetlinkError| error.to_string())?;
        let chain = |hook: &str| {
            format!(
                "\tchain {hook} {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\tct state new accept\n\t}}\n"
            )
        };
        let chains: String = ["input", "forward", "output"].into_iter().map(chain).collect();
        text::load(&format!("table inet {TABLE} {{\n{chains}}}\n"))
            .map_err(|error| error.to_string())?;
        Ok(Tracking { netlink })
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        // Left behind it would do no harm.
        let _ = self.netlink.delete_table(TABLE);
    }
}
