//! Why a notice was not delivered.

use std::ffi::OsStr;
use std::fmt;
use std::io;

use nightlatch_core::features::notices::{MAX_TEXT, visible};
use rustix::io::Errno;

use super::command_file::Unsafe;
use super::user::UserError;

/// The first line that a command wrote, of standard error if there is one, bounded and visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(String);

impl Said {
    pub(super) fn of(stderr: &[u8], stdout: &[u8]) -> Said {
        let lines =
            [stderr, stdout].into_iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n'));
        let mut lines = lines.map(<[u8]>::trim_ascii);
        let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
        Said(visible(&String::from_utf8_lossy(first), MAX_TEXT))
    }
}

/// Writes `: ` and the line, or nothing.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => Ok(()),
            line => write!(f, ": {line}"),
        }
    }
}

/// Why a notice was not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    /// Nothing is configured.
    #[error("no command is configured: write notices.command")]
    NoCommand,
    /// The file, or the interpreter that its first line names.
    #[error("{path} does not exist, or the interpreter that its first line names does not")]
    NotFound {
        /// The path.
        path: String,
    },
    /// For the user that it is to run as.
    #[error("{path} cannot be executed by that user: {why}")]
    NotExecutable {
        /// The path.
        path: String,
        /// What the system says.
        why: String,
    },
    /// The user that it is to run as is not there.
    #[error(transparent)]
    User(#[from] UserError),
    /// Somebody but root could change what is run.
    #[error(transparent)]
    UnsafeOwner(#[from] Unsafe),
    /// The user has all rights.
    #[error("the command must not run as root: write another notices.user")]
    Root,
    /// The daemon is not root.
    #[error("the command cannot run as {user}: the daemon does not run as root")]
    CannotSwitch {
        /// The user.
        user: String,
    },
    /// It took too long, and was killed.
    #[error("the command did not end within {seconds} seconds and was killed{said}")]
    TimedOut {
        /// How long it had.
        seconds: u64,
        /// What it wrote.
        said: Said,
    },
    /// It failed.
    #[error("the command ended with exit code {code}{said}")]
    ExitCode {
        /// The exit code.
        code: i32,
        /// What it wrote.
        said: Said,
    },
    /// It was killed by somebody else, or by an error of its own.
    #[error("the command was killed by signal {signal}{said}")]
    Killed {
        /// The signal's number.
        signal: i32,
        /// What it wrote.
        said: Said,
    },
    /// Its output was closed, and that ended it.
    #[error("the command wrote more than {} bytes{said}", super::talk::MAX_READ)]
    WroteTooMuch {
        /// What it wrote.
        said: Said,
    },
    /// It could not be killed. It is still collected when it ends.
    #[error("the command does not end{}", .why.as_ref().map(|why| format!(", it cannot be killed: {why}")).unwrap_or_default())]
    NotEnded {
        /// Why it could not be killed.
        why: Option<io::Error>,
    },
    /// The system did not do what is needed to run it.
    #[error("the command cannot be run: {0}")]
    System(#[from] io::Error),
}

impl DeliveryError {
    /// The error with which a program did not start.
    pub(super) fn of_start(error: io::Error, program: &OsStr) -> DeliveryError {
        let path = visible(&program.to_string_lossy(), MAX_TEXT);
        let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
        if is(Errno::NOENT) || is(Errno::NOTDIR) {
            DeliveryError::NotFound { path }
        } else if is(Errno::ACCESS) || is(Errno::NOEXEC) {
            DeliveryError::NotExecutable { path, why: error.to_string() }
        } else {
            DeliveryError::System(error)
        }
    }
}
