//! How a command ends: its exit code, and the message of a failure.

use std::process::ExitCode;

use nightlatch_core::api::Refusal;

/// A command failed: what happened, to what, what to do next, and the exit code.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// For the screen.
    pub message: String,
    /// The refusal, if the daemon refused what was asked: for `--json`.
    pub refusal: Option<Box<Refusal>>,
}

/// Exit codes. They are stable: scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The answer is no.
    No = 1,
    /// Wrong use.
    Usage = 2,
    /// The daemon is not running.
    NotRunning = 69,
    /// Something failed: the disk, the kernel.
    Failed = 74,
    /// Not allowed.
    NotAllowed = 77,
    /// Bad configuration.
    Configuration = 78,
}

impl Code {
    /// As the process ends.
    pub fn exit(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl Failure {
    /// A failure with its code.
    pub fn new(code: Code, message: impl ToString) -> Failure {
        Failure { code, message: message.to_string(), refusal: None }
    }

    /// Something outside failed.
    pub fn failed(message: impl ToString) -> Failure {
        Failure::new(Code::Failed, message)
    }

    /// The answer is no.
    pub fn no(message: impl ToString) -> Failure {
        Failure::new(Code::No, message)
    }
}

/// What a command returns: [`Ok`] with exit code 0 (or 1 where the answer is no).
pub type Outcome = Result<ExitCode, Failure>;
