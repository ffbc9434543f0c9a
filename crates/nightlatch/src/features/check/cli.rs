//! `check`, `reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use nightlatch_core::api::Request;
use nightlatch_core::config::Rules;

use crate::features::context::{Context, Run};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{configuration, screen};

/// Validate the configuration file; exit code 78 if it is invalid
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The file; default: the active configuration
    file: Option<PathBuf>,
}

impl Run for Check {
    fn run(&self, context: &Context) -> Outcome {
        let path = self.file.as_ref().unwrap_or(&context.paths.config);
        if self.file.is_some() && !path.exists() {
            let message = format!("{}: there is no such file", path.display());
            return Err(Failure::new(Code::Configuration, message));
        }
        let config = configuration::read(path)?;
        if context.json {
            screen::say_json(&serde_json::json!({ "good": true, "file": path }));
        } else if !path.exists() {
            screen::say(format!("{} does not exist; using defaults", path.display()));
        } else {
            screen::say(format!("{}: OK", path.display()));
        }
        warn_of_nothing_open(config.rules());
        Ok(ExitCode::SUCCESS)
    }
}

/// Reload the configuration file
#[derive(clap::Args, Debug)]
pub struct Reload {}

impl Run for Reload {
    fn run(&self, context: &Context) -> Outcome {
        context.change(Request::Reload)
    }
}

fn warn_of_nothing_open(rules: &Rules) {
    if rules.open.is_empty() {
        screen::complain("warning: no service is open to strangers in mode open");
    }
}
