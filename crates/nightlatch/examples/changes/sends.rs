//! How often the daemon, and programs that it starts, send something to the kernel over netlink.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nightlatch_core::api::Request;
use nightlatch_core::features::accounts::{self, Entry, NewAccount};
use nightlatch_core::service::Grant;
use rustix::process::{Pid, Signal, kill_process};

use crate::Bench;
use crate::client::stranger;
use crate::stand::{self, LARGE, Load, SMALL, Stand};
use crate::table::{Aim, median, row};

/// How many accounts are added.
const ALLOWS: u8 = 20;
/// How long after each answer what is sent still counts for the request.
const AFTERWARDS: Duration = Duration::from_millis(500);

pub(crate) fn measure(bench: &Bench) {
    for (addresses, load) in [("10", SMALL), ("100,000", LARGE)] {
        let (old, own) = bench.in_turn(|program| sends(program, load));
        let what = format!("sends over netlink for one `allow`, {addresses} addresses");
        row(&what, ("", 0), median(old.concat()), median(own.concat()), Aim::AtMost(6.0));
    }
}

/// The sends for each of some requests.
fn sends(program: &Path, load: Load) -> Vec<f64> {
    stand::with(program, load, |stand| {
        let trace = Trace::begin(stand);
        let mut client = stand.client();
        let mut requests = Vec::new();
        for number in 0..ALLOWS {
            let begin = now();
            client.ask(allow(number));
            std::thread::sleep(AFTERWARDS);
            requests.push(begin..now());
        }
        let sent = trace.end();
        let within = |request: &Range<Duration>| {
            let sent = sent.iter().filter(|at| request.contains(at)).count();
            f64::from(u32::try_from(sent).unwrap())
        };
        requests.iter().map(within).collect()
    })
}

/// Since 1970, as strace tells it.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn allow(number: u8) -> Request {
    Request::of(accounts::Request::Allow(NewAccount {
        hours: None,
        name: format!("telephone-{number}").parse().unwrap(),
        entries: vec![Entry::Range(IpAddr::from(stranger(number)).into())],
        services: Grant::parse("sip").unwrap(),
        lasts: None,
        until: None,
        note: String::new(),
        hosts: accounts::HostOptions::default(),
    }))
}

/// strace at the daemon; killed when dropped.
struct Trace {
    strace: Child,
    output: PathBuf,
}

impl Trace {
    fn begin(stand: &Stand<'_>) -> Trace {
        let output = stand.folder().join("trace");
        // All calls by which something can be sent through a socket; -yy tells which socket it is.
        let strace = Command::new("strace")
            .args(["-f", "-ttt", "-yy", "-s", "0", "-e", "signal=none"])
            .args(["-e", "trace=sendmsg,sendmmsg,sendto,write,writev", "-o"])
            .arg(&output)
            .args(["-p", &stand.process().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut trace = Trace { strace, output };
        let mut said = BufReader::new(trace.strace.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        // The rest of what it says: a full pipe would hold it up.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        // All threads are attached by then.
        std::thread::sleep(Duration::from_millis(500));
        trace
    }

    /// When something was sent over netlink, since 1970.
    fn end(mut self) -> Vec<Duration> {
        let process = Pid::from_child(&self.strace);
        kill_process(process, Signal::TERM).unwrap();
        self.strace.wait().unwrap();
        let text = std::fs::read_to_string(&self.output).unwrap();
        text.lines().filter(|line| is_send(line)).map(time_of).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// `PROCESS TIME sendto(7<NETLINK:[NETFILTER:4711]>, ...`; not the second half of a call that took
/// long.
fn is_send(line: &str) -> bool {
    let socket = line.split_once('(').and_then(|(_, arguments)| arguments.split_once('<'));
    !line.contains(" resumed>") && socket.is_some_and(|(_, what)| what.starts_with("NETLINK:"))
}

fn time_of(line: &str) -> Duration {
    Duration::from_secs_f64(line.split_whitespace().nth(1).unwrap().parse().unwrap())
}
