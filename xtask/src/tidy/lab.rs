//! What crafts packets, scans or makes network namespaces stays in nightlatch-lab, and that crate out of
//! the program that runs as root.

use super::code::{Code, is_test, is_word};
use super::rules::has_ending;
use super::{File, Finding};

/// The crates of which the program that runs as root is made.
const PROGRAM: [&str; 4] = [
    "crates/nightlatch/",
    "crates/nightlatch-core/",
    "crates/nightlatch-netfilter/",
    "crates/nightlatch-parse/",
];

/// The crate of the lab.
const LAB: &str = "nightlatch-lab";

/// Words of code that crafts packets, or makes or enters network namespaces.
const TOOLS: [&str; 13] = [
    "nightlatch_lab",
    "Type::RAW",
    "SOCK_RAW",
    "IPPROTO_RAW",
    "IP_HDRINCL",
    "set_header_included_v4",
    "Domain::PACKET",
    "AF_PACKET",
    "setns",
    "CLONE_NEWNET",
    "UnshareFlags::NEWNET",
    "move_into_link_name_space",
    "move_into_thread_name_spaces",
];

/// Programs that make or enter namespaces, as a source names them to start them.
const PROGRAMS: [&str; 3] = ["\"unshare\"", "\"nsenter\"", "\"netns\""];

/// Where one of these words means something else, with the reason.
const MEANT_OTHERWISE: [(&str, &str, &str); 2] = [
    ("crates/nightlatch-netfilter/src/socket.rs", "SOCK_RAW", "a netlink socket has this type"),
    ("crates/nightlatch/src/shell/streams.rs", "Domain::PACKET", "receives copies, sends nothing"),
];

/// All rules about the lab.
pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let Some(place) = PROGRAM.iter().find_map(|folder| file.path.strip_prefix(folder)) else {
        if file.path == format!("crates/{LAB}/Cargo.toml") {
            apart(file, findings);
        }
        return;
    };
    if place == "Cargo.toml" {
        not_a_dependency(file, findings);
    } else if place.starts_with("src/") && has_ending(place, "rs") && !is_test(&file.path) {
        no_tools(file, findings);
    }
}

/// The program may use the lab in its tests alone.
fn not_a_dependency(file: &File, findings: &mut Vec<Finding>) {
    let mut section = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let named = line.starts_with(LAB) || line.contains(&format!("\"{LAB}\""));
        // A table of its own: [dependencies.nightlatch-lab].
        let named = named || section.ends_with(&format!(".{LAB}]"));
        if named && !section.contains("dev-dependencies") {
            findings.push(Finding {
                path: file.path.clone(),
                line: index + 1,
                what: format!("depends on {LAB}"),
                why: "the program that runs as root contains no scanner and crafts no packets",
                remedy: "only tests, examples and benchmarks use it: [dev-dependencies]",
            });
        }
    }
}

/// The lab sees the program as an administrator does.
fn apart(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with("nightlatch") {
            findings.push(Finding {
                path: file.path.clone(),
                line: index + 1,
                what: format!("{LAB} depends on the program"),
                why: "the lab looks at the program from outside, by its command line and its packets",
                remedy: "start the program, or take what is needed as an argument",
            });
        }
    }
}

fn no_tools(file: &File, findings: &mut Vec<Finding>) {
    let code = Code::of(&file.text);
    let words = code.lines().flat_map(|(line, text)| {
        TOOLS.into_iter().filter(|word| stands_in(text, word)).map(move |word| (line, word))
    });
    // Strings are blank in the code: of the text, only the lines are read that the code has too.
    let lines = file.text.lines().zip(code.lines());
    let programs = lines.flat_map(|(text, (line, _))| {
        PROGRAMS.into_iter().filter(|name| text.contains(name)).map(move |name| (line, name))
    });
    for (line, word) in words.chain(programs) {
        let is_other = |(path, meant, _): &(&str, &str, &str)| *path == file.path && *meant == word;
        if MEANT_OTHERWISE.iter().any(is_other) {
            continue;
        }
        findings.push(Finding {
            path: file.path.clone(),
            line,
            what: format!("names `{word}`"),
            why: "the program that runs as root crafts no packets and makes no network namespaces",
            remedy: "move it to crates/nightlatch-lab",
        });
    }
}

/// Whether a word stands in a line by itself.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.get(word.len()..).unwrap_or_default();
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}
