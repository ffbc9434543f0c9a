//! Looking names up.

use nightlatch_core::features::names::{Answered, Event, Failure, Found, Job, Names};

use crate::features::worded::Works;
use crate::shell::background::Background;
use crate::shell::resolver::{Half, Looked, Resolver, Why};

impl Works for Names {
    fn run(job: Job, background: &Background) {
        let Job::LookUp(names) = job;
        let resolver = background.resolver.get_or_init(|| {
            let tell = background.teller();
            let tell = move |looked: Vec<Looked>| {
                tell(Event::Answered(looked.into_iter().map(answered).collect()));
            };
            Resolver::begin(tell).ok()
        });
        let tell = background.teller();
        if let Some(resolver) = resolver {
            resolver.look_up(names, move || tell(Event::Room));
            return;
        }
        // There was no thread left.
        let failed = || Found::Failed(Failure::Unreachable);
        let answers = names.into_iter().map(|name| Answered { name, v4: failed(), v6: failed() });
        tell(Event::Answered(answers.collect()));
        tell(Event::Room);
    }
}

fn answered(looked: Looked) -> Answered {
    Answered { name: looked.name, v4: found(looked.v4), v6: found(looked.v6) }
}

fn found(half: Half) -> Found {
    match half {
        Half::Addresses { addresses, is_partial, lifetime } => {
            Found::Addresses { addresses, lifetime, is_partial }
        }
        Half::Nothing => Found::Nothing,
        Half::Failed(why) => Found::Failed(match why {
            Why::Silent => Failure::Silent,
            Why::Unreachable => Failure::Unreachable,
            Why::Server(code) => Failure::Server(code),
            Why::Malformed => Failure::Malformed,
        }),
    }
}
