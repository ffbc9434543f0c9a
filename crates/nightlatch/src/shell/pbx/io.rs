//! Finds out which PBX runs, and queries its console.

use std::fs;
use std::time::Duration;

use super::{Console, Driver, PbxAnswer, Registration, Subjects, Unread, asterisk, kamailio};
use crate::shell::clock::Stopwatch;
use crate::shell::programs;

/// How long a console may take to answer.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How long all queries together may take. A PBX under load answers slowly.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(12);
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 16 << 20;
/// The most processes that are looked at.
const MAX_PROCESSES: usize = 65_536;

/// Prefixes of the process names of PBXs whose console is not supported.
const OTHERS: [(&str, &str); 3] = [("freeswitch", "FreeSWITCH"), ("3CX", "3CX"), ("3cx", "3CX")];

/// The names of the PBX processes in this network namespace, each once. It reads the names of all
/// processes, which is fast enough for the daemon.
pub fn running() -> Vec<String> {
    let own = fs::read_link("/proc/thread-self/ns/net").ok();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<String> = processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .take(MAX_PROCESSES)
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let name = name.trim_end();
            let is_pbx = console_of(name).is_some() || other_of(name).is_some();
            if !is_pbx {
                return None;
            }
            let namespace = fs::read_link(entry.path().join("ns/net")).ok();
            // An unreadable namespace counts as this one: an unprivileged user cannot read it.
            let is_near = namespace.is_none() || own.is_none() || namespace == own;
            is_near.then(|| name.to_owned())
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn console_of(program: &str) -> Option<Console> {
    match program {
        "asterisk" => Some(Console::Asterisk),
        "kamailio" => Some(Console::Kamailio),
        _ => None,
    }
}

fn other_of(program: &str) -> Option<&'static str> {
    OTHERS.iter().find(|(mark, _)| program.starts_with(mark)).map(|(_, name)| *name)
}

/// Asks the PBX about `subjects`. `programs` are the names of the processes of this network
/// namespace, from [`running`] or from the survey.
///
/// Each query takes at most 3 seconds and all together at most 12. If one gets no answer, no other is
/// sent to that console. It starts programs, so do not call it in the daemon's main loop.
pub fn ask(programs: &[String], subjects: Subjects) -> PbxAnswer {
    let watch = Stopwatch::start();
    let mut answer = PbxAnswer::default();
    let mut consoles: Vec<Console> = programs.iter().filter_map(|name| console_of(name)).collect();
    consoles.sort_unstable();
    consoles.dedup();
    answer.not_asked = consoles.is_empty().then(|| nobody(programs));
    for console in consoles {
        let failures = answer.unread.len();
        match console {
            Console::Asterisk => {
                let mut run = |command: &str| run(&watch, "asterisk", &["-rx", command]);
                asterisk::ask(subjects, &mut run, &mut answer);
            }
            Console::Kamailio => {
                let mut run = |arguments: &[&str]| run(&watch, "kamcmd", arguments);
                kamailio::ask(subjects, &mut run, &mut answer);
            }
        }
        // A console whose first query failed did not answer; `unread` says why.
        if answer.unread.len() == failures || !answer.is_empty() {
            answer.asked.push(console);
        }
    }
    answer
}

fn nobody(programs: &[String]) -> String {
    match programs.iter().find_map(|name| other_of(name)) {
        Some(other) => format!("the console of {other} is not supported"),
        None => "neither Asterisk nor Kamailio runs here".to_owned(),
    }
}

fn run(watch: &Stopwatch, program: &str, arguments: &[&str]) -> Result<String, String> {
    let left = TOTAL_TIMEOUT.saturating_sub(watch.elapsed());
    if left.is_zero() {
        let most = TOTAL_TIMEOUT.as_secs();
        return Err(format!("skipped: the previous queries took more than {most} seconds"));
    }
    programs::run(program, arguments, MAX_ANSWER, QUESTION_TIMEOUT.min(left))
}

/// What [`register_again`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// The commands that were run.
    pub asked: Vec<String>,
    /// The registrations that were not renewed, and why.
    pub not_asked: Vec<Unread>,
}

/// Makes the PBX register again, so that the kernel sees where REGISTER is actually sent.
///
/// Only `chan_pjsip` has a command for it. It **unregisters first** and registers after a random
/// delay of up to `max_random_initial_delay` (default: 10 seconds). In between, the server has no
/// address for calls to this PBX, and if it does not answer then, this remains so. The other drivers
/// are not asked: `chan_sip` and IAX2 would have to be reloaded, and Kamailio's `uac.reg_refresh`
/// reloads the registration from its database.
pub fn register_again(registrations: &[Registration]) -> Again {
    let mut again = Again::default();
    if registrations.iter().any(|registration| registration.driver == Driver::Pjsip) {
        let command = "pjsip send register *all";
        let shown = format!("asterisk -rx \"{command}\"");
        match run(&Stopwatch::start(), "asterisk", &["-rx", command]) {
            Ok(text) if text.starts_with("Re-register all queued") => again.asked.push(shown),
            Ok(text) => {
                let first = text.lines().next().unwrap_or("no answer");
                let reason: String = first.chars().filter(|c| !c.is_control()).take(200).collect();
                again.not_asked.push(Unread::new(shown, reason));
            }
            Err(reason) => again.not_asked.push(Unread::new(shown, reason)),
        }
    }
    for registration in registrations {
        let reason = match registration.driver {
            Driver::Pjsip => continue,
            Driver::Sip => "chan_sip renews it only on its own or after \"sip reload\"",
            Driver::Iax2 => "IAX2 renews it only on its own or after \"iax2 reload\"",
            Driver::Kamailio => {
                "Kamailio renews it on its own; \"uac.reg_refresh\" would reload its database"
            }
        };
        again.not_asked.push(Unread::new(registration.name.clone(), reason));
    }
    again
}
