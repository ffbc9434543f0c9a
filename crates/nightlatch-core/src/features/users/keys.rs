//! What the thread that reads packets knows of users: the keys by which it finds out whose packet one is.

use super::secrets::{Agent, Spa};
use super::{Kind, Secrets, User, UserName};

/// The keys of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The user.
    pub user: UserName,
    /// Those of single packet authorization, with what they are known by.
    pub spa: Option<(String, Spa)>,
    /// That of the secret user agent, with what it is known by. The user agent itself is not in it.
    pub agent: Option<(String, Agent)>,
}

/// What is to be done outside of the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// These keys of a user count from now on, and no others.
    Know(Box<Keys>),
    /// No keys of a user count any more.
    Forget(UserName),
    /// A packet that was handed over has been looked at: there is room for another.
    Taken,
}

impl Keys {
    /// Those of a user; `None` without any by which packets are recognised.
    pub(super) fn of(user: &User, secrets: &Secrets) -> Option<Keys> {
        let known = |kind| user.credentials.get(&kind).map(|it| it.fingerprint.clone());
        let spa = known(Kind::Spa).zip(secrets.spa.clone());
        let agent = known(Kind::Agent).zip(secrets.shown().agent);
        let is_some = spa.is_some() || agent.is_some();
        is_some.then(|| Keys { user: user.name.clone(), spa, agent })
    }

    /// What begins the reading of packets for a user, if any of the credentials needs that: the kernel tells of
    /// knocks in the same way.
    pub(super) fn beginning(user: &User, secrets: &Secrets) -> Option<Job> {
        let is_needed = Keys::of(user, secrets).is_some() || secrets.knock.is_some();
        is_needed.then(|| Keys::job(user, secrets))
    }

    /// What to do where these are the keys of a user, or none are.
    pub(super) fn job(user: &User, secrets: &Secrets) -> Job {
        Keys::of(user, secrets)
            .map_or_else(|| Job::Forget(user.name.clone()), |keys| Job::Know(Box::new(keys)))
    }
}
