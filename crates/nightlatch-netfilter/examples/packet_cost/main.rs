//! What a packet costs the machine that receives it, in CPU time.
//!
//! Frames go by an `AF_PACKET` socket that passes no queue over a veth pair into the namespace of a
//! server. There the kernel receives them within the sender's own thread, so the thread's CPU time
//! is the whole cost, sending included, and other work on the machine hardly shows in it. All
//! variants (servers with different firewalls) stand at the same time and are measured in turn, so
//! that a slow minute of the machine strikes all of them.
//!
//! - `packet_cost addresses|banned 4|6 COUNT` prints the allowed, or the banned addresses, one a line
//! - `packet_cost networks COUNT` prints the networks of a feed, one a line
//! - `packet_cost measure SAMPLES KIND,KIND... NAME` reads the variants (`process interface family addresses
//!   networks bans name`), measures, prints tables that compare them with the variant called NAME, and
//!   reports firewalls that did not do what they should
//!
//! Packets that the server itself sends are received and dropped at the other end of their interface.
//!
//! `bench/packet-cost.sh` builds the namespaces around it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measuring program, which stops at any error"
)]

mod addresses;
mod frame;
mod report;
mod variant;

use std::env;
use std::io::{self, Write as _};

use addresses::{addresses, banned, networks};
use frame::{Family, Kind};
use report::Figures;
use variant::Variant;

/// How much CPU time one sample is to take: long enough to be exact, short enough that all
/// variants have their turn within a minute.
const SAMPLE_NANOSECONDS: f64 = 0.25e9;
/// Accepted packets fill the table of connections, which holds 262,144 by default.
const MAX_PACKETS: usize = 200_000;
const MIN_PACKETS: usize = 1_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.as_slice() {
        [which @ ("addresses" | "banned"), family, count] => {
            let (family, count): (Family, _) = (family.parse().unwrap(), count.parse().unwrap());
            for number in if *which == "banned" { banned(count) } else { addresses(count) } {
                writeln!(out, "{}", family.address(number)).unwrap();
            }
        }
        ["networks", count] => {
            for network in networks(count.parse().unwrap()) {
                writeln!(out, "{network}").unwrap();
            }
        }
        ["measure", samples, kinds, compared] => {
            drop(out);
            let kinds: Vec<Kind> = kinds.split(',').map(|kind| kind.parse().unwrap()).collect();
            measure(samples.parse().unwrap(), &kinds, compared);
        }
        _ => panic!(
            "use: addresses|banned 4|6 COUNT | networks COUNT | measure SAMPLES KIND,KIND... NAME"
        ),
    }
}

fn measure(samples: usize, kinds: &[Kind], compared: &str) {
    let mut variants: Vec<Variant> =
        io::stdin().lines().map(|line| Variant::open(&line.unwrap())).collect();
    for &kind in kinds {
        // The first round warms up, and tells how many packets fit into a sample.
        let counts: Vec<usize> = variants
            .iter_mut()
            .map(|variant| {
                let first = variant.sample(kind, MIN_PACKETS);
                ((SAMPLE_NANOSECONDS / first) as usize).clamp(MIN_PACKETS, MAX_PACKETS)
            })
            .collect();
        let mut figures: Vec<Figures> =
            variants.iter().map(|variant| Figures::of(&variant.name)).collect();
        for _ in 0..samples {
            for ((variant, count), figures) in variants.iter_mut().zip(&counts).zip(&mut figures) {
                figures.push(variant.sample(kind, *count));
            }
        }
        report::table(kind, &counts, &figures, compared);
    }
}
