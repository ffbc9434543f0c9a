//! One daemon per network namespace and per state folder.

use std::fs::File;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::outcome::Failure;
use super::paths::Paths;

/// Held as long as the daemon lives; the kernel lets go of it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _state: File,
    _namespace: UnixListener,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// Another daemon holds it, or the state folder cannot be written.
    pub fn take(paths: &Paths) -> Result<Lock, Failure> {
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
