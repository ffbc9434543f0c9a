//! The command line's end of the control socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nightlatch_core::api::{Done, Reply, Request, Status};

use super::outcome::{Code, Failure};
use super::paths::Paths;
use super::server::{Envelope, MAX_LINE_LEN};

/// How long a reply may take: a change of very long lists, not of the network.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks the daemon.
///
/// # Errors
/// The daemon does not run or does not let the caller in, or refused what was asked.
pub fn ask(paths: &Paths, request: Request) -> Result<Reply, Failure> {
    let path = paths.control_socket();
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Failure::new(
            Code::NotAllowed,
            "only root may use the nightlatch daemon: run the command with sudo",
        ),
        _ => not_running(&path, &error),
    })?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| broken(&error))?;
    let mut line = serde_json::to_vec(&Envelope::new(request)).map_err(|error| broken(&error))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|error| broken(&error))?;
    let mut reply = String::new();
    let mut reader = BufReader::new(stream).take(MAX_LINE_LEN);
    reader.read_line(&mut reply).map_err(|error| broken(&error))?;
    if reply.is_empty() {
        return Err(broken(
            &"the connection was closed; check with \"nightlatch list\" or \"nightlatch log\" whether the change was made",
        ));
    }
    match serde_json::from_str(&reply).map_err(|error| broken(&error))? {
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}

/// How things stand, from the socket that only tells.
///
/// # Errors
/// The daemon does not run, or does not answer.
pub fn read_status(paths: &Paths) -> Result<Status, Failure> {
    let path = paths.status_socket();
    let stream = UnixStream::connect(&path).map_err(|error| not_running(&path, &error))?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| broken(&error))?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream).take(MAX_LINE_LEN);
    reader.read_line(&mut line).map_err(|error| broken(&error))?;
    serde_json::from_str(&line).map_err(|error| broken(&error))
}

/// Asks features for something.
///
/// # Errors
/// As [`ask`].
pub fn change(paths: &Paths, request: Request) -> Result<Done, Failure> {
    done(ask(paths, request)?)
}

/// What was done, or is answered.
///
/// # Errors
/// It is the answer to something else.
pub fn done(reply: Reply) -> Result<Done, Failure> {
    match reply {
        Reply::Done(done) => Ok(done),
        Reply::Refused(refusal) => Err(refusal.into()),
        other => Err(unfitting(&other)),
    }
}

/// The failure of a reply that is not the answer to what was asked.
pub fn unfitting(reply: &dyn std::fmt::Debug) -> Failure {
    Failure::failed(format!("unexpected reply from the daemon: {reply:?}"))
}

/// Whether a daemon listens.
pub fn is_running(paths: &Paths) -> bool {
    UnixStream::connect(paths.control_socket()).is_ok()
}

/// The failure where no daemon listens at a socket.
pub(crate) fn not_running(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Code::NotRunning,
        format!(
            "the nightlatch daemon is not running ({}: {error}): start it with \"systemctl start nightlatch\" or \"nightlatch up\"; an active firewall stays active without it",
            path.display()
        ),
    )
}

fn broken(what: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("the nightlatch daemon did not answer: {what}"))
}
