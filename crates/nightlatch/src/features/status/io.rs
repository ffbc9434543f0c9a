//! What can be seen without the daemon.

use crate::shell::firewall::Firewall;

/// Whether our table is in the kernel; `None` where the kernel does not tell.
pub fn table_is_there() -> Option<bool> {
    Firewall::open().ok().map(|mut firewall| firewall.table_is_there())
}
