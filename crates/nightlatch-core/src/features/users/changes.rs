//! What follows from the requests.

use std::collections::BTreeSet;
use std::time::Duration;

use super::knock::permanently;
use super::requests::{Card, Edit, NewUser, Refusal, Reply};
use super::secrets::Taken;
use super::{
    Deed, Job, Key, Keys, Kind, MAX_USERS, Record, Secrets, User, UserName, Users, config,
};
use crate::features::{Fact, Plan, UserRights, View};
use crate::hours::Within;
use crate::near::nearest;
use crate::secret::{Entropy, Secret};
use crate::service::{Catalogue, Grant, Ports, ServiceName};

/// The longest note, in characters.
const MAX_NOTE_LEN: usize = 1000;

impl Users {
    pub(super) fn known(&self, name: &UserName) -> Result<&User, Refusal> {
        self.all.get(name).ok_or_else(|| {
            let names = self.all.keys().map(UserName::as_str);
            let near = nearest(name.as_str(), names).and_then(|near| near.parse().ok());
            Refusal::Unknown { name: name.clone(), near }
        })
    }

    pub(super) fn add(
        &self,
        new: NewUser,
        entropy: &Entropy,
        view: &View<'_>,
    ) -> Result<Plan<Users>, Refusal> {
        let NewUser { name, services, mut kinds, agent, idle, hours, permanent, .. } = new;
        let NewUser { note, any_address, require_address, .. } = new;
        kinds.extend(agent.as_ref().map(|_| Kind::Agent));
        let services = services.unwrap_or_else(|| view.catalogue().telephony());
        check_services(&services, view)?;
        check_permanent(&name, permanent, &services)?;
        self.check_idle(idle)?;
        check_note(&note)?;
        if let Some(there) = self.all.get(&name) {
            return Err(Refusal::Exists(Box::new(there.clone())));
        }
        if self.all.len() >= MAX_USERS {
            return Err(Refusal::TooMany { most: MAX_USERS });
        }
        let mut secrets = Secrets::default();
        let taken = self.taken(&name, view);
        let user = User {
            name,
            services,
            credentials: secrets.renew(&kinds, agent.as_ref(), entropy, &taken, view.now())?,
            any_address,
            require_address,
            idle_seconds: idle.map(|idle| idle.as_secs()),
            hours,
            permanent,
            note,
            since: view.now(),
            by: view.caller().to_string(),
            card_shown: None,
        };
        let mut plan = Plan::say(Reply::Added(user.clone()));
        plan.later.extend(Keys::beginning(&user, &secrets));
        put(&mut plan, user, Some(secrets), Deed::Add);
        Ok(plan)
    }

    pub(super) fn set(
        &self,
        name: &UserName,
        edit: Edit,
        view: &View<'_>,
    ) -> Result<Plan<Users>, Refusal> {
        let before = self.known(name)?;
        if edit == Edit::default() {
            return Err(Refusal::NothingToSet);
        }
        let Edit { services, idle, within, permanent, note, any_address, require_address } = edit;
        services.iter().try_for_each(|services| check_services(services, view))?;
        self.check_idle(idle)?;
        note.iter().try_for_each(|note| check_note(note))?;
        let user = User {
            services: services.unwrap_or_else(|| before.services.clone()),
            idle_seconds: idle.map(|idle| idle.as_secs()).or(before.idle_seconds),
            hours: within.map_or_else(|| before.hours.clone(), Within::hours),
            permanent: permanent.unwrap_or(before.permanent),
            note: note.unwrap_or_else(|| before.note.clone()),
            any_address: any_address.unwrap_or(before.any_address),
            require_address: require_address.unwrap_or(before.require_address),
            ..before.clone()
        };
        check_permanent(name, user.permanent, &user.services)?;
        let mut plan = Plan::say(Reply::Changed(user.clone()));
        let rights =
            |user: &User| UserRights { services: user.services.clone(), hours: user.hours.clone() };
        if rights(&user) != rights(before) {
            let may = Some(rights(&user));
            plan.effects.facts.push(Fact::UserMay { user: name.to_string(), may });
        }
        if user != *before {
            put(&mut plan, user, None, Deed::Set);
        }
        Ok(plan)
    }

    pub(super) fn rotate(
        &self,
        name: &UserName,
        mut kinds: BTreeSet<Kind>,
        agent: Option<&Secret<String>>,
        entropy: &Entropy,
        view: &View<'_>,
    ) -> Result<Plan<Users>, Refusal> {
        let mut user = self.known(name)?.clone();
        kinds.extend(agent.map(|_| Kind::Agent));
        let kinds = match kinds.is_empty() {
            true => user.credentials.keys().copied().collect(),
            false => kinds,
        };
        if kinds.is_empty() {
            return Err(Refusal::NoCredentials { name: name.clone() });
        }
        let mut secrets = self.secrets.get(name).cloned().unwrap_or_default();
        // The ports of the old credentials are taken too: they are known to whoever had them.
        let taken = self.taken(name, view);
        user.credentials.extend(secrets.renew(&kinds, agent, entropy, &taken, view.now())?);
        user.card_shown = None;
        // Messages with the old keys are nobody's.
        let replays = kinds.contains(&Kind::Spa) && self.replays.contains_key(name);
        let mut plan = Plan::say(Reply::Rotated { user: user.clone(), kinds });
        if replays {
            plan.remove(Key::Replays(name.clone()), None);
        }
        plan.later.push(Keys::job(&user, &secrets));
        put(&mut plan, user, Some(secrets), Deed::Rotate);
        Ok(plan)
    }

    pub(super) fn revoke(&self, name: &UserName) -> Result<Plan<Users>, Refusal> {
        let mut plan = Plan::say(Reply::Revoked(self.known(name)?.clone()));
        plan.remove(Key::User(name.clone()), Deed::Revoke);
        plan.remove(Key::Secrets(name.clone()), None);
        if self.replays.contains_key(name) {
            plan.remove(Key::Replays(name.clone()), None);
        }
        plan.later.push(Job::Forget(name.clone()));
        plan.effects.facts.push(Fact::UserMay { user: name.to_string(), may: None });
        Ok(plan)
    }

    pub(super) fn card(
        &self,
        name: &UserName,
        again: bool,
        view: &View<'_>,
    ) -> Result<Plan<Users>, Refusal> {
        let before = self.known(name)?;
        let (Some(secrets), false) = (self.secrets.get(name), before.credentials.is_empty()) else {
            return Err(Refusal::NoCredentials { name: name.clone() });
        };
        if let (Some(at), false) = (before.card_shown, again) {
            return Err(Refusal::Shown { name: name.clone(), at });
        }
        let deed = if before.card_shown.is_some() { Deed::CardAgain } else { Deed::Card };
        let user = User { card_shown: Some(view.now()), ..before.clone() };
        let (idle, longest) = self.limits(&user);
        let ports = match &user.services {
            Grant::Some(names) => one_port_each(names, view.catalogue()),
            Grant::All => Vec::new(),
        };
        let card = Card { user: user.clone(), secrets: secrets.clone(), ports, idle, longest };
        let mut plan = Plan::say(Reply::Card(Box::new(card)));
        let shown = secrets.shown();
        let changed = (shown != *secrets).then_some(shown);
        put(&mut plan, user, changed, deed);
        Ok(plan)
    }

    /// The idle limit and the absolute limit of what a user opens.
    pub(super) fn limits(&self, user: &User) -> (Duration, Duration) {
        let longest = self.config.longest;
        (user.idle().unwrap_or(self.config.idle).min(longest), longest)
    }

    fn check_idle(&self, idle: Option<Duration>) -> Result<(), Refusal> {
        let (least, most) = (*config::IDLE.start(), self.config.longest);
        match idle {
            Some(idle) if idle < least || idle > most => Err(Refusal::Limit { least, most }),
            _ => Ok(()),
        }
    }

    fn taken(&self, of: &UserName, view: &View<'_>) -> Taken {
        let others = self.secrets.iter().filter(|(name, _)| *name != of);
        let taken = Taken::of(view.catalogue(), self.secrets.values());
        taken.sharing(others.map(|(_, secrets)| secrets))
    }
}

/// Puts a user and, where they change too, the secrets. The audit log has the user alone.
fn put(plan: &mut Plan<Users>, user: User, secrets: Option<Secrets>, deed: Deed) {
    let name = user.name.clone();
    plan.put(Key::User(name.clone()), Record::User(user), deed);
    if let Some(secrets) = secrets {
        plan.put(Key::Secrets(name), Record::Secrets(secrets), None);
    }
}

/// Services are named one by one: an administrator who opens SSH to a hotel's address says so.
fn check_services(services: &Grant, view: &View<'_>) -> Result<(), Refusal> {
    let Grant::Some(names) = services else {
        return Err(Refusal::AllServices);
    };
    if names.is_empty() {
        return Err(Refusal::NoServices);
    }
    let catalogue = view.catalogue();
    match names.iter().find(|name| catalogue.get(name).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(Refusal::NoSuchService {
            name: unknown.clone(),
            known: catalogue.0.keys().cloned().collect(),
        }),
    }
}

/// A knock can be repeated by whoever sees it: it never opens ssh or web permanently.
fn check_permanent(name: &UserName, permanent: bool, services: &Grant) -> Result<(), Refusal> {
    match permanent && permanently(services).is_none() {
        true => Err(Refusal::NoneUnnamed { name: name.clone() }),
        false => Ok(()),
    }
}

/// The first ports of each service. What it brings comes with it.
fn one_port_each(names: &BTreeSet<ServiceName>, catalogue: &Catalogue) -> Vec<Ports> {
    let own = |name| catalogue.get(name).and_then(|service| service.ports.first().copied());
    let any = |name| catalogue.opening([name]).ports.first().copied();
    names.iter().filter_map(|name| own(name).or_else(|| any(name))).collect()
}

fn check_note(note: &str) -> Result<(), Refusal> {
    match note.chars().count() > MAX_NOTE_LEN {
        true => Err(Refusal::LongNote { most: MAX_NOTE_LEN }),
        false => Ok(()),
    }
}
