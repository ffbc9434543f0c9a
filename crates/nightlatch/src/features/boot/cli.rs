//! `boot`, `daemon`.

use std::process::ExitCode;

use super::io;
use crate::features::context::{Context, Run};
use crate::run;
use crate::shell::detach;
use crate::shell::outcome::Outcome;

/// Load the last good firewall, before the network is up and without the daemon
#[derive(clap::Args, Debug)]
pub struct Boot {
    /// Do nothing if a firewall of Nightlatch is already loaded
    #[arg(long, hide = true)]
    unless_standing: bool,
}

impl Run for Boot {
    fn run(&self, context: &Context) -> Outcome {
        if !self.unless_standing || !io::stands()? {
            io::put_up(&context.paths)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Run the daemon in the foreground (systemd does this)
#[derive(clap::Args, Debug)]
pub struct Daemon {
    /// Detach from the terminal
    #[arg(long, hide = true)]
    detached: bool,
}

impl Run for Daemon {
    fn run(&self, context: &Context) -> Outcome {
        if self.detached {
            detach::from_terminal();
        }
        run::daemon(&context.paths)?;
        Ok(ExitCode::SUCCESS)
    }
}
