//! `up`, `confirm`, `rollback`, `down`.

use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::api::Request;
use nightlatch_core::features::firewall;
use nightlatch_core::posture::Mode;
use nightlatch_core::service::Catalogue;
use nightlatch_core::time::parse_span;

use super::dry_run::{Answer, DryRun};
use super::survey::{Proposal, Survey, proposal};
use super::trunks::Known;
use super::wanted::Wanted;
use super::{io, logic, media, trial};
use crate::features::context::{Context, Run};
use crate::shell::firewall::require_nftables;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{caller, client, configuration, detach, pbx_peers, screen};

/// Turn the firewall on: inspect the machine, show the plan, ask, apply it on trial
#[derive(clap::Args, Debug)]
pub struct Up {
    /// The mode: allowlist (drop all strangers) or open (serve selected services to everyone); default: unchanged
    #[arg(long)]
    mode: Option<Mode>,
    /// Also allow these addresses, as account "admin"
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<AddrRange>,
    /// Do not ask and do not start a trial (for scripts)
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
        caller::require_root()?;
        let paths = &context.paths;
        let config = configuration::read(&paths.config)?;
        let survey = io::look();
        let proposal = proposal(&survey);
        let (trunks, named) = io::pbx_places(&survey);
        let runs = !survey.pbx_answer.asked.is_empty() || survey.pbx_answer.not_asked.is_none();
        let pbx = pbx_peers::peers(&survey.pbx_answer, runs, &trunks, &named);
        let mut wanted = logic::wanted(&survey, &proposal, self.mode, &self.allow, pbx);
        wanted.up.trial = (!self.yes).then_some(self.trial());
        let catalogue = config.rules().catalogue(&wanted.up.site);
        pbx_peers::mark_heard(&mut wanted.up.pbx, &catalogue);
        let streams = io::streams(&survey, &catalogue);
        let mut flows = io::flows(paths, &survey, &catalogue);
        media::join(&mut flows, streams.as_deref().unwrap_or_default());
        let pbx = Known {
            answer: &survey.pbx_answer,
            trunks: &trunks,
            named: &named,
            is_there: survey.pbx.chosen.is_some() || !survey.pbx.in_containers.is_empty(),
            flows: &flows,
        };
        let probe = logic::probe(&survey, &proposal, &pbx, &catalogue);
        let dry_run = DryRun::ask(paths, &config, &wanted, probe)?;
        let live = logic::Live { streams, pbx };
        let plan =
            logic::plan(&survey, &proposal, live, &dry_run, config.rules().product, &catalogue);
        if context.json && self.plan {
            screen::say_json(&plan);
        } else if !context.json {
            plan.lines().iter().for_each(screen::say);
        }
        if self.plan {
            return Ok(ExitCode::SUCCESS);
        }
        require_nftables()?;
        self.refuse_lock_out(&proposal, &plan)?;
        if let Some(refusal) = dry_run.found.refusal {
            return Err(refusal.into());
        }
        if !self.yes && !self.is_agreed()? {
            screen::say("Nothing was changed.");
            return Ok(Code::No.exit());
        }
        self.apply(context, &wanted, &survey, &catalogue, dry_run.stood)
    }
}

impl Up {
    fn apply(
        &self,
        context: &Context,
        wanted: &Wanted,
        survey: &Survey,
        catalogue: &Catalogue,
        stood: bool,
    ) -> Outcome {
        let paths = &context.paths;
        io::start_daemon(paths)?;
        let tracking = if stood { None } else { io::track_vpns(survey, catalogue) };
        let answered = client::change(paths, wanted.real())
            .and_then(|done| Answer::of(&done).map(|answer| (done, answer)));
        drop(tracking);
        let on_trial = match &answered {
            Ok((_, answer)) => answer.is_on_trial,
            // Where the daemon was killed before it could answer, it may be written down.
            Err(_) => !self.yes && matches!(trial::is_on(paths), Ok(true)),
        };
        if on_trial {
            io::spawn_detached(paths, &["rollback", "--when-due"], "trial.log")?;
        }
        let (done, answer) = answered?;
        context.say_done(&done);
        let again = io::register_again(survey, stood);
        if !context.json {
            again.iter().for_each(screen::say);
            screen::say(io::after_a_reboot(paths));
        }
        if on_trial {
            trial::watch(paths, self.trial(), answer.mode)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Somebody is connected, but it is not certain that it is whoever runs this: a script, an
    /// old terminal. Then the address has to be named.
    fn refuse_lock_out(&self, proposal: &Proposal, plan: &logic::Plan) -> Result<(), Failure> {
        let sessions = plan.would_cut.iter().filter(|line| {
            matches!(line.kind, super::survey::CutKind::Ssh | super::survey::CutKind::YourSession)
        });
        let sessions: Vec<&str> = sessions.map(|line| line.text.as_str()).collect();
        if !proposal.needs_explicit_allow || !self.allow.is_empty() || sessions.is_empty() {
            return Ok(());
        }
        Err(Failure::no(format!(
            "nothing was changed: it is not certain from which address you came, and what would end may be your own session: {}; name the addresses to allow: nightlatch up --allow ADDRESS",
            sessions.join("; ")
        )))
    }

    fn trial(&self) -> Duration {
        self.trial.unwrap_or(trial::LASTS)
    }

    fn is_agreed(&self) -> Result<bool, Failure> {
        let answer = screen::ask(&format!(
            "\nTurn the firewall on like this? It is rolled back in {} seconds unless you confirm. [y/N] ",
            self.trial().as_secs()
        ));
        let answer = answer.ok_or_else(|| {
            Failure::new(
                Code::Usage,
                "standard input is not a terminal: add --yes (this also skips the trial)",
            )
        })?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Confirm the firewall or the mode that is on trial
#[derive(clap::Args, Debug)]
pub struct Confirm {}

impl Run for Confirm {
    fn run(&self, context: &Context) -> Outcome {
        context
            .say_done(&trial::ask_or_do(&context.paths, Request::of(firewall::Request::Confirm))?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Roll back the firewall or the mode that is on trial
#[derive(clap::Args, Debug)]
pub struct Rollback {
    /// Wait until the trial is decided, and roll it back if nobody else does
    #[arg(long, hide = true)]
    when_due: bool,
    /// Detach from the terminal
    #[arg(long, hide = true)]
    detached: bool,
}

impl Run for Rollback {
    fn run(&self, context: &Context) -> Outcome {
        if self.detached {
            detach::from_terminal();
        }
        if self.when_due {
            trial::guard(&context.paths)?;
            return Ok(ExitCode::SUCCESS);
        }
        context
            .say_done(&trial::ask_or_do(&context.paths, Request::of(firewall::Request::Rollback))?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Turn the firewall off: every service becomes reachable again
#[derive(clap::Args, Debug)]
pub struct Down {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Run for Down {
    fn run(&self, context: &Context) -> Outcome {
        caller::require_root()?;
        if !self.yes {
            let answer = screen::ask(
                "Turn the firewall off? Every service of this machine will be reachable by everybody. [y/N] ",
            );
            let answer = answer.ok_or_else(|| {
                Failure::new(Code::Usage, "standard input is not a terminal: add --yes")
            })?;
            if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
                screen::say("Nothing was changed.");
                return Ok(Code::No.exit());
            }
        }
        let done = trial::ask_or_do(&context.paths, Request::of(firewall::Request::Down))?;
        io::disable_units(&context.paths)?;
        context.say_done(&done);
        Ok(ExitCode::SUCCESS)
    }
}
