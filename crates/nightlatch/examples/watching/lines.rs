//! The log: lines of sshd.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The failures of one attack.
const FAILURES: u32 = 6;
/// How often the lines that come besides are written.
const STEP: Duration = Duration::from_millis(1);

/// A log of sshd.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Log {
        let file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        Log { path, file, stamp: Stamp::begin() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The failed logins of a source, as they are written at once.
    pub(crate) fn attack(&self, source: Ipv4Addr) -> String {
        attack(source, &self.stamp.now())
    }

    /// Those of many sources.
    pub(crate) fn attacks(&self, sources: impl Iterator<Item = Ipv4Addr>) -> String {
        let stamp = self.stamp.now();
        sources.map(|source| attack(source, &stamp)).collect()
    }

    /// Lines that come besides, by their numbers.
    pub(crate) fn besides(&self, numbers: Range<u64>) -> String {
        let stamp = self.stamp.now();
        numbers.map(|number| besides(number, &stamp)).collect()
    }

    pub(crate) fn write(&self, lines: &str) {
        (&self.file).write_all(lines.as_bytes()).unwrap();
    }
}

/// One of the lines that come besides.
fn besides(number: u64, stamp: &str) -> String {
    let process = number % 30_000 + 1;
    if number.is_multiple_of(2) {
        let source = Ipv4Addr::from((30 << 24) + u32::try_from(number / 2 % (1 << 24)).unwrap());
        format!(
            "{stamp} pbx sshd[{process}]: Failed password for root from {source} port 4022 ssh2\n"
        )
    } else {
        format!("{stamp} pbx systemd-logind[{process}]: New session {number} of user operator.\n")
    }
}

fn attack(source: Ipv4Addr, stamp: &str) -> String {
    let line = |number: u32| {
        let (process, port) = (u32::from(source) % 30_000 + number, 40_000 + number);
        format!(
            "{stamp} pbx sshd[{process}]: Failed password for invalid user admin from {source} port {port} ssh2\n"
        )
    };
    (0..FAILURES).map(line).collect()
}

/// The moment as syslog writes it, in local time. It is made by another program, and a thread of its own, so that
/// nothing that is measured waits for it.
#[derive(Clone)]
struct Stamp(Arc<Mutex<String>>);

impl Stamp {
    fn begin() -> Stamp {
        let stamp = Stamp(Arc::new(Mutex::new(Stamp::made())));
        let own = stamp.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                *own.0.lock().unwrap() = Stamp::made();
            }
        });
        stamp
    }

    fn made() -> String {
        let output = Command::new("date").arg("+%b %e %H:%M:%S").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn now(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Lines that come besides.
pub(crate) struct Flood {
    ends: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Flood {
    /// Begins to write; nothing without lines.
    pub(crate) fn begin(log: &Log, rate: usize) -> Option<Flood> {
        if rate == 0 {
            return None;
        }
        let (ends, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let file = log.file.try_clone().unwrap();
        let (end, count) = (Arc::clone(&ends), Arc::clone(&written));
        let stamp = log.stamp.clone();
        let writer = std::thread::spawn(move || write(file, rate, &stamp, &end, &count));
        Some(Flood { ends, written, writer })
    }

    /// Ends it; tells how many lines were written.
    #[expect(clippy::cast_precision_loss, reason = "a few millions")]
    pub(crate) fn end(self) -> f64 {
        self.ends.store(true, Ordering::Relaxed);
        self.writer.join().unwrap();
        self.written.load(Ordering::Relaxed) as f64
    }
}

fn write(mut file: File, rate: usize, stamp: &Stamp, ends: &AtomicBool, written: &AtomicU64) {
    let begin = Instant::now();
    let mut number = 0;
    while !ends.load(Ordering::Relaxed) {
        let now = stamp.now();
        let due = begin.elapsed().as_millis() * u128::try_from(rate).unwrap() / 1000;
        let due = u64::try_from(due).unwrap();
        let text: String = (number..due).map(|number| besides(number, &now)).collect();
        number = due;
        file.write_all(text.as_bytes()).unwrap();
        written.store(number, Ordering::Relaxed);
        std::thread::sleep(STEP);
    }
}
