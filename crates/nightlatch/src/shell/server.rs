//! The daemon's sockets: `control.sock` takes requests, `status.sock` only tells.
//!
//! Each connection has a thread of its own, bounded in number and time: who comes when all are
//! busy waits, and a slow or silent client has to leave. Requests go to the one loop through a
//! channel; each client has one on its way at most.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::api::{Caller, Cause, Refusal, RefusalKind, Reply, Request, VERSION};
use serde::{Deserialize, Serialize};

use super::clock::Stopwatch;
use super::inbox::{Inbox, Message};
use super::outcome::Failure;
use super::paths::Paths;
use super::{caller, journal};

/// The longest request or reply, in bytes: an account of 100,000 networks fits.
pub const MAX_LINE_LEN: u64 = 64 << 20;
/// How many requests to features may come as one: `up` makes some accounts at once.
const MAX_REQUESTS: usize = 64;
/// How many clients of a socket are served at once; the unit's `TasksMax=` must hold all of both.
const MAX_CLIENTS: usize = 64;
/// How long a client may take to say what it wants.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the loop may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// What travels to the daemon: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The protocol's number, [`VERSION`].
    version: u32,
    /// What is asked.
    request: Request,
}

impl Envelope {
    /// A request in today's protocol.
    pub fn new(request: Request) -> Envelope {
        Envelope { version: VERSION, request }
    }
}

/// Opens both sockets and begins to serve them.
///
/// # Errors
/// The folder or a socket cannot be made.
pub fn start(paths: &Paths, inbox: &Inbox) -> Result<(), Failure> {
    fs::create_dir_all(&paths.run_dir).map_err(|error| {
        Failure::failed(format!("cannot create {}: {error}", paths.run_dir.display()))
    })?;
    let control = listen(&paths.control_socket(), 0o600)?;
    let status = listen(&paths.status_socket(), 0o666)?;
    let (to_control, to_status) = (inbox.clone(), inbox.clone());
    std::thread::spawn(move || serve(&control, &to_control, converse));
    std::thread::spawn(move || serve(&status, &to_status, tell_status));
    Ok(())
}

fn listen(path: &Path, mode: u32) -> Result<UnixListener, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!("cannot create the socket {}: {error}", path.display()))
    };
    // The lock says that no other daemon lives: what lies there is left over.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

fn serve(listener: &UnixListener, inbox: &Inbox, handle: fn(UnixStream, &Inbox) -> io::Result<()>) {
    let room = Arc::new(Room::default());
    loop {
        let seat = Seat::take(&room);
        let Ok((stream, _)) = listener.accept() else {
            // Out of file descriptors, mostly: wait for others to end.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let inbox = inbox.clone();
        let client = move || {
            let _seat = seat;
            if let Err(error) = handle(stream, &inbox) {
                journal::tell(Level::Info, &format!("client disconnected: {error}"));
            }
        };
        if let Err(error) = std::thread::Builder::new().spawn(client) {
            journal::tell(Level::Warning, &format!("cannot serve a client: {error}"));
        }
    }
}

/// Counts the clients that are served.
#[derive(Default)]
struct Room {
    taken: Mutex<usize>,
    left: Condvar,
}

/// A client's place; free again when dropped.
struct Seat(Arc<Room>);

impl Seat {
    /// Waits for a place.
    fn take(room: &Arc<Room>) -> Seat {
        let taken = room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken >= MAX_CLIENTS;
        let mut taken =
            room.left.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Seat(Arc::clone(room))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

/// One client of the control socket: requests and replies in turn, until it leaves.
fn converse(stream: UnixStream, inbox: &Inbox) -> io::Result<()> {
    stream.set_write_timeout(Some(TIMEOUT))?;
    let caller = caller::of(&stream)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(Patient { stream, waiting: Stopwatch::start() });
    loop {
        reader.get_mut().waiting = Stopwatch::start();
        let line = match read_line(&mut reader) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                // The client may have disconnected.
                let message = format!("invalid request: {error}");
                let _ = write_line(&mut writer, &refuse(RefusalKind::Wrong, message));
                return Err(error);
            }
        };
        let reply = match understand(&line, &caller) {
            Ok(request) => put_to_loop(inbox, caller.clone(), request),
            Err((kind, why)) => refuse(kind, why),
        };
        write_line(&mut writer, &reply)?;
    }
}

/// Reads with a patience for the whole request, however slowly it drips.
struct Patient {
    stream: UnixStream,
    waiting: Stopwatch,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let late =
            || io::Error::new(ErrorKind::TimedOut, "the request took longer than 10 seconds");
        let left = TIMEOUT.checked_sub(self.waiting.elapsed()).filter(|left| !left.is_zero());
        self.stream.set_read_timeout(Some(left.ok_or_else(late)?))?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
            _ => error,
        })
    }
}

/// One line, `None` at the end.
fn read_line(reader: &mut BufReader<Patient>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE_LEN).read_until(b'\n', &mut line)?;
    if line.len() as u64 == MAX_LINE_LEN && line.last() != Some(&b'\n') {
        return Err(io::Error::other(format!("longer than {} MiB", MAX_LINE_LEN >> 20)));
    }
    Ok((!line.is_empty()).then_some(line))
}

/// The request, or what kind of refusal it meets, and why.
fn understand(line: &[u8], caller: &Caller) -> Result<Request, (RefusalKind, String)> {
    let wrong = |why| (RefusalKind::Wrong, why);
    let version = serde_json::from_slice::<Version>(line);
    if let Ok(Version { version }) = version
        && version != VERSION
    {
        return Err(wrong(format!(
            "the daemon uses protocol version {VERSION}, this command uses {version}: use the same version of both (systemctl restart nightlatch)"
        )));
    }
    let envelope: Envelope =
        serde_json::from_slice(line).map_err(|error| wrong(format!("invalid request: {error}")))?;
    // The socket's mode keeps others out already; this holds if somebody widens it.
    if caller.uid != 0 {
        let why = "only root may use the nightlatch daemon: run the command with sudo".to_owned();
        return Err((RefusalKind::NotAllowed, why));
    }
    if let Request::Do(ask) = &envelope.request
        && ask.requests.len() > MAX_REQUESTS
    {
        return Err(wrong(format!(
            "too many requests at once: {}; at most {MAX_REQUESTS} are possible",
            ask.requests.len()
        )));
    }
    Ok(envelope.request)
}

fn refuse(kind: RefusalKind, what: String) -> Reply {
    Reply::Refused(Refusal::new(kind, Cause::Said { what }))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The status socket: says how things stand, once, and reads nothing.
fn tell_status(mut stream: UnixStream, inbox: &Inbox) -> io::Result<()> {
    stream.set_write_timeout(Some(TIMEOUT))?;
    let reply = put_to_loop(inbox, Caller::default(), Request::Status);
    match reply {
        Reply::Status(status) => write_line(&mut stream, &status),
        other => write_line(&mut stream, &other),
    }
}

fn put_to_loop(inbox: &Inbox, caller: Caller, request: Request) -> Reply {
    let (reply_to, reply) = sync_channel(1);
    let gone = || {
        let why = "the daemon is stopping, or too busy to answer: try again".to_owned();
        refuse(RefusalKind::Failed, why)
    };
    if inbox.send(Message::Asked { caller, request, reply_to }).is_err() {
        return gone();
    }
    reply.recv_timeout(ANSWER).unwrap_or_else(|_| gone())
}

fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}
