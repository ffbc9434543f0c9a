//! What others do with a list: `ipset restore` and `nft -f`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Taken, peak_of};

/// A program of others, and how it wants to be told.
pub(crate) struct Tool {
    command: &'static [&'static str],
    create: fn(&str) -> String,
    add: fn(&[&str]) -> String,
    delete: fn(&[&str]) -> String,
}

pub(crate) const IPSET: Tool = Tool {
    command: &["ipset", "restore", "-file"],
    create: |family| {
        let family = if family == "ipv6_addr" { "inet6" } else { "inet" };
        format!("create x hash:net family {family} maxelem 2000000\n")
    },
    add: |networks| lines("add x ", networks, "\n"),
    delete: |networks| lines("del x ", networks, "\n"),
};

pub(crate) const NFT: Tool = Tool {
    command: &["nft", "-f"],
    create: |family| {
        format!(
            "add table inet t\nadd set inet t x {{ type {family}; flags interval; }}\n\
             add chain inet t c {{ type filter hook input priority 0; }}\n"
        )
    },
    add: |networks| format!("add element inet t x {{\n{}}}\n", lines("", networks, ",\n")),
    delete: |networks| format!("delete element inet t x {{\n{}}}\n", lines("", networks, ",\n")),
};

pub(crate) fn load(tool: &Tool, old: &Path, new: Option<&Path>) -> Taken {
    let old = std::fs::read_to_string(old).unwrap();
    let family = if old.starts_with("24") { "ipv6_addr" } else { "ipv4_addr" };
    let all: Vec<&str> = old.lines().collect();
    let first = run(tool, &((tool.create)(family) + &(tool.add)(&all)));
    let Some(new) = new else { return first };
    let new = std::fs::read_to_string(new).unwrap();
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (old.lines().collect(), new.lines().collect());
    let gone: Vec<&str> = old.difference(&new).copied().collect();
    let come: Vec<&str> = new.difference(&old).copied().collect();
    run(tool, &((tool.delete)(&gone) + &(tool.add)(&come)))
}

fn run(tool: &Tool, text: &str) -> Taken {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (program, arguments) = tool.command.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(file.path()).stdin(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut kilobytes = 0;
    let status = loop {
        // The last look is at most so long before its end; memory only grows meanwhile.
        std::thread::sleep(Duration::from_millis(2));
        kilobytes = peak_of(&child.id().to_string()).unwrap_or(kilobytes);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{program}: {status}");
    Taken { seconds: started.elapsed().as_secs_f64(), kilobytes }
}

fn lines(before: &str, networks: &[&str], after: &str) -> String {
    networks.iter().fold(String::new(), |mut text, network| {
        let _ = write!(text, "{before}{network}{after}");
        text
    })
}
