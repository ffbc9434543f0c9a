//! How fast long lists come into the kernel, ours and by the tools of others.
//!
//! - `lists networks COUNT usual|mixed|six [changed]` prints networks, one a line; with `changed`,
//!   one in a hundred is another one
//! - `lists load ours|ipset|nft FILE` loads them into an empty set
//! - `lists change ours|ipset|nft OLD NEW` loads the old ones, then makes them the new ones
//!
//! The last two print the seconds of the last step and the peak memory of the whole in megabytes.
//! They change the ruleset of the network namespace they are in: `bench/lists.sh` gives each one of
//! its own. Ours begins with the file and ends with the kernel's table read back; the others begin
//! with a file made ready for them, the making of which does not count.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

mod networks;
mod others;
mod ours;

use std::path::Path;

use networks::Mix;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["networks", count, mix] => print(count, mix, |_| false),
        ["networks", count, mix, "changed"] => print(count, mix, |number| number % 100 == 50),
        ["load", how, file] => show(measured(how, Path::new(file), None)),
        ["change", how, old, new] => show(measured(how, Path::new(old), Some(Path::new(new)))),
        _ => panic!("not a command: {words:?}"),
    }
}

fn print(count: &str, mix: &str, is_changed: fn(u32) -> bool) {
    networks::write(std::io::stdout().lock(), count.parse().unwrap(), Mix::of(mix), is_changed);
}

/// What something took.
struct Taken {
    seconds: f64,
    /// At the peak.
    kilobytes: u32,
}

fn measured(how: &str, old: &Path, new: Option<&Path>) -> Taken {
    match how {
        "ours" => ours::load(old, new),
        "ipset" => others::load(&others::IPSET, old, new),
        "nft" => others::load(&others::NFT, old, new),
        other => panic!("{other}: not ours, ipset or nft"),
    }
}

fn show(taken: Taken) {
    println!("{:.3} {:.1}", taken.seconds, f64::from(taken.kilobytes) / 1024.0);
}

/// The peak memory of a process in kilobytes; none once it has ended.
fn peak_of(process: &str) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
