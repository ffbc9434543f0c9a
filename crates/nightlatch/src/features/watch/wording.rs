//! What is said about logs.

use nightlatch_core::features::watch::{Notice, Refusal, Reply, Unreadable, Watch};

use crate::features::worded::Worded;

impl Worded for Watch {
    fn say(_reply: &Reply, _changed: bool) -> Option<String> {
        None
    }

    fn refuse(refusal: &Refusal) -> String {
        match *refusal {}
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Judged(judged) => format!("{judged:?}"),
            Notice::LinesLost { log, bytes: Some(bytes) } => format!(
                "the log {log} was emptied before its last {bytes} bytes were read: what they told is lost"
            ),
            Notice::LinesLost { log, bytes: None } => format!(
                "the log {log} was emptied or replaced while it was not read, and its old content is not beside it: lines written meanwhile are lost"
            ),
            Notice::NotRead { log, why } => {
                format!("the log {log} is not read: {}", unreadable(why))
            }
            Notice::NoJournal { error } => format!("the journal cannot be read: {error}"),
            Notice::NotKept { error } => format!(
                "how far logs were read cannot be kept: {error}; after a restart lines are read again"
            ),
        }
    }
}

/// Why a log is not read, and what to do.
pub(super) fn unreadable(why: &Unreadable) -> String {
    match why {
        Unreadable::Symlink => {
            "it is a symbolic link, which could lead to any file: name the file itself".to_owned()
        }
        Unreadable::NoFile => "it is not a regular file: name one".to_owned(),
        Unreadable::Failed { error } => error.clone(),
    }
}
