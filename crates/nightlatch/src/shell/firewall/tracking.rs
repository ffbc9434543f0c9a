//! Connection tracking before there is a firewall.

use nightlatch_netfilter::{Netlink, NetlinkError};

/// A table that enables connection tracking and accepts everything.
const TABLE: &str = "nightlatch_tracking";

/// Makes the kernel track connections until this is dropped: without a rule that uses their state, it
/// does not track any.
#[derive(Debug)]
pub struct Tracking {
    netlink: Netlink,
}

impl Tracking {
    /// Enables tracking.
    ///
    /// # Errors
    /// The error of `nft` or of the kernel.
    pub fn begin() -> Result<Tracking, String> {
        let mut netlink = Netlink::open().map_err(|error: NetlinkError| error.to_string())?;
        let chain = |hook: &str| {
            format!(
                "\tchain {hook} {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\tct state new accept\n\t}}\n"
            )
        };
        let chains: String = ["input", "forward", "output"].into_iter().map(chain).collect();
        netlink
            .load(&format!("table inet {TABLE} {{\n{chains}}}\n"))
            .map_err(|error| error.to_string())?;
        Ok(Tracking { netlink })
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        // A leftover table would be harmless.
        let _ = self.netlink.delete_table(TABLE);
    }
}
