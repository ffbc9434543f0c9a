//! `up`, `confirm`, `rollback`, `down`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api::{Reply, Request};
use nightlatch_core::ledger::Mode;
use nightlatch_core::time::parse_span;

use super::survey::{Proposal, Survey, proposal};
use super::{io, logic, trial};
use crate::features::{Context, Run};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{client, clock, configuration, screen};

/// Put the firewall up: look at the machine, show the plan, ask, apply on trial
#[derive(clap::Args, Debug)]
pub struct Up {
    /// What strangers meet: allowlist (silence) or open (chosen services); as it was without
    #[arg(long)]
    mode: Option<Mode>,
    /// Let these in as well, as account "admin"
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<AddrRange>,
    /// For scripts: no questions, and no trial
    #[arg(long)]
    yes: bool,
    /// Only show the plan
    #[arg(long)]
    plan: bool,
    /// How long the trial lasts, for tests
    #[arg(long, hide = true, value_name = "TIME", value_parser = parse_span)]
    trial: Option<Duration>,
}

impl Run for Up {
    fn run(&self, context: &Context) -> Outcome {
        io::require_root()?;
        let paths = &context.paths;
        let rules = configuration::read(&paths.config)?;
        let (survey, flows) = io::look();
        let proposal = proposal(&survey);
        let mut request = logic::request(&survey, &proposal, self.mode, &self.allow);
        let now = clock::now();
        let ledger = logic::ledger_after(io::stored_ledger(paths)?, &request, now);
        let plan = logic::plan(&survey, &proposal, &flows, &ledger, &rules, now);
        if context.json && self.plan {
            screen::say_json(&plan);
        } else if !context.json {
            plan.lines().iter().for_each(screen::say);
        }
        if self.plan {
            return Ok(ExitCode::SUCCESS);
        }
        self.refuse_lock_out(&survey, &proposal, &plan)?;
        if !self.yes && !self.is_agreed()? {
            screen::say("Nothing was changed.");
            return Ok(Code::No.exit());
        }
        io::start_daemon(paths)?;
        request.trial = (!self.yes).then_some(self.trial());
        let message = client::change(paths, Request::Up(request))?;
        if context.json {
            screen::say_json(&Reply::Done { message: message.clone() });
        } else {
            screen::say(&message);
        }
        if !self.yes && matches!(trial::standing_now(paths), Ok(true)) {
            io::spawn_detached(paths, &["rollback", "--when-due"], "trial.log")?;
            trial::watch(paths, self.trial())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Up {
    /// Somebody is connected, but it is not certain that it is whoever runs this: a script, an
    /// old terminal. Then the address has to be named.
    fn refuse_lock_out(
        &self,
        survey: &Survey,
        proposal: &Proposal,
        plan: &logic::Plan,
    ) -> Result<(), Failure> {
        let someone_is_cut = plan.would_cut.iter().any(|line| {
            matches!(line.kind, super::survey::CutKind::Ssh | super::survey::CutKind::YourSession)
        });
        if proposal.needs_explicit_allow && self.allow.is_empty() && someone_is_cut {
            let seen: Vec<String> =
                survey.caller.candidates.iter().map(ToString::to_string).collect();
            return Err(Failure::no(format!(
                "nothing was changed: it is not certain from which address you came, and SSH sessions from {} would end; say which are yours: nightlatch up --allow ADDRESS",
                seen.join(", ")
            )));
        }
        Ok(())
    }

    fn trial(&self) -> Duration {
        self.trial.unwrap_or(trial::LASTS)
    }

    fn is_agreed(&self) -> Result<bool, Failure> {
        let answer = screen::ask(&format!(
            "\nPut the firewall up like this? It is taken back in {} seconds unless you confirm. [y/N] ",
            self.trial().as_secs()
        ));
        let answer = answer.ok_or_else(|| {
            Failure::new(
                Code::Usage,
                "nobody is there to answer: add --yes (then there is no trial either)",
            )
        })?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Keep the firewall that is on trial
#[derive(clap::Args, Debug)]
pub struct Confirm {}

impl Run for Confirm {
    fn run(&self, context: &Context) -> Outcome {
        done(context, &trial::ask_or_do(&context.paths, Request::Confirm)?)
    }
}

/// Take back the firewall, or the mode, that is on trial
#[derive(clap::Args, Debug)]
pub struct Rollback {
    /// Wait until the trial is decided, and take it back if nobody else does
    #[arg(long, hide = true)]
    when_due: bool,
    /// Leave the terminal
    #[arg(long, hide = true)]
    detached: bool,
}

impl Run for Rollback {
    fn run(&self, context: &Context) -> Outcome {
        if self.detached {
            let _ = rustix::process::setsid();
        }
        if self.when_due {
            trial::guard(&context.paths)?;
            return Ok(ExitCode::SUCCESS);
        }
        done(context, &trial::ask_or_do(&context.paths, Request::Rollback)?)
    }
}

/// Take the firewall off: everything answers everybody again
#[derive(clap::Args, Debug)]
pub struct Down {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Run for Down {
    fn run(&self, context: &Context) -> Outcome {
        io::require_root()?;
        if !self.yes {
            let answer = screen::ask(
                "Take the firewall off? Everything this machine runs will answer everybody. [y/N] ",
            );
            let answer = answer
                .ok_or_else(|| Failure::new(Code::Usage, "nobody is there to answer: add --yes"))?;
            if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
                screen::say("Nothing was changed.");
                return Ok(Code::No.exit());
            }
        }
        let message = trial::ask_or_do(&context.paths, Request::Down)?;
        io::disable_units(&context.paths)?;
        done(context, &message)
    }
}

fn done(context: &Context, message: &str) -> Outcome {
    if context.json {
        screen::say_json(&Reply::Done { message: message.to_owned() });
    } else {
        screen::say(message);
    }
    Ok(ExitCode::SUCCESS)
}
