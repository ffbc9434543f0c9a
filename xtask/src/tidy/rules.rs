//! The rules themselves, from the most general to the particular.

use super::code::{self, Code, Named, is_test, is_word};
use super::features::Features;
use super::{File, Finding, lab};

/// The most lines of a Rust file, without its inline tests.
const MAX_LINES: usize = 500;

/// What must not stay in the tree. Spelled in two halves, so that this file passes too.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
];

/// The mark of a test that does not run by itself.
const LEFT_OUT: &str = concat!("#[ign", "ore");

/// Folders of a developer's machine.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ho", "me/")];

/// Files, sockets and processes; the kernel's own interface.
const OUTSIDE_WORLD: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::os::linux::net",
    "rustix",
    "socket2",
];

/// What makes a function give another answer the second time.
const IMPURE: [&str; 9] = [
    "std::env",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "rand",
    "fastrand",
    "getrandom",
    "libc",
    "rusqlite",
];

/// Only the exit code of `main` is no process.
const HARMLESS: [&str; 1] = ["std::process::ExitCode"];

/// Every rule over every file, sorted by place.
pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let features = Features::of(files);
    for file in files {
        unfinished(file, &mut findings);
        machine_paths(file, &mut findings);
        lab::check(file, &mut findings);
        if has_ending(&file.path, "rs") {
            length(file, &mut findings);
            left_out_tests(file, &mut findings);
            unsafe_code(file, &mut findings);
            purity(file, &mut findings);
            io_in_its_place(file, &mut findings);
            features.check(file, &mut findings);
        }
    }
    features.pages(files, &mut findings);
    examples_tested(files, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

fn unfinished(file: &File, findings: &mut Vec<Finding>) {
    for (line, word) in words_in(file, &UNFINISHED) {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("`{word}`"),
            why: "what is in the tree is finished and tested",
            remedy: "finish it, or write an issue and remove the mark",
        });
    }
}

fn machine_paths(file: &File, findings: &mut Vec<Finding>) {
    if file.path.starts_with("examples/") {
        return;
    }
    for (line, path) in words_in(file, &MACHINE_PATHS) {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("the path `{path}`"),
            why: "it exists on one developer's machine only",
            remedy: "use a path relative to the project, or /root, /etc, /var in documentation",
        });
    }
}

fn length(file: &File, findings: &mut Vec<Finding>) {
    let end = code::inline_tests(&file.text).unwrap_or(file.text.len());
    let lines = file.text.get(..end).unwrap_or_default().lines().count();
    if lines > MAX_LINES {
        findings.push(Finding {
            path: file.path.clone(),
            line: MAX_LINES,
            what: format!("{lines} lines"),
            why: "a file of more than 500 lines holds more than one thing",
            remedy: "split it by what its parts are for",
        });
    }
}

/// A test is left out only where another one runs it, as a process of its own.
fn left_out_tests(file: &File, findings: &mut Vec<Finding>) {
    for (line, text) in Code::whole(&file.text).lines() {
        let Some(at) = text.find(LEFT_OUT) else {
            continue;
        };
        // The code has no insides of strings: the reason is read from the text, at the same place.
        let written = file.text.lines().nth(line - 1).unwrap_or_default().chars().skip(at);
        let written: String = written.collect();
        let whole = written.split_once("\"a part of ").and_then(|(_, name)| name.split('"').next());
        if whole.is_some_and(|name| file.text.contains(&format!("fn {name}("))) {
            continue;
        }
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("`{LEFT_OUT}]`"),
            why: "a test that never runs proves nothing",
            remedy: "make it run, or, where another test runs it, say: \"a part of NAME_OF_THAT_TEST\"",
        });
    }
}

fn unsafe_code(file: &File, findings: &mut Vec<Finding>) {
    let allowed = file.path.starts_with("crates/nightlatch-netfilter/");
    for (line, text) in Code::whole(&file.text).lines() {
        if !text.split(|c| !is_word(c)).any(|word| word == "unsafe") {
            continue;
        }
        if !allowed {
            findings.push(Finding {
                path: file.path.clone(),
                line,
                what: "`unsafe`".to_owned(),
                why: "only nightlatch-netfilter may hold it",
                remedy: "use rustix, or add what is missing to nightlatch-netfilter",
            });
        } else if !has_safety_reason(&file.text, line) {
            findings.push(Finding {
                path: file.path.clone(),
                line,
                what: "`unsafe` without a reason".to_owned(),
                why: "a reader must see why it is sound",
                remedy: "write a `// SAFETY:` comment right above it",
            });
        }
    }
}

/// Whether a `SAFETY:` comment stands on the line or within the six lines above it.
fn has_safety_reason(text: &str, line: usize) -> bool {
    text.lines().take(line).skip(line.saturating_sub(7)).any(|text| text.contains("SAFETY:"))
}

fn purity(file: &File, findings: &mut Vec<Finding>) {
    let pure = ["crates/nightlatch-core/src/", "crates/nightlatch-parse/src/"];
    if !pure.iter().any(|prefix| file.path.starts_with(prefix)) || is_test(&file.path) {
        return;
    }
    for Named { line, path } in outside_paths(&Code::of(&file.text)) {
        if !names_one_of(&path, &OUTSIDE_WORLD) && !names_one_of(&path, &IMPURE) {
            continue;
        }
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("names `{path}`"),
            why: "this crate does no I/O, reads no clock, draws no random number",
            remedy: "take what you need as an argument, or return an action",
        });
    }
}

fn io_in_its_place(file: &File, findings: &mut Vec<Finding>) {
    let Some(place) = file.path.strip_prefix("crates/nightlatch/src/") else {
        return;
    };
    let mut parts = place.split('/');
    if parts.any(|part| part == "io" || part == "io.rs")
        || place.starts_with("shell/")
        || ["main.rs", "run.rs"].contains(&place)
        || is_test(&file.path)
    {
        return;
    }
    for Named { line, path } in outside_paths(&Code::of(&file.text)) {
        if !names_one_of(&path, &OUTSIDE_WORLD) {
            continue;
        }
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("names `{path}`"),
            why: "files, sockets and processes are touched in io.rs and shell/ alone",
            remedy: "move it into the feature's io.rs, and pass the result on",
        });
    }
}

/// Every example configuration is read by a test: named by it, or found by walking the folder.
fn examples_tested(files: &[File], findings: &mut Vec<Finding>) {
    let tests: Vec<&str> = files
        .iter()
        .filter(|file| has_ending(&file.path, "rs") && !file.path.starts_with("xtask/"))
        .map(|file| if is_test(&file.path) { &file.text } else { inline_tests_of(&file.text) })
        .collect();
    let walked = tests.iter().any(|test| test.contains("read_dir") && test.contains("examples"));
    for file in files.iter().filter(|file| has_ending(&file.path, "toml")) {
        let Some(name) = file.path.strip_prefix("examples/") else {
            continue;
        };
        if walked || tests.iter().any(|test| test.contains(name)) {
            continue;
        }
        findings.push(Finding {
            path: file.path.clone(),
            line: 1,
            what: "no test reads this example".to_owned(),
            why: "an example that does not work is worse than none",
            remedy: "name it in a test that checks it",
        });
    }
}

fn inline_tests_of(text: &str) -> &str {
    code::inline_tests(text).and_then(|at| text.get(at..)).unwrap_or_default()
}

fn outside_paths(code: &Code) -> Vec<Named> {
    let roots = ["std", "rustix", "socket2", "rand", "fastrand", "getrandom", "libc", "rusqlite"];
    let mut paths = code.paths(&roots);
    paths.retain(|named| !names_one_of(&named.path, &HARMLESS));
    paths
}

fn names_one_of(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Where `needles` stand in a file as words of their own, with the line of each.
fn words_in<'a>(file: &File, needles: &'a [&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for needle in needles {
            let stands = line.match_indices(needle).any(|(at, _)| {
                let (before, rest) = line.split_at(at);
                let after = rest.get(needle.len()..).unwrap_or_default();
                let joins = |c: char| is_word(c) && needle.ends_with(is_word);
                !before.ends_with(|c| is_word(c) || c == '.') && !after.starts_with(joins)
            });
            if stands {
                found.push((index + 1, *needle));
            }
        }
    }
    found
}

pub(super) fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}
