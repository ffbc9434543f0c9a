//! How many lines of Asterisk's logs are read per second of processor time: a file of half a million lines of
//! each kind, read from the disk's cache, split and read.
//!
//! `cargo run --release -p nightlatch-parse --example asterisk_log`
#![expect(clippy::unwrap_used, reason = "a measuring program, which stops at any error")]

use std::fs::{self, File};
use std::io::{Read, Write};

use nightlatch_parse::log::asterisk;

const LINES: usize = 500_000;
const BLOCK: usize = 262_144;
const MESSAGES: &str = include_str!("../../src/log/asterisk/captures/messages.log");
const SECURITY: &str = include_str!("../../src/log/asterisk/captures/security.log");
/// What a full log consists of for the most part.
const VERBOSE: &str = "[2026-11-20 08:36:39] VERBOSE[3100][C-0000a3f1] pbx.c: Executing \
     [555@internal:1] NoOp(\"PJSIP/1001-00000012\", \"call of 1001\") in new stack\n";

fn main() {
    println!("{:<34} {:>9} {:>9} {:>12}", "lines", "attempts", "ns/line", "lines/s");
    let security = lines(SECURITY);
    let messages = lines(MESSAGES);
    let json: Vec<String> = security.iter().map(|line| json(line)).collect();
    let mut all = [security.clone(), messages.clone(), json.clone()].concat();
    measure("empty lines: what reading costs", &["\n".to_owned()]);
    measure("security, text", &security);
    measure("security, JSON", &json);
    measure("messages", &messages);
    measure("full: verbose", &[VERBOSE.to_owned()]);
    measure("all captures", &all);
    all.extend((0..9 * all.len()).map(|_| VERBOSE.to_owned()));
    measure("a tenth captures, the rest verbose", &all);
}

fn lines(capture: &str) -> Vec<String> {
    let lines = capture.lines().filter(|line| line.starts_with('['));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The line as Asterisk writes it as JSON.
fn json(line: &str) -> String {
    let (moment, rest) = line.get(1..).unwrap().split_once("] ").unwrap();
    let message = serde_json::to_string(rest.split_once(": ").unwrap().1.trim_end()).unwrap();
    format!(
        "{{\"hostname\":\"\",\"timestamp\":\"{moment}\",\"identifiers\":{{\"lwp\":3085,\
         \"callid\":\"\"}},\"logmsg\":{{\"location\":{{\"filename\":\"res_security_log.c\",\
         \"function\":\"security_event_stasis_cb\",\"line\":114}},\"level\":\"SECURITY\",\
         \"message\":{message}}}}}\n"
    )
}

fn measure(name: &str, kinds: &[String]) {
    let path = std::env::temp_dir().join(format!("nightlatch-asterisk-log-{}", std::process::id()));
    let mut file = File::create(&path).unwrap();
    let text: String = kinds.concat();
    let rounds = LINES.div_ceil(kinds.len());
    for _ in 0..rounds {
        file.write_all(text.as_bytes()).unwrap();
    }
    let total = rounds * kinds.len();
    let before = processor_time();
    let (seen, attempts) = read_all(&mut File::open(&path).unwrap());
    let nanoseconds = processor_time() - before;
    fs::remove_file(&path).unwrap();
    assert_eq!(seen, total);
    let each = nanoseconds / total as u64;
    let rate = total as u64 * 1_000_000 / (nanoseconds / 1_000);
    println!("{name:<34} {attempts:>9} {each:>9} {rate:>12}");
}

/// Reads a file to its end: how many lines it has, and how many of them tell of an attempt.
fn read_all(file: &mut File) -> (usize, usize) {
    let (mut seen, mut attempts) = (0, 0);
    let mut block = vec![0; BLOCK];
    let mut kept = 0;
    loop {
        let length = file.read(block.get_mut(kept..).unwrap()).unwrap();
        if length == 0 {
            return (seen, attempts);
        }
        let filled = kept + length;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', block.get(..filled).unwrap()) {
            let line = block.get(start..end).unwrap();
            attempts += usize::from(asterisk::read(line).is_some());
            (seen, start) = (seen + 1, end + 1);
        }
        block.copy_within(start..filled, 0);
        kept = filled - start;
    }
}

/// The nanoseconds for which this process had a processor.
fn processor_time() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}
