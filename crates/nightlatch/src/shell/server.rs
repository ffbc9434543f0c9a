//! The daemon's sockets: `control.sock` takes requests, `status.sock` only tells.
//!
//! Each connection has a thread of its own, bounded in number and time, so that a slow or silent
//! client holds up nobody. Requests go to the one loop through a bounded channel.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::api::{Caller, Refusal, RefusalKind, Reply, Request, VERSION};
use serde::{Deserialize, Serialize};

use super::outcome::Failure;
use super::paths::Paths;
use super::{caller, journal};
use crate::run::Message;

/// The longest request or reply, in bytes: an account of 100,000 networks fits.
pub const LONGEST_LINE: u64 = 64 << 20;
/// How many clients may be connected at once.
const MOST_CLIENTS: usize = 64;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
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
pub fn start(paths: &Paths, inbox: &SyncSender<Message>) -> Result<(), Failure> {
    fs::create_dir_all(&paths.run_dir).map_err(|error| {
        Failure::failed(format!("{} cannot be made: {error}", paths.run_dir.display()))
    })?;
    let control = listen(&paths.control_socket(), 0o600)?;
    let status = listen(&paths.status_socket(), 0o666)?;
    let (to_control, to_status) = (inbox.clone(), inbox.clone());
    std::thread::spawn(move || serve(&control, &to_control, converse));
    std::thread::spawn(move || serve(&status, &to_status, tell_status));
    Ok(())
}

fn listen(path: &Path, mode: u32) -> Result<UnixListener, Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("the socket {} cannot be made: {error}", path.display()))
    };
    // The lock says that no other daemon lives: what lies there is left over.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

fn serve(
    listener: &UnixListener,
    inbox: &SyncSender<Message>,
    handle: fn(UnixStream, &SyncSender<Message>) -> std::io::Result<()>,
) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, mostly: wait for others to end.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if clients.fetch_add(1, Ordering::Relaxed) >= MOST_CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (clients, inbox) = (Arc::clone(&clients), inbox.clone());
        std::thread::spawn(move || {
            if let Err(error) = handle(stream, &inbox) {
                journal::tell(Level::Info, &format!("a client left: {error}"));
            }
            clients.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// One client of the control socket: requests and replies in turn, until it leaves.
fn converse(stream: UnixStream, inbox: &SyncSender<Message>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let caller = caller::of(&stream)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.by_ref().take(LONGEST_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = match understand(&line, &caller) {
            Ok(request) => put_to_loop(inbox, caller.clone(), request),
            Err(refusal) => Reply::Refused(refusal),
        };
        write_line(&mut writer, &reply)?;
    }
}

fn understand(line: &str, caller: &Caller) -> Result<Request, Refusal> {
    let refuse = |kind, message: String| Refusal { kind, message };
    let version = serde_json::from_str::<Version>(line);
    if let Ok(Version { version }) = version
        && version != VERSION
    {
        let message = format!(
            "the daemon speaks protocol {VERSION}, you speak {version}: run the command and the daemon from the same version (systemctl restart nightlatch)"
        );
        return Err(refuse(RefusalKind::Wrong, message));
    }
    let envelope: Envelope = serde_json::from_str(line)
        .map_err(|error| refuse(RefusalKind::Wrong, format!("not a request: {error}")))?;
    // The socket's mode keeps others out already; this holds if somebody widens it.
    if caller.uid != 0 {
        let message = "only root may ask the nightlatch daemon: run it with sudo".to_owned();
        return Err(refuse(RefusalKind::NotAllowed, message));
    }
    Ok(envelope.request)
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The status socket: says how things stand, once, and reads nothing.
fn tell_status(mut stream: UnixStream, inbox: &SyncSender<Message>) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let reply = put_to_loop(inbox, Caller::default(), Request::Status);
    match reply {
        Reply::Status(status) => write_line(&mut stream, &status),
        other => write_line(&mut stream, &other),
    }
}

fn put_to_loop(inbox: &SyncSender<Message>, caller: Caller, request: Request) -> Reply {
    let (reply_to, reply) = sync_channel(1);
    let gone = || {
        let message = "the daemon is stopping, or too busy to answer: try again".to_owned();
        Reply::Refused(Refusal { kind: RefusalKind::Failed, message })
    };
    if inbox.send(Message::Asked { caller, request, reply_to }).is_err() {
        return gone();
    }
    reply.recv_timeout(ANSWER).unwrap_or_else(|_| gone())
}

fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}
