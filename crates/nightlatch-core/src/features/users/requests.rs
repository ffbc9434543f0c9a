//! What is asked about users, what is refused, what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::NotSecret;
use super::knock::permanently;
use super::opening::{Open, Opens};
use super::secrets::Taken;
use super::{
    Counts, Deed, Job, Key, Keys, Kind, MAX_USERS, NotMade, Record, Secrets, User, UserName, Users,
    config,
};
use crate::api::RefusalKind;
use crate::features::{Fact, Plan, Refuses, UserRights, View};
use crate::hours::{Hours, Within};
use crate::near::nearest;
use crate::secret::{Entropy, Secret};
use crate::service::{Catalogue, Grant, Ports, ServiceName};
use crate::time::Time;

/// The longest note, in characters.
const LONGEST_NOTE: usize = 1000;
/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make a user.
    Add {
        /// The user.
        new: Box<NewUser>,
        /// Random bytes for the credentials.
        #[serde(skip)]
        entropy: Entropy,
    },
    /// Change a user; what is absent stays as it is.
    Set {
        /// The name.
        name: UserName,
        /// What changes.
        edit: Edit,
    },
    /// Set for all users whether a knock opens an address for as long as it is used.
    Permanent {
        /// Whether it does.
        permanent: bool,
    },
    /// Replace credentials, or give some to a user who has none of this kind.
    Rotate {
        /// The name.
        name: UserName,
        /// Which; all that the user has where there is none.
        kinds: BTreeSet<Kind>,
        /// The secret user agent, which is then replaced too; a random one where absent.
        #[serde(default)]
        agent: Option<Secret<String>>,
        /// Random bytes for the credentials.
        #[serde(skip)]
        entropy: Entropy,
    },
    /// Remove a user: what the credentials opened is closed, and the secrets are erased.
    Revoke {
        /// The name.
        name: UserName,
    },
    /// All that is to be handed over, secrets included.
    Card {
        /// The name.
        name: UserName,
        /// Even if it was shown before.
        again: bool,
    },
    /// Open an address for a user by hand.
    Open(Open),
    /// All users.
    List,
    /// One user.
    Show {
        /// The name.
        name: UserName,
    },
}

impl Request {
    /// Where it takes random bytes.
    pub fn entropy(&mut self) -> Option<&mut Entropy> {
        match self {
            Request::Add { entropy, .. } | Request::Rotate { entropy, .. } => Some(entropy),
            _ => None,
        }
    }
}

/// What changes of a user; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The services.
    pub services: Option<Grant>,
    /// After how long without an accepted packet an address is closed.
    pub idle: Option<Duration>,
    /// When what is open counts.
    pub within: Option<Within>,
    /// Whether a knock opens an address for as long as it is used.
    #[serde(default)]
    pub permanent: Option<bool>,
    /// The note.
    pub note: Option<String>,
    /// Whether SPA packets open other addresses than the one from which they come.
    #[serde(default)]
    pub any_address: Option<bool>,
    /// Whether SPA packets must name the address.
    #[serde(default)]
    pub require_address: Option<bool>,
}

/// A user to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewUser {
    /// The name.
    pub name: UserName,
    /// The services that the credentials open; telephony where absent.
    #[serde(default)]
    pub services: Option<Grant>,
    /// Which credentials.
    pub kinds: BTreeSet<Kind>,
    /// The secret user agent, which is one of the credentials then; a random one where absent.
    #[serde(default)]
    pub agent: Option<Secret<String>>,
    /// After how long without an accepted packet an address is closed; as configured where absent.
    pub idle: Option<Duration>,
    /// The hours during which what is open counts; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// Whether a knock opens an address for as long as it is used.
    #[serde(default)]
    pub permanent: bool,
    /// A note.
    #[serde(default)]
    pub note: String,
    /// Whether SPA packets open other addresses than the one from which they come.
    #[serde(default)]
    pub any_address: bool,
    /// Whether SPA packets must name the address.
    #[serde(default)]
    pub require_address: bool,
}

/// What is answered. Only the card has secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The user is made.
    Added(User),
    /// The user is as shown from now on.
    Changed(User),
    /// Whether knocks open addresses for as long as these are used.
    Permanent {
        /// Whether they do.
        permanent: bool,
        /// For which users that is new.
        changed: Vec<UserName>,
        /// For which users it is not, because they have nothing but ssh and web.
        refused: Vec<UserName>,
    },
    /// These credentials are new, and the old ones erased.
    Rotated {
        /// The user.
        user: User,
        /// Which credentials.
        kinds: BTreeSet<Kind>,
    },
    /// The user is gone.
    Revoked(User),
    /// The card.
    Card(Box<Card>),
    /// The address is opened.
    Opened(Opens),
    /// These users, by name.
    All(Vec<User>),
    /// This user.
    One(User),
    /// How many there are.
    Report {
        /// How many.
        count: usize,
        /// Whose knock sequence has the port of a service by now: they cannot knock.
        #[serde(default)]
        shadowed: Vec<UserName>,
        /// When so many addresses had begun to knock within the last hour that no others could.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        full_at: Option<Time>,
        /// How often each kind of credential was used since the start.
        #[serde(default)]
        used: BTreeMap<Kind, Counts>,
    },
}

/// What is handed over to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The user.
    pub user: User,
    /// The secrets.
    pub secrets: Secrets,
    /// Ports by which a client of fwknop asks for the services: of each the first.
    pub ports: Vec<Ports>,
    /// After how long without an accepted packet an address is closed.
    pub idle: Duration,
    /// After how long in any case.
    pub longest: Duration,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no user of that name.
    Unknown {
        /// The name.
        name: UserName,
        /// The one that was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<UserName>,
    },
    /// There is one of that name already.
    Exists(Box<User>),
    /// There are so many already.
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// No service is named.
    NoServices,
    /// The services must be named one by one.
    AllServices,
    /// There is no such service on this server.
    NoSuchService {
        /// The service.
        name: ServiceName,
        /// Those that there are.
        known: Vec<ServiceName>,
    },
    /// The note is too long.
    LongNote {
        /// The most characters.
        most: usize,
    },
    /// The limit is out of bounds.
    Limit {
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// Nothing is to be changed.
    NothingToSet,
    /// The user has no credentials.
    NoCredentials {
        /// The name.
        name: UserName,
    },
    /// The kernel gave no random bytes.
    NoEntropy,
    /// No ports are left for credentials.
    NoPorts,
    /// The user agent that was chosen is no secret.
    NotSecret(NotSecret),
    /// The card was shown before.
    Shown {
        /// The name.
        name: UserName,
        /// When.
        at: Time,
    },
    /// The user does not have these services.
    NotGranted {
        /// The user's name.
        name: UserName,
        /// The services.
        services: Vec<ServiceName>,
    },
    /// All of the user's services have to be named to be open permanently.
    NoneUnnamed {
        /// The user's name.
        name: UserName,
    },
    /// Nobody comes from there.
    NobodyElse {
        /// The address.
        address: IpAddr,
    },
    /// It is an address of this machine.
    Own {
        /// The address.
        address: IpAddr,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Unknown { .. }
            | Refusal::Exists(_)
            | Refusal::TooMany { .. }
            | Refusal::NoCredentials { .. }
            | Refusal::Shown { .. } => RefusalKind::No,
            Refusal::NoEntropy | Refusal::NoPorts => RefusalKind::Failed,
            _ => RefusalKind::Wrong,
        }
    }
}

impl From<NotMade> for Refusal {
    fn from(why: NotMade) -> Refusal {
        match why {
            NotMade::NoEntropy => Refusal::NoEntropy,
            NotMade::NoPorts => Refusal::NoPorts,
            NotMade::NotSecret(why) => Refusal::NotSecret(why),
        }
    }
}

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
    match note.chars().count() > LONGEST_NOTE {
        true => Err(Refusal::LongNote { most: LONGEST_NOTE }),
        false => Ok(()),
    }
}
