//! One daemon per network namespace and per state folder.

use std::fs::File;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use nightlatch_core::action::Level;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::clock::Stopwatch;
use super::journal;
use super::outcome::{Code, Failure};
use super::paths::Paths;

/// The name that says that this network namespace is guarded.
const NAME: &str = "nightlatch-daemon";

/// How long a lock is waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Held as long as the daemon lives; the kernel lets go of it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _state: File,
    _namespace: Option<UnixListener>,
}

impl Lock {
    /// Takes the lock, waiting a little for one that is about to be let go: a daemon that was
    /// just killed, or a command that works without one.
    ///
    /// # Errors
    /// Another daemon holds it, or the state folder cannot be written.
    pub fn take(paths: &Paths) -> Result<Lock, Failure> {
        let waiting = Stopwatch::start();
        loop {
            match Lock::try_take(paths) {
                Err(failure) if failure.code == Code::No && waiting.elapsed() < TIMEOUT => {
                    std::thread::sleep(TIMEOUT / 20);
                }
                taken => return taken,
            }
        }
    }

    fn try_take(paths: &Paths) -> Result<Lock, Failure> {
        let path = paths.state_dir.join("lock");
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let state = options.map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}", path.display()))
        })?;
        rustix::fs::flock(&state, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
            |_| {
                Failure::no(format!(
                    "another nightlatch daemon already uses {}: \"nightlatch status\" shows its state",
                    paths.state_dir.display()
                ))
            },
        )?;
        Ok(Lock { _state: state, _namespace: take_namespace()? })
    }
}

/// Names of abstract sockets belong to the network namespace, as the firewall does. But every
/// local user may take one: a name held by another user must not prevent the start.
fn take_namespace() -> Result<Option<UnixListener>, Failure> {
    let held = SocketAddr::from_abstract_name(NAME).and_then(|name| UnixListener::bind_addr(&name));
    match held {
        Ok(listener) => Ok(Some(listener)),
        Err(_) if is_held_by_us() => Err(Failure::no(
            "another nightlatch daemon already manages this network namespace, with another state folder: stop it first",
        )),
        Err(error) => {
            let message = format!(
                "a program of another user has taken the name @{NAME}, perhaps to keep the daemon from starting; continuing without this lock ({error})"
            );
            journal::tell(Level::Warning, &message);
            Ok(None)
        }
    }
}

/// Whether the name's holder listens, and began to as root or as the user that we are. Never
/// waits: a full queue is not ours either, since nobody but a stranger fills it.
fn is_held_by_us() -> bool {
    let holder = || -> rustix::io::Result<rustix::process::Uid> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new_abstract_name(NAME.as_bytes())?)?;
        Ok(rustix::net::sockopt::socket_peercred(&socket)?.uid)
    };
    // A daemon that begins has the name a moment before it listens.
    let uid = holder().or_else(|_| {
        std::thread::sleep(Duration::from_millis(50));
        holder()
    });
    uid.is_ok_and(|uid| uid.is_root() || uid == rustix::process::geteuid())
}
