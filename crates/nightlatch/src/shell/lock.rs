//! One daemon per network namespace and per state folder.

use std::fs::File;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use super::clock::Stopwatch;
use super::outcome::{Code, Failure};
use super::paths::Paths;

/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Held as long as the daemon lives; the kernel lets go of it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _state: File,
    _namespace: UnixListener,
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
                Err(failure) if failure.code == Code::No && waiting.elapsed() < PATIENCE => {
                    std::thread::sleep(PATIENCE / 20);
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
                    "another nightlatch daemon uses {} already: \"nightlatch status\" asks it",
                    paths.state_dir.display()
                ))
            },
        )?;
        // Names of abstract sockets belong to the network namespace, as the firewall does.
        let held = SocketAddr::from_abstract_name("nightlatch-daemon")
            .and_then(|name| UnixListener::bind_addr(&name));
        let namespace = held.map_err(|_| {
            Failure::no(
                "another nightlatch daemon guards this network namespace already, with another state folder: stop it first",
            )
        })?;
        Ok(Lock { _state: state, _namespace: namespace })
    }
}
