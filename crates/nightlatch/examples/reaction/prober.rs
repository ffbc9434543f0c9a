//! The stranger who never stops asking, and the server's service that answers.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nightlatch_lab::stage::Host;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where the service listens.
const PORT: u16 = 5060;
/// How often the stranger asks.
const INTERVAL: Duration = Duration::from_millis(1);
/// How many ports it asks from in turn; an answer has so many milliseconds to arrive.
const PORTS: usize = 400;

/// How the server's answers begin, as those of a telephone server do.
const ANSWER: &[u8; 8] = b"SIP/2.0 ";

/// A service that sends everything back, as the answer to a request.
pub(crate) struct Echo(Running);

impl Echo {
    /// On a host.
    pub(crate) fn on(host: &Host) -> Echo {
        let socket = host.run(|| UdpSocket::bind((host.v4(), PORT))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Echo(Running::start(move |ended| {
            let mut buffer = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    // Who asks may be cut off meanwhile.
                    let _ = socket.send_to(&[&ANSWER[..], &buffer[..length]].concat(), peer);
                }
            }
            Vec::new()
        }))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A stranger at work.
pub(crate) struct Prober {
    sender: Running,
    receiver: Running,
}

impl Prober {
    /// Begins to ask.
    pub(crate) fn start(from: &Host, to: &Host) -> Prober {
        let target = SocketAddr::new(to.v4(), PORT);
        let open = || -> std::io::Result<Vec<UdpSocket>> {
            (0..PORTS)
                .map(|_| {
                    let socket = UdpSocket::bind((from.v4(), 0))?;
                    socket.connect(target)?;
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                })
                .collect()
        };
        let sockets = Arc::new(from.run(open).unwrap().unwrap());
        let receiving = Arc::clone(&sockets);
        Prober {
            sender: Running::start(move |ended| ask(&sockets, ended)),
            receiver: Running::start(move |ended| listen(&receiving, ended)),
        }
    }

    /// Ends, and tells what was seen.
    pub(crate) fn stop(mut self) -> Seen {
        let sent = self.sender.stop();
        // The last answers are on their way.
        std::thread::sleep(Duration::from_millis(200));
        let mut probes: Vec<(Instant, bool)> =
            sent.into_iter().map(|(_, time)| (time, false)).collect();
        for (number, _) in self.receiver.stop() {
            probes[number].1 = true;
        }
        Seen { probes }
    }
}

/// When probes were sent, and whether each was answered.
pub(crate) struct Seen {
    probes: Vec<(Instant, bool)>,
}

impl Seen {
    /// How many were sent.
    pub(crate) fn sent(&self) -> usize {
        self.probes.len()
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> usize {
        self.probes.iter().filter(|(_, answered)| *answered).count()
    }

    /// The first probe after `since` that was answered, and the first after the last answered one:
    /// from then on there was silence.
    pub(crate) fn opening(&self, since: Instant) -> Option<(Instant, Instant)> {
        let (first, _) = self.probes.iter().find(|(sent, answered)| *answered && *sent > since)?;
        let last = self.probes.iter().rposition(|(_, answered)| *answered)?;
        let silent = self.probes.get(last + 1);
        let (silent, _) = silent.expect("the stranger is answered to the end");
        Some((*first, *silent))
    }
}

/// Numbers of probes, with times.
type Noted = Vec<(usize, Instant)>;

fn ask(sockets: &[UdpSocket], ended: &AtomicBool) -> Noted {
    let mut noted = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let number = noted.len();
        noted.push((number, Instant::now()));
        // A refusal of an earlier probe may come back here.
        let _ = sockets[number % PORTS].send(&number.to_ne_bytes());
        std::thread::sleep(INTERVAL);
    }
    noted
}

fn listen(sockets: &[UdpSocket], ended: &AtomicBool) -> Noted {
    let mut noted = Vec::new();
    let soon = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    while !ended.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd<'_>> = sockets
            .iter()
            .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
            .collect();
        poll(&mut waiting, Some(&soon)).unwrap();
        let ready: Vec<bool> = waiting.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (socket, _) in sockets.iter().zip(ready).filter(|(_, ready)| *ready) {
            let mut answer = [0; 64];
            while let Ok(length) = socket.recv(&mut answer) {
                let number = answer[ANSWER.len()..length].try_into().unwrap();
                noted.push((usize::from_ne_bytes(number), Instant::now()));
            }
        }
    }
    noted
}

/// Work on a thread until it is stopped.
struct Running {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Noted>>,
}

impl Running {
    fn start(work: impl FnOnce(&AtomicBool) -> Noted + Send + 'static) -> Running {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = std::thread::spawn(move || work(&seen));
        Running { ended, thread: Some(thread) }
    }

    fn stop(&mut self) -> Noted {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}
