//! What is asked about users, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::NotSecret;
use super::opening::{Open, Opens};
use super::{Counts, Kind, NotMade, Secrets, User, UserName};
use crate::api::RefusalKind;
use crate::features::Refuses;
use crate::hours::{Hours, Within};
use crate::secret::{Entropy, Secret};
use crate::service::{Grant, Ports, ServiceName};
use crate::time::Time;

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
