//! Networks at random places, the same in every run, ascending and apart from each other.

use std::io::{BufWriter, Write};

use nightlatch_core::{AddrRange, Family};

/// How long the networks are.
#[derive(Clone, Copy)]
pub(crate) enum Mix {
    /// Three quarters single addresses, an eighth of eight and an eighth of 256: as published lists
    /// of IPv4 have them.
    Usual,
    /// Thirteen lengths, as many of each: the worst for hash tables.
    Mixed,
    /// IPv6: half /64, a quarter /48, and single addresses.
    Six,
}

impl Mix {
    pub(crate) fn of(name: &str) -> Mix {
        match name {
            "usual" => Mix::Usual,
            "mixed" => Mix::Mixed,
            "six" => Mix::Six,
            other => panic!("{other}: not usual, mixed or six"),
        }
    }

    /// The bits after the prefix.
    fn hosts(self, random: u64) -> u32 {
        match self {
            Mix::Usual => [0, 0, 0, 0, 0, 0, 3, 8][(random % 8) as usize],
            Mix::Mixed => (random % 13) as u32,
            Mix::Six => [64, 64, 80, 0][(random % 4) as usize],
        }
    }

    const fn family(self) -> Family {
        match self {
            Mix::Six => Family::V6,
            _ => Family::V4,
        }
    }
}

/// Writes networks, one a line, from 1.0.0.0 on, or from 2400:: on; each network is somewhere in its
/// equal share. Those of the numbers for which `is_changed` is true are other ones than without.
pub(crate) fn write(out: impl Write, count: u32, mix: Mix, is_changed: impl Fn(u32) -> bool) {
    let (first, space) = match mix.family() {
        Family::V4 => (1_u128 << 24, 0xd0_u128 << 24),
        Family::V6 => (0x2400_u128 << 112, 0x400_u128 << 112),
    };
    let share = space / u128::from(count);
    let mut out = BufWriter::new(out);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let hosts = mix.hosts(random >> 40).min(share.ilog2() - 2);
        let mut place = u128::from(random) << 64 | u128::from(random);
        if is_changed(number) {
            place = !place;
        }
        let at = first + u128::from(number) * share + place % (share / 2);
        let from = (at >> hosts) << hosts;
        let network = AddrRange::new(mix.family(), from, from | ((1 << hosts) - 1)).unwrap();
        writeln!(out, "{network}").unwrap();
    }
    out.flush().unwrap();
}
