//! Denials: addresses of removed or expired accounts, and of phones that are registered without an
//! account.
//!
//! A denial is never asked for: it follows when an account ends, or when the PBX reports a phone that no
//! account covers, and ends when the PBX has no contact there any more.

mod wording;

use nightlatch_core::features::denials::{Denials, Job};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Denials {
    fn run(job: Job, _background: &Background) {
        match job {}
    }
}
