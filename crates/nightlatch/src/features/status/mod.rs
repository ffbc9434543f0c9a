//! Status: the state of the firewall.
//!
//! `nightlatch status` shows whether the firewall is active and since when, whether it would survive a reboot, what
//! strangers can reach, whether an attack is underway and how many sources are banned, what was dropped, the size
//! of the lists and the kernel memory they need, problems with lists, and what expires soon. It exits with 1 if the
//! firewall is off or not as configured.

pub mod cli;
pub mod io;
mod wording;
