//! Clients of the control socket that all change something at the same time. Each blocks and unblocks
//! ranges of its own, and knows what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nightlatch::shell::server::Envelope;
use nightlatch_core::AddrRange;
use nightlatch_core::api::{Cause, Refusal, Reply, Request};
use nightlatch_core::features::blocks::{NewBlock, Request as BlockRequest};
use serde_json::Value;

use super::TIMEOUT;
use super::found::{Closed, blocks};
use crate::support::{Installation, wait_until};

const CLIENTS: u8 = 16;
/// Nobody blocks it.
const NEVER_BLOCKED: &str = "203.0.113.20";

/// All clients, and what they know.
pub(super) struct Clients(Vec<Client>);

struct Client {
    ranges: Vec<Own>,
    /// Which of them is changed next.
    next: usize,
}

/// A range of a client.
struct Own {
    range: AddrRange,
    /// What was acknowledged last.
    blocked: bool,
    /// Whether the daemon was killed before it answered the next change.
    in_doubt: bool,
    /// What was done to it, in order.
    happened: Vec<&'static str>,
}

/// How changes were answered.
#[derive(Default)]
pub(super) struct Answers {
    /// By client: done, or written down at least.
    done: Vec<AtomicUsize>,
    refused: AtomicUsize,
}

impl Clients {
    pub(super) fn new() -> Clients {
        Clients((0..CLIENTS).map(Client::new).collect())
    }

    /// Does something while all clients change one thing after the other.
    pub(super) fn during<T>(
        &mut self,
        nightlatch: &Installation<'_>,
        work: impl FnOnce(&Answers) -> T,
    ) -> T {
        let socket = nightlatch.run().join("control.sock");
        let done = self.0.iter().map(|_| AtomicUsize::new(0)).collect();
        let answers = Answers { done, ..Answers::default() };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Also if the work fails: the clients would ask for ever otherwise.
            let _ends = Ends(&over);
            for (number, client) in self.0.iter_mut().enumerate() {
                let (socket, over, answers) = (&socket, &over, &answers);
                scope.spawn(move || client.ask(socket, over, answers, number));
            }
            work(&answers)
        })
    }

    fn ranges(&self) -> impl Iterator<Item = &Own> {
        self.0.iter().flat_map(|client| &client.ranges)
    }

    /// After a kill: what was acknowledged is in the records, and was in the kernel that the daemon
    /// left. What was not answered has happened or not, and opened nothing that the records do not.
    pub(super) fn find_out(&mut self, left: &Closed, nightlatch: &Installation<'_>) {
        let recorded = blocks(nightlatch);
        for address in self.addresses() {
            let over = || self.ranges().filter(|own| own.range.contains(address));
            let still = |own: &Own| !own.in_doubt || recorded.contains(&own.range);
            let must = over().any(|own| own.blocked && still(own));
            let may = over().any(|own| own.blocked || own.in_doubt);
            let closed = left.contains(address);
            assert!(closed || !must, "{address} is blocked, but was open in the kernel");
            assert!(!closed || may, "{address} is not blocked, but was closed in the kernel");
        }
        for own in self.0.iter_mut().flat_map(|client| &mut client.ranges) {
            if std::mem::take(&mut own.in_doubt) && recorded.contains(&own.range) != own.blocked {
                own.change();
            }
        }
        self.compare(nightlatch, &recorded);
    }

    /// The records are what was acknowledged.
    pub(super) fn compare_records(&self, nightlatch: &Installation<'_>) {
        self.compare(nightlatch, &blocks(nightlatch));
    }

    fn compare(&self, nightlatch: &Installation<'_>, recorded: &BTreeSet<AddrRange>) {
        let known = self.ranges().filter(|own| own.blocked).map(|own| own.range);
        assert_eq!(*recorded, known.collect(), "{}", nightlatch.log());
    }

    /// The first address about which the kernel does not say what was acknowledged.
    pub(super) fn difference(&self, kernel: &Closed) -> Option<IpAddr> {
        self.addresses().into_iter().find(|address| {
            let blocked = self.ranges().any(|own| own.blocked && own.range.contains(*address));
            kernel.contains(*address) != blocked
        })
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let ends =
            self.ranges().flat_map(|own| [own.range.first_address(), own.range.last_address()]);
        ends.chain([NEVER_BLOCKED.parse().unwrap()]).collect()
    }

    /// Every change has its record, in order, and nothing else has.
    pub(super) fn compare_log(&self, nightlatch: &Installation<'_>) {
        let verified = nightlatch.must(&["log", "--verify"]);
        assert!(verified.contains("intact"), "{verified}");
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in nightlatch.must(&["log", "--json"]).lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| record[name].as_str().unwrap().to_owned();
            if ["block", "unblock"].contains(&word("action").as_str()) {
                found.entry(word("subject")).or_default().push(word("action"));
            }
        }
        for own in self.ranges() {
            let found = found.remove(&own.range.to_string()).unwrap_or_default();
            assert_eq!(found, own.happened, "{}", own.range);
        }
        assert!(found.is_empty(), "{found:?}");
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Answers {
    /// How many changes were done.
    pub(super) fn done(&self) -> usize {
        self.done.iter().map(|done| done.load(Ordering::SeqCst)).sum()
    }

    /// How many were refused, and changed nothing.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Waits until so many more changes of each client are done.
    pub(super) fn wait_for_each(&self, more: usize) {
        let done = || self.done.iter().map(|done| done.load(Ordering::SeqCst));
        let before: Vec<usize> = done().collect();
        wait_until("changes of each client", TIMEOUT, || {
            done().zip(&before).all(|(done, before)| done >= before + more)
        });
    }

    /// Waits until so many more changes are refused.
    pub(super) fn wait_for_refusals(&self, more: usize) {
        let before = self.refused();
        wait_until("changes are refused", TIMEOUT, || self.refused() >= before + more);
    }
}

impl Client {
    /// Ranges that touch those of other clients, overlap them, hold them, or have nothing to do with
    /// them.
    fn new(number: u8) -> Client {
        let overlapping = 64 + 2 * number;
        let ranges = [
            format!("203.0.113.{}", 32 + number),
            format!("203.0.113.{overlapping}-203.0.113.{}", overlapping + 4),
            match number % 2 {
                0 => format!("203.0.113.{}/29", 128 + 4 * number),
                _ => format!("203.0.113.{}", 127 + 4 * number),
            },
            format!("2001:db8:5::{number:x}"),
        ];
        let own = |text: String| Own {
            range: text.parse().unwrap(),
            blocked: false,
            in_doubt: false,
            happened: Vec::new(),
        };
        Client { ranges: ranges.map(own).into(), next: 0 }
    }

    /// Changes one range after the other until it is over or the daemon is killed.
    fn ask(&mut self, socket: &Path, over: &AtomicBool, answers: &Answers, number: usize) {
        let Ok(stream) = UnixStream::connect(socket) else { return };
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut reader = BufReader::new(stream);
        while !over.load(Ordering::SeqCst) {
            let at = self.next;
            self.next = (at + 1) % self.ranges.len();
            let own = &mut self.ranges[at];
            let Some(reply) = ask(&mut reader, own.request()) else {
                own.in_doubt = true;
                return;
            };
            match reply {
                Reply::Done(_) => {
                    own.change();
                    answers.done[number].fetch_add(1, Ordering::SeqCst);
                }
                Reply::Refused(Refusal { why: Cause::NotWritten { .. }, .. }) => {
                    answers.refused.fetch_add(1, Ordering::SeqCst);
                }
                // Another program is at the table.
                Reply::Refused(Refusal { why: Cause::NotInKernel { .. }, .. }) => own.change(),
                other => panic!("{}: {other:?}", own.range),
            }
        }
    }
}

impl Own {
    fn request(&self) -> Request {
        let (range, reason) = (self.range, String::new());
        if self.blocked {
            return Request::of(BlockRequest::Remove { range });
        }
        let new = NewBlock { range, lasts: None, reason };
        Request::of(BlockRequest::Set(new)).forced(true)
    }

    /// The change was made.
    fn change(&mut self) {
        self.happened.push(if self.blocked { "unblock" } else { "block" });
        self.blocked = !self.blocked;
    }
}

/// The answer; `None` if the daemon was killed before.
fn ask(connection: &mut BufReader<UnixStream>, request: Request) -> Option<Reply> {
    let mut line = serde_json::to_vec(&Envelope::new(request)).unwrap();
    line.push(b'\n');
    connection.get_mut().write_all(&line).ok()?;
    let mut reply = String::new();
    match connection.read_line(&mut reply) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("not answered"),
        Err(_) => None,
        Ok(_) => serde_json::from_str(&reply).ok(),
    }
}
