//! Real attacks: the tools that attackers use, against the servers that they attack. A line that the server
//! writes bans them, the next packet is dropped, and everybody else continues.

mod sip;
mod ssh;

use std::net::IpAddr;
use std::time::Duration;

use crate::support::Installation;

/// How long a program on a busy machine may take.
const TIMEOUT: Duration = Duration::from_secs(25);

/// The limits of open mode do not matter: what is dropped is dropped for another reason.
const NO_LIMITS: &str = "per-source = { packets = 100000, burst = 100000 }\n\
    total = { packets = 100000, burst = 100000 }\n";

/// What is kept of the ban of an address; null if it is not banned.
fn ban_of(nightlatch: &Installation<'_>, address: IpAddr) -> serde_json::Value {
    of(&nightlatch.json(&["bans"])["bans"], address)
}

/// What is kept of the limit of an address; null if it is not limited.
fn limit_of(nightlatch: &Installation<'_>, address: IpAddr) -> serde_json::Value {
    of(&nightlatch.json(&["bans"])["limits"], address)
}

fn of(all: &serde_json::Value, address: IpAddr) -> serde_json::Value {
    let mut all = all.as_array().unwrap().iter();
    let found = all.find(|it| it["range"] == address.to_string());
    found.cloned().unwrap_or_default()
}
