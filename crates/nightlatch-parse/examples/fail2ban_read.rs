//! Reads a log with a filter of fail2ban, several times over, and says what it found:
//! `cargo run --release -p nightlatch-parse --example fail2ban_read -- "sshd[mode=aggressive]" FILE [TIMES]`.
//! With `-` as TIMES, each match is printed. To measure, see bench/fail2ban-filters.sh.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a tool that is run by hand")]

use std::io::BufRead as _;

use nightlatch_parse::fail2ban::{Filter, Kind, Reference, Source};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let reference = arguments.next().expect("a filter");
    let path = arguments.next().expect("a file");
    let times = arguments.next().unwrap_or_else(|| "1".to_owned());
    let reference = Reference::parse(&reference).unwrap_or_else(|error| panic!("{error}"));
    let mut files = |path: &str| std::fs::read_to_string(path).ok();
    let mut filter = Filter::load(&reference, Source::File, &mut files)
        .unwrap_or_else(|error| panic!("{error}"));
    let log = std::fs::read(&path).expect("the file");
    let print = times == "-";
    let (mut lines, mut failures, mut doubtful, mut addresses) = (0, 0, 0, 0);
    for _ in 0..times.parse::<usize>().unwrap_or(1) {
        let mut rest = log.as_slice();
        while !rest.is_empty() {
            // As the program itself takes lines apart, as fast as the C library.
            let before = rest;
            let length = rest.skip_until(b'\n').unwrap_or(before.len());
            let line = before.get(..length).unwrap_or_default();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            lines += 1;
            let Some(found) = filter.read(line, 0) else { continue };
            if print {
                let address =
                    found.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
                let doubt = if found.another.is_some() { "doubtful" } else { "clear" };
                println!("{lines} {:?} {address} {doubt}", found.kind);
            }
            if found.kind != Kind::Failure {
                continue;
            }
            failures += 1;
            doubtful += usize::from(found.another.is_some());
            addresses += usize::from(found.address.is_some());
        }
    }
    let (expressions, linear) = filter.expressions();
    if !print {
        println!(
            "{lines} lines, {failures} failures, {addresses} with addresses, {doubtful} doubtful, {} given up; \
             {expressions} expressions, {linear} in linear time",
            filter.gave_up()
        );
    }
}
