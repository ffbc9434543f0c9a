//! Status: how things stand.
//!
//! `nightlatch status` says whether the firewall is on and since when, whether it would survive a
//! reboot, what strangers reach, whether an attack is underway and how many sources are banned, what was
//! dropped, how much the lists hold and what the kernel needs for them, which of them is in trouble, and what
//! ends soon. It is loud, and exits with 1, when the firewall is not what it should be.

pub mod cli;
pub mod io;
mod wording;
