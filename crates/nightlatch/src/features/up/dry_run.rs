//! Asks the engine what `up` would do: the daemon's, or one over what is stored where no daemon runs.

use std::collections::BTreeMap;

use nightlatch_core::api::{Done, Reply, Request};
use nightlatch_core::config::Config;
use nightlatch_core::cut::LiveFlow;
use nightlatch_core::engine::Engine;
use nightlatch_core::features::accounts::{self, Account};
use nightlatch_core::features::{self, firewall};
use nightlatch_core::posture::Mode;
use nightlatch_core::probe::{Findings, FlowFinding, MAX_PROBED_FLOWS, Probe};

use super::io;
use super::wanted::Wanted;
use crate::run::in_process;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::{client, clock};

/// The most further requests for one plan. What happens to flows beyond them is unknown.
const MAX_REQUESTS: usize = 50;

/// What the engine says of the firewall that is put up.
#[derive(Debug)]
pub(super) struct Answer {
    /// What strangers meet.
    pub(super) mode: Mode,
    /// Whether it is on trial.
    pub(super) is_on_trial: bool,
}

impl Answer {
    /// # Errors
    /// It is the answer to something else.
    pub(super) fn of(done: &Done) -> Result<Answer, Failure> {
        let answer = done.said.iter().find_map(|reply| match reply {
            features::Reply::Firewall(firewall::Reply::Up { trial, mode, .. }) => {
                Some(Answer { mode: *mode, is_on_trial: trial.is_some() })
            }
            _ => None,
        });
        answer.ok_or_else(|| client::unfitting(done))
    }
}

/// What `up` would do.
#[derive(Debug)]
pub(super) struct DryRun {
    /// What the engine says of the firewall.
    pub(super) answer: Answer,
    /// Whether it was up before.
    pub(super) stood: bool,
    /// The accounts as they will be.
    pub(super) accounts: Vec<Account>,
    /// What would happen, but for the flows.
    pub(super) found: Findings,
    /// What would happen to the flows that were examined.
    pub(super) flows: BTreeMap<LiveFlow, FlowFinding>,
    /// How many were not.
    pub(super) not_examined: usize,
}

impl DryRun {
    /// Asks what would happen to all that the probe names.
    ///
    /// # Errors
    /// The change would be refused whoever asks for it, or nobody can answer.
    pub(super) fn ask(
        paths: &Paths,
        config: &Config,
        wanted: &Wanted,
        mut probe: Probe,
    ) -> Result<DryRun, Failure> {
        let mut engine = None;
        let mut ask = |request| found_in(ask(paths, config, &mut engine, request)?);
        let all = std::mem::take(&mut probe.flows);
        let mut parts = all.chunks(MAX_PROBED_FLOWS);
        let first = parts.next().unwrap_or_default();
        probe.flows = first.to_vec();
        let (done, mut found) = ask(wanted.dry_run(probe, true))?;
        let mut known = std::mem::take(&mut found.flows);
        let mut asked = first.len();
        for part in parts.take(MAX_REQUESTS) {
            // What is left out in the middle would be taken for another flow's.
            if known.len() < asked {
                break;
            }
            asked = asked.saturating_add(part.len());
            let probe = Probe { flows: part.to_vec(), ..Probe::default() };
            known.extend(ask(wanted.dry_run(probe, false))?.1.flows);
        }
        let not_examined = all.len().saturating_sub(known.len());
        let flows = all.into_iter().zip(known).collect();
        let answer = Answer::of(&done)?;
        let accounts = done.said.into_iter().find_map(|reply| match reply {
            features::Reply::Accounts(accounts::Reply::All(all)) => Some(all),
            _ => None,
        });
        let accounts = accounts.unwrap_or_default();
        Ok(DryRun { answer, stood: done.stood, accounts, found, flows, not_examined })
    }
}

fn ask(
    paths: &Paths,
    config: &Config,
    engine: &mut Option<Engine>,
    request: Request,
) -> Result<Reply, Failure> {
    if engine.is_none() {
        match client::ask(paths, request.clone()) {
            Err(failure) if failure.code == Code::NotRunning => {}
            answered => return answered,
        }
    }
    let engine = match engine {
        Some(engine) => engine,
        None => engine.insert(in_process::engine(paths, io::stored(paths)?, config.clone())?),
    };
    match in_process::answer(engine, request, clock::now()) {
        Some(Reply::Refused(refusal)) => Err(refusal.into()),
        Some(reply) => Ok(reply),
        None => Err(Failure::failed("no reply received")),
    }
}

fn found_in(reply: Reply) -> Result<(Done, Findings), Failure> {
    let mut done = client::done(reply)?;
    match done.findings.take() {
        Some(found) => Ok((done, *found)),
        None => Err(client::unfitting(&done)),
    }
}

/// What the engine finds over a state, for tests.
#[cfg(test)]
pub(super) fn found(state: features::State, probe: Probe) -> Findings {
    let mut engine = Engine::new(state, Config::default());
    let now = nightlatch_core::time::Time::from_millis(1000);
    let request = Wanted::nothing_but_up().dry_run(probe, false);
    found_in(in_process::answer(&mut engine, request, now).unwrap()).unwrap().1
}
