//! Requests and replies of the control socket. The command line, the tests and later the portal
//! share it. One JSON object a line, each way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_parse::country::CountryCode;
use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::ledger::{Account, AccountName, Block, Denial, Entry, Mode, Protection, Site};
use crate::lists::{CountryRules, Feed, FeedName, FeedState, Listed};
use crate::pbx::PbxPeers;
use crate::policy::{Reason, Verdict};
use crate::product::Product;
use crate::service::{Catalogue, Grant, Ports, ServiceName};
use crate::signalling::Peer;
use crate::time::Time;

/// The number of the protocol. Both sides refuse another one.
pub const VERSION: u32 = 1;

/// Who asks, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user id of the process that asks.
    pub uid: u32,
    /// The login name; `root` behind `sudo` keeps the name of the person who logged in.
    pub user: String,
    /// Where the person's SSH session comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<IpAddr>,
}

/// Writes `anna from 203.0.113.7`.
impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user)?;
        self.origin.map_or(Ok(()), |origin| write!(f, " from {origin}"))
    }
}

/// What is asked of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Put the firewall up.
    Up(Up),
    /// Keep what `up` put up.
    Confirm,
    /// Take back what `up` put up.
    Rollback,
    /// Take the firewall off.
    Down,
    /// Add an account.
    Allow(NewAccount),
    /// Remove an account.
    Remove {
        /// Its name.
        name: AccountName,
        /// Even if that ends the caller's own session.
        #[serde(default)]
        force: bool,
    },
    /// All accounts and blocks.
    List,
    /// One account.
    Show {
        /// Its name.
        name: AccountName,
    },
    /// Set a block.
    Block(NewBlock),
    /// Remove a block.
    Unblock {
        /// Exactly its range.
        range: AddrRange,
    },
    /// Set what strangers meet.
    Mode {
        /// The mode.
        mode: Mode,
        /// Even if that ends the caller's own session.
        #[serde(default)]
        force: bool,
    },
    /// The services of this server.
    Services,
    /// What happens to packets of an address, and why.
    Why {
        /// The address.
        address: IpAddr,
        /// For which port; for all services where absent.
        to: Option<Ports>,
    },
    /// Add a feed.
    FeedAdd(Feed),
    /// Remove a feed.
    FeedRemove {
        /// Its name.
        name: FeedName,
    },
    /// All feeds.
    FeedList,
    /// Fetch now.
    FeedRefresh {
        /// Which; all where absent.
        name: Option<FeedName>,
        /// Believe the next content whatever its size.
        #[serde(default)]
        force: bool,
    },
    /// Shut countries out.
    CountryBlock {
        /// These.
        countries: BTreeSet<CountryCode>,
        /// Even if the caller could not come in any more.
        #[serde(default)]
        force: bool,
    },
    /// Shut them out no longer.
    CountryUnblock(BTreeSet<CountryCode>),
    /// Let strangers in only from these; from everywhere where there are none.
    CountryAllow {
        /// These.
        countries: BTreeSet<CountryCode>,
        /// Even if the caller could not come in any more.
        #[serde(default)]
        force: bool,
    },
    /// Which countries are shut out.
    CountryList,
    /// Read the table of countries now.
    CountryRefresh {
        /// Believe it whatever its size.
        #[serde(default)]
        force: bool,
    },
    /// Forget the peers at an address that are known from this host's own requests.
    ForgetPeer {
        /// The address.
        address: IpAddr,
    },
    /// How things stand.
    Status,
    /// Read the configuration again.
    Reload,
}

/// The firewall to put up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Up {
    /// What strangers are to meet; as it was where absent.
    pub mode: Option<Mode>,
    /// Accounts to make where no account of that name exists.
    pub accounts: Vec<NewAccount>,
    /// What was found out about the server.
    pub site: Site,
    /// After how long to take everything back unless confirmed; never where absent.
    pub trial: Option<Duration>,
    /// Whether it is enough to say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// What the PBX reports about its peers.
    #[serde(default)]
    pub pbx: PbxPeers,
}

/// An account to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// Whom it lets in. Host names come resolved.
    pub entries: Vec<Entry>,
    /// The services it opens.
    pub services: Grant,
    /// How long it holds; for ever where absent.
    pub lasts: Option<Duration>,
    /// A note.
    #[serde(default)]
    pub note: String,
}

/// A block to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewBlock {
    /// Whom it shuts out.
    pub range: AddrRange,
    /// How long it holds; for ever where absent.
    pub lasts: Option<Duration>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Even if it shuts out the gateway, the resolver or the caller.
    #[serde(default)]
    pub force: bool,
}

/// The daemon's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done. What happened, in words for the screen.
    Done {
        /// One sentence a line.
        message: String,
    },
    /// Not done, and nothing was changed.
    Refused(Refusal),
    /// All accounts and blocks.
    List {
        /// The accounts, by name.
        accounts: Vec<Account>,
        /// The blocks, by range.
        blocks: Vec<Block>,
    },
    /// One account.
    Account(Account),
    /// The services of this server.
    Services(Services),
    /// All feeds.
    Feeds(Vec<FeedView>),
    /// The countries.
    Countries(Countries),
    /// A verdict.
    Why(Box<Why>),
    /// How things stand.
    Status(Box<Status>),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind: it becomes the exit code.
    pub kind: RefusalKind,
    /// What happened, to what, and what to do next.
    pub message: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The answer is no: no such account, a name taken, a change that would lock somebody out.
    No,
    /// The request itself is wrong.
    Wrong,
    /// The caller may not.
    NotAllowed,
    /// The configuration is bad.
    Configuration,
    /// The disk, the store or the kernel failed.
    Failed,
}

/// The services of this server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// The telephone server they come from.
    pub product: Product,
    /// Every service with its ports.
    pub services: Catalogue,
    /// Those that answer strangers in open mode.
    pub open: Vec<ServiceName>,
    /// What strangers meet now.
    pub mode: Mode,
}

/// A feed, and how it goes with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedView {
    /// The feed.
    pub feed: Feed,
    /// How it goes.
    pub state: FeedState,
    /// Whether its content is so old that it should be doubted.
    pub stale: bool,
    /// Whether it is being fetched now, or is next to be.
    pub fetching: bool,
    /// How many bytes of it have arrived, while it is being fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<u64>,
}

/// Which countries are shut out, and how it goes with the table of countries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Countries {
    /// Which are shut out.
    pub rules: CountryRules,
    /// Where the table comes from.
    pub source: Vec<String>,
    /// When the table in force was taken in.
    pub taken: Option<Time>,
    /// What came of the last look at the source.
    pub result: String,
    /// Whether that look failed.
    pub failed: bool,
    /// Why the last change of the rules was taken back, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// Whether the table in force is so old that it should be doubted.
    #[serde(default)]
    pub stale: bool,
    /// Whether it is being read now, or is next to be.
    pub reading: bool,
    /// How many ranges the table has.
    pub ranges: usize,
    /// How much the named countries have.
    pub sizes: Vec<CountrySize>,
}

/// How much a country has in the table in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountrySize {
    /// The country.
    pub country: CountryCode,
    /// Ranges of IPv4.
    pub v4_ranges: usize,
    /// Addresses of IPv4.
    pub v4_addresses: u64,
    /// Ranges of IPv6.
    pub v6_ranges: usize,
}

/// The answer to `why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The address asked for.
    pub address: IpAddr,
    /// The port asked for.
    pub to: Option<Ports>,
    /// Whether a new packet passes: to that port, or to any port at all.
    pub passes: bool,
    /// Why, in one word, as in [`Reason`].
    pub reason: String,
    /// The verdict in a sentence.
    pub sentence: String,
    /// The services it reaches.
    pub reaches: Vec<String>,
    /// The accounts that cover it.
    pub accounts: Vec<Account>,
    /// The blocks that cover it, the most specific first.
    pub blocks: Vec<Block>,
    /// The lists that hold it.
    pub lists: Vec<Holding>,
    /// For a UDP signalling port: the verdict for each kind of packet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<PacketVerdict>,
    /// The peers at this address that are known from this host's own requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownPeer>,
    /// The denials that cover it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<Denial>,
}

/// The verdict for one kind of packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketVerdict {
    /// `request`, `registration`, `response`.
    pub kind: String,
    /// Whether it passes.
    pub passes: bool,
    /// Why, in one word.
    pub reason: String,
    /// The verdict in a sentence.
    pub sentence: String,
}

/// A peer known from this host's own requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// The peer.
    #[serde(flatten)]
    pub peer: Peer,
    /// When this host last sent a packet that makes it known.
    pub seen: Time,
    /// When it is forgotten unless this host sends another.
    pub until: Time,
}

/// A list that holds an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holding {
    /// Which list, and its entry.
    #[serde(flatten)]
    pub listed: Listed,
    /// When the content in force was fetched, or last confirmed by its source.
    pub fetched: Option<Time>,
}

/// How things stand, as the daemon knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Whether the firewall is to stand.
    pub protection: Protection,
    /// What strangers meet.
    pub mode: Mode,
    /// Whether the kernel holds exactly the table it should.
    pub intact: bool,
    /// What is not as it should be, each with what to do.
    pub warnings: Vec<String>,
    /// Whether an early unit puts the firewall up at boot.
    pub survives_reboot: bool,
    /// What strangers reach, as ports; empty where they meet silence.
    pub strangers_reach: Vec<String>,
    /// How many accounts there are.
    pub accounts: usize,
    /// How many blocks there are.
    pub blocks: usize,
    /// How many ranges all lists together hold.
    pub listed: usize,
    /// Those of them that are IPv6.
    #[serde(default)]
    pub listed_v6: usize,
    /// About how many bytes the kernel needs for them; 0 while the firewall is off.
    #[serde(default)]
    pub listed_bytes: u64,
    /// How many feeds there are.
    #[serde(default)]
    pub feeds: usize,
    /// How many countries are named: shut out, or the only ones let in.
    #[serde(default)]
    pub countries: usize,
    /// What feeds report as trouble.
    pub feed_troubles: Vec<String>,
    /// Packets dropped since the table was put up, by counter.
    pub dropped: BTreeMap<String, u64>,
    /// The peers known from this host's own requests: the first [`MAX_LISTED_PEERS`].
    #[serde(default)]
    pub known_peers: Vec<KnownPeer>,
    /// How many there are in all.
    #[serde(default)]
    pub known_peer_count: usize,
    /// The ranges that are denied services and media: the first [`MAX_LISTED_PEERS`].
    #[serde(default)]
    pub denials: Vec<Denial>,
    /// How many there are in all.
    #[serde(default)]
    pub denial_count: usize,
    /// When the PBX last reported its registrations and contacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pbx_answered: Option<Time>,
    /// What ends by itself within a day.
    pub ending: Vec<Ending>,
    /// How often somebody else changed the table, and the last of them.
    pub restored: u64,
    /// The last program that changed the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_last: Option<String>,
}

/// The most peers and the most denials that a status lists.
pub const MAX_LISTED_PEERS: usize = 1_000;

/// Something that ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// What.
    pub what: String,
    /// When.
    pub until: Time,
}

/// The one word of a verdict's reason.
pub fn reason_word(verdict: &Verdict) -> &'static str {
    match verdict.reason {
        Reason::Off => "off",
        Reason::Loopback => "loopback",
        Reason::Answer => "answer",
        Reason::Running => "running",
        Reason::Essential => "essential",
        Reason::NotForThisHost => "not_for_this_host",
        Reason::Blocked { .. } => "blocked",
        Reason::Denied { .. } => "denied",
        Reason::Peer { .. } => "known_peer",
        Reason::Media => "media",
        Reason::Listed { .. } => "listed",
        Reason::Account { .. } => "account",
        Reason::OpenService { .. } => "open_service",
        Reason::Stranger => "stranger",
    }
}
