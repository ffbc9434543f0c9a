//! `nightlatch demo`.

use super::{io, wording};
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};

/// Demonstrate in network namespaces what a protected server looks like from outside.
///
/// This machine is not affected.
#[derive(Debug, clap::Args)]
pub struct Demo {}

impl Run for Demo {
    /// Becomes the program of the demo, so the exit code is that one's: 0 if the attacker saw
    /// nothing, 1 if something answered or the demo failed, 77 if this user may not make network
    /// namespaces. It is 74 if that program cannot be started.
    fn run(&self, context: &Context) -> Outcome {
        Err(Failure::failed(wording::not_started(&io::become_lab(context.json))))
    }
}
