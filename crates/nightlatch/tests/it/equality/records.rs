//! Random records and what they consist of: ranges, host names, services, hours.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nightlatch_core::features::accounts::{Account, Entry};
use nightlatch_core::features::exemptions::Exemption;
use nightlatch_core::features::providers::Enabled;
use nightlatch_core::hours::Hours;
use nightlatch_core::service::{Grant, Ports, Protocol, ServiceName};
use nightlatch_core::{AddrRange, Family};

use super::dice::Dice;
use super::state::NOW;

/// All day, a day that is far, or none at all.
pub(super) fn random_hours(dice: &mut Dice) -> Option<Hours> {
    let times = match dice.below(4) {
        0 => "daily 00:00-24:00".to_owned(),
        1 => format!("{} 00:00-24:00", far_day()),
        _ => return None,
    };
    Some(Hours::parse(&times, "UTC").unwrap())
}

/// A day of the week that is not near.
fn far_day() -> &'static str {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    // 1970-01-01 was a Thursday.
    let day = usize::try_from(NOW.millis() / 86_400_000).unwrap();
    DAYS[(day + 3) % 7]
}

pub(super) fn random_grant(dice: &mut Dice, names: &[ServiceName]) -> Grant {
    match dice.below(4) {
        0 => Grant::All,
        1 => Grant::of(["sip".parse().unwrap()]),
        _ => Grant::of((0..dice.below(4)).map(|_| dice.pick(names).clone())),
    }
}

pub(super) fn random_account(dice: &mut Dice, number: usize, names: &[ServiceName]) -> Account {
    let services = random_grant(dice, names);
    Account {
        hours: random_hours(dice),
        name: format!("account-{number}").parse().unwrap(),
        entries: random_entries(dice, 4),
        services,
        until: dice.one_in(8).then_some(*NOW),
        note: String::new(),
        allow_private: false,
        since: *NOW,
        by: String::new(),
    }
}

/// Ranges, and host names with some addresses or none yet, which may be those of another entry.
pub(super) fn random_entries(dice: &mut Dice, most: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for number in 0..=dice.below(most) {
        entries.push(match dice.one_in(3) {
            true => random_host(dice, number),
            false => Entry::Range(random_range(dice)),
        });
    }
    entries
}

pub(super) fn random_host(dice: &mut Dice, number: usize) -> Entry {
    let addresses: BTreeSet<IpAddr> =
        (0..dice.below(4)).map(|_| random_range(dice).first_address()).collect();
    let name = format!("host-{number}.example.net").parse().unwrap();
    Entry::Host { name, addresses: addresses.into_iter().collect() }
}

pub(super) fn random_exemption(dice: &mut Dice, number: usize) -> Exemption {
    Exemption {
        name: format!("exempt-{number}").parse().unwrap(),
        exempt: random_entries(dice, 3),
        since: *NOW,
        by: String::new(),
    }
}

/// A provider whose media may lie in the networks of its signalling, which grants something else.
pub(super) fn random_provider(dice: &mut Dice, number: usize, names: &[ServiceName]) -> Enabled {
    let signalling = random_entries(dice, 2);
    let mut media: Vec<AddrRange> = (0..dice.below(3)).map(|_| random_range(dice)).collect();
    if dice.one_in(3) {
        media.extend(dice.pick(&signalling).ranges().next());
    }
    Enabled {
        name: format!("provider{number}").parse().unwrap(),
        signalling,
        media,
        services: Grant::of((0..=dice.below(2)).map(|_| dice.pick(names).clone())),
        since: *NOW,
        by: String::new(),
    }
}

/// Ranges in a small part of the address space, so that they overlap, touch and lie in each other.
pub(super) fn random_range(dice: &mut Dice) -> AddrRange {
    let (family, base) = match dice.below(2) {
        0 => (Family::V4, 0xcb00_7100),
        _ => (Family::V6, 0x2001_0db8_0002_0000_0000_0000_0000_0000),
    };
    let offset = match dice.below(8) {
        // Far away in the family's space, and among the addresses of the link.
        0 if family == Family::V6 => return "fe80::/64".parse().unwrap(),
        1 if family == Family::V6 => (u128::from(dice.roll()) % 4) << 64,
        _ => u128::from(dice.roll()) % 64,
    };
    let first = base + offset;
    match dice.below(4) {
        0 => AddrRange::new(family, first, first).unwrap(),
        1 => AddrRange::new(family, first, first + u128::from(dice.roll()) % 32).unwrap(),
        2 => {
            let bits = family.bits() - u32::try_from(dice.below(7)).unwrap();
            network(family, first, bits)
        }
        _ => {
            let widest = if family == Family::V4 { 16 } else { 80 };
            let bits = family.bits() - u32::try_from(dice.below(widest)).unwrap();
            network(family, first, bits)
        }
    }
}

pub(super) fn network(family: Family, first: u128, bits: u32) -> AddrRange {
    let address = AddrRange::new(family, first, first).unwrap().first_address();
    AddrRange::network(address, bits).unwrap()
}

pub(super) fn random_ports(dice: &mut Dice) -> Ports {
    let protocol = if dice.one_in(2) { Protocol::Tcp } else { Protocol::Udp };
    let first = u16::try_from(1 + dice.below(65_500)).unwrap();
    let run = if dice.one_in(2) { 0 } else { u16::try_from(dice.below(30)).unwrap() };
    Ports { protocol, first, last: first + run }
}
