//! Readers of logs: how many lines of sshd they read in a second, dates included, and whether any of a million
//! hostile lines leads them to an address that it does not come from.
//!
//!     cargo run --release -p nightlatch-parse --example log
//!     cargo run --release -p nightlatch-parse --example log hostile [LINES [SEED]]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

use std::hint::black_box;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Instant;

use nightlatch_parse::log::{Format, Reading};

mod shapes;

use shapes::{PARTS, SHAPES, TRUTH, line};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "hostile") {
        let number = |at: usize, default: u64| {
            arguments.get(at).map_or(default, |text| text.parse().unwrap())
        };
        return hostile(number(1, 1_000_000), number(2, 1));
    }
    speed();
    ExitCode::SUCCESS
}

/// Millions of lines in a second of one core: the median of eleven rounds.
fn speed() {
    for (name, format, shape) in [
        (
            "sshd, time of RFC 3164",
            Format::Sshd,
            "Nov 20 08:36:32 pbx sshd[%]: Failed password for root from 198.51.100.% port 5% ssh2",
        ),
        (
            "sshd, time of RFC 3339",
            Format::Sshd,
            "2026-11-20T08:36:32.123456+01:00 pbx sshd[%]: Failed password for invalid user a% from 198.51.100.% port 5% ssh2",
        ),
        (
            "sshd, lines that say nothing",
            Format::Sshd,
            "Nov 20 08:36:32 pbx sshd[%]: pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
        ),
        (
            "sshd, lines of other programs",
            Format::Sshd,
            "Nov 20 08:36:32 pbx CRON[%]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
        ),
        (
            "kamailio, lines of the snippet",
            Format::Kamailio,
            "Nov 20 08:36:32 pbx kamailio[%]: NOTICE: {1 8%} <script>: nightlatch: src=198.51.100.% port=5060 proto=udp nonce=bound rc=-2 method=REGISTER account=2% agent=friendly-scanner",
        ),
        (
            "freeswitch",
            Format::Freeswitch,
            "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) on sofia profile 'internal' for [2%@192.0.2.1] from ip 198.51.100.%",
        ),
        (
            "freepbx",
            Format::Freepbx,
            "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: Authentication failure for a% from 198.51.100.% [] []",
        ),
        (
            "nginx",
            Format::Nginx,
            "2012/04/09 11:53:29 [error] 2865#0: *6% user \"a%\": password mismatch, client: 198.51.100.%, server: a, request: \"GET / HTTP/1.1\", host: \"pbx\"",
        ),
    ] {
        let lines: Vec<Vec<u8>> = (0..100_000_u32)
            .map(|number| line(shape, &[(number % 250).to_string().into_bytes()]))
            .collect();
        let mut rates: Vec<f64> = (0..11)
            .map(|_| {
                let begun = Instant::now();
                for line in &lines {
                    black_box(format.read(black_box(line)));
                }
                f64::from(100_000) / begun.elapsed().as_secs_f64() / 1e6
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!("{name:<36} {:>6.2} million lines a second", rates.get(5).unwrap());
    }
}

/// Reads so many hostile lines of all formats, and says how many were read as what.
fn hostile(lines: u64, seed: u64) -> ExitCode {
    let truth: IpAddr = TRUTH.parse().unwrap();
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut attempts, mut doubts, mut nothing, mut wrong) = (0_u64, 0_u64, 0_u64, 0_u64);
    for _ in 0..lines {
        let (name, shape) = SHAPES.get(random.below(SHAPES.len())).unwrap();
        let texts: Vec<Vec<u8>> = (0..4).map(|_| random.text()).collect();
        let line = line(shape, &texts);
        match name.parse::<Format>().unwrap().read(&line) {
            Some(Reading::Attempt(read)) if read.source != truth => {
                wrong += 1;
                println!("{}: {}", read.source, String::from_utf8_lossy(&line));
            }
            Some(Reading::Attempt(_)) => attempts += 1,
            Some(Reading::Doubtful(_)) => doubts += 1,
            None => nothing += 1,
        }
        // Another reader than the line's own must not find another source in it, either.
        for format in Format::all() {
            if let Some(Reading::Attempt(read)) = format.read(&line) {
                wrong += u64::from(read.source != truth);
            }
        }
    }
    println!(
        "{lines} lines, seed {seed}: {attempts} attempts, {doubts} doubtful, {nothing} nothing, \
         {wrong} with a wrong address"
    );
    ExitCode::from(u8::from(wrong > 0))
}

/// Pseudo-random numbers (xorshift), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A text of a client: up to seven parts, seldom 64 KB, sometimes with one byte changed.
    fn text(&mut self) -> Vec<u8> {
        let parts = self.below(8);
        let mut text: Vec<u8> = (0..parts)
            .flat_map(|_| PARTS.get(self.below(PARTS.len())).copied().unwrap_or_default())
            .copied()
            .collect();
        if self.below(2_000) == 0 && !text.is_empty() {
            text = text.iter().copied().cycle().take(65_536).collect();
        }
        if self.below(4) == 0 && !text.is_empty() {
            let (at, byte) = (self.below(text.len()), self.below(256));
            if let (Some(place), Ok(byte)) = (text.get_mut(at), u8::try_from(byte)) {
                // A log has no line break within a line.
                *place = if byte == b'\n' { b' ' } else { byte };
            }
        }
        text
    }
}
