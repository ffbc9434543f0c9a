//! Asking the PBX.

use nightlatch_core::features::peers::{Event, Job, Peers};

use crate::features::worded::Works;
use crate::shell::background::Background;
use crate::shell::pbx_peers;

impl Works for Peers {
    fn run(job: Job, background: &Background) {
        let Job::Ask(catalogue) = job;
        background.in_thread(move || Event::Told(pbx_peers::ask(&catalogue)));
        background.look_up_published();
    }
}
