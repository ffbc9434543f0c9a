//! The engine without its loop, for questions where no daemon runs: nothing is changed, neither on disk
//! nor in the kernel.

use nightlatch_core::action::Action;
use nightlatch_core::api::{Caller, Reply, Request};
use nightlatch_core::config::Config;
use nightlatch_core::engine::Engine;
use nightlatch_core::event::{Event, Ticket};
use nightlatch_core::features::State;
use nightlatch_core::time::Time;

use super::peers;
use super::restore::restore_lists;
use crate::shell::clock::Clock;
use crate::shell::firewall::Firewall;
use crate::shell::kept::Kept;
use crate::shell::known_peers;
use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;

/// The engine as a daemon would begin with it: with the lists that were kept, and the known peers.
///
/// # Errors
/// The kernel cannot be asked.
pub(crate) fn engine(paths: &Paths, records: State, config: Config) -> Result<Engine, Failure> {
    let mut engine = Engine::new(records, config);
    let clock = Clock::not_before(Time::default());
    restore_lists(&mut engine, &Kept::of(paths), clock.now());
    let mut firewall = Firewall::open().map_err(Failure::failed)?;
    peers::recall(&mut engine, &mut firewall, &known_peers::Saved::of(paths), &clock);
    Ok(engine)
}

/// The engine's answer to a question. What it would have changed is not carried out.
pub(crate) fn answer(engine: &mut Engine, request: Request, now: Time) -> Option<Reply> {
    let ticket = Ticket(0);
    let caller = Caller { user: "root".to_owned(), ..Caller::default() };
    let mut actions = engine.handle(Event::Asked { ticket, caller, request }, now);
    // The peers were read when it began.
    if actions.iter().any(|action| matches!(action, Action::ReadSets(_))) {
        actions = engine.handle(Event::SetsRead(None), now);
    }
    actions.into_iter().find_map(|action| match action {
        Action::Reply(_, reply) => Some(reply),
        _ => None,
    })
}
