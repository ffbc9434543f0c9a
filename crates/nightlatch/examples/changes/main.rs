//! What a change of the running daemon costs, asked for at its control socket.
//!
//! `changes PART ROUNDS [PROGRAM]` measures one part, or all where it is `all`, and prints a table.
//! Each round starts the program given, then the `nightlatch` beside this one's folder, each with a
//! new state and a host of its own, and never two daemons at a time: a daemon listens to changes of
//! rulesets, and the kernel then writes a message for each element that any other one changes.
//! `bench/changes.sh` builds it. Needs root, nft, strace.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

mod block;
mod client;
mod clients;
mod exchange;
mod flush;
mod judging;
mod long;
mod memory;
#[path = "../lists/networks.rs"]
#[expect(dead_code, reason = "the other mixes are for the benchmark of lists")]
mod networks;
#[path = "../reaction/place.rs"]
#[expect(dead_code, reason = "some of it is only for the benchmark of reaction")]
mod place;
mod sends;
mod stand;
mod table;
#[path = "../reaction/whole.rs"]
mod whole;

use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take before it is taken for broken.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A part measures all versions and prints its rows.
type Part = fn(&Bench);

const PARTS: [(&str, Part); 8] = [
    ("block", block::measure),
    ("clients", clients::measure),
    ("exchange", exchange::measure),
    ("flush", flush::measure),
    ("long", long::measure),
    ("memory", memory::measure),
    ("sends", sends::measure),
    ("judge", judging::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map_or("all", String::as_str);
    let rounds = arguments.get(1).map_or(3, |text| text.parse().unwrap());
    let old = arguments.get(2).map(PathBuf::from);
    let own = std::env::current_exe().unwrap();
    let own = own.ancestors().nth(2).unwrap().join("nightlatch");
    let bench = Bench { old, own, rounds };
    let parts: Vec<Part> = PARTS
        .iter()
        .filter(|(name, _)| wanted == "all" || wanted == *name)
        .map(|(_, part)| *part)
        .collect();
    assert!(!parts.is_empty(), "{wanted}: no such part");
    table::head();
    for part in parts {
        part(&bench);
    }
}

/// The versions to measure.
struct Bench {
    old: Option<PathBuf>,
    own: PathBuf,
    rounds: usize,
}

impl Bench {
    /// Measures each version in turn, so that what else the machine does meets them alike. The old
    /// version's rounds come first, then this version's.
    fn in_turn<T>(&self, measure: impl Fn(&PathBuf) -> T) -> (Vec<T>, Vec<T>) {
        let (mut old, mut own) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            old.extend(self.old.as_ref().map(&measure));
            own.push(measure(&self.own));
        }
        (old, own)
    }
}
