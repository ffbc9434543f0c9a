//! Watch: reads logs, and bans who attacks.

mod blind;
pub mod cli;
mod find;
mod intake;
mod io;
mod record;
mod replay;
mod seen;
mod sparing;
mod trust;
mod view;
mod wording;

use nightlatch_core::features::watch::{Event, Job, Watch};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Watch {
    fn progress(background: &Background) -> Option<Event> {
        let reader = background.kept::<Option<io::Reader>>()?;
        let standing = reader.as_ref().as_ref()?.standing();
        Some(Event::Stands(Box::new(standing)))
    }

    fn run(job: Job, background: &Background) {
        let reader = background.keep(|| io::Reader::begin(background));
        if let Some(reader) = reader.as_ref() {
            reader.take(job);
        }
    }
}
