//! `user add`, `user list`, `user show`, `user set`, `user permanent`, `user rotate`, `user revoke`, `user card`, `lease`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nightlatch_core::api;
use nightlatch_core::entry::HostName;
use nightlatch_core::features::Reply;
use nightlatch_core::features::users::{
    self, Card, Edit, Kind, NewUser, Open, Request, User, UserName,
};
use nightlatch_core::hours::Within;
use nightlatch_core::secret::Entropy;
use nightlatch_core::service::Grant;
use nightlatch_core::time::parse_span;

use super::card::Sheet;
use super::io::{self, CardFile};
use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::hours::HoursArgs;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::{addresses, client, screen};

/// Manage users without a fixed address, and their credentials
#[derive(clap::Args, Debug)]
pub struct UserCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Create a user with credentials
    Add(Add),
    /// List all users
    List,
    /// Show one user; secrets are only on the card
    Show {
        /// The user's name
        name: UserName,
    },
    /// Change services, limit, hours or note; the credentials stay the same
    Set(Set),
    /// Set for all users whether a knock opens an address for as long as it is used
    Permanent {
        /// Whether it does
        permanent: Switch,
    },
    /// Replace the credentials and erase the old ones
    Rotate {
        /// The user's name
        name: UserName,
        /// Which: knock, spa, agent; default: all that the user has. A kind that the user does not have is added
        #[arg(long, value_name = "LIST", value_parser = kinds)]
        keys: Option<Kinds>,
        /// A file with the new secret user agent of a SIP phone, one line, or - for standard input; default: a random one
        #[arg(long, value_name = "FILE")]
        agent_file: Option<PathBuf>,
    },
    /// Remove a user: close what the credentials opened, and erase the secrets
    Revoke {
        /// The user's name
        name: UserName,
        /// Proceed even if this ends your own session
        #[arg(long)]
        force: bool,
    },
    /// Show what to hand over, once: credentials, commands and a QR code
    Card(ShowCard),
}

/// On or off.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

#[derive(clap::Args, Debug)]
struct Add {
    /// The user's name, e.g. "anna"; public
    name: UserName,
    /// The services that the credentials open, e.g. sip,web ("nightlatch services" lists them); default:
    /// telephony only
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    services: Option<Grant>,
    /// The credentials: some of knock, spa, agent, or none
    #[arg(long, value_name = "LIST", default_value = "spa", value_parser = kinds)]
    keys: Kinds,
    /// A file with the secret user agent of a SIP phone, one line, or - for standard input; default: a random one
    #[arg(long, value_name = "FILE")]
    agent_file: Option<PathBuf>,
    /// After how long without a packet an address is closed, e.g. 8h; default: as configured
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    lease: Option<Duration>,
    /// Whether a knock opens an address for as long as it is used: until 30 days without a packet, and never for
    /// ssh or web
    #[arg(long, value_name = "on|off", default_value = "off", hide_possible_values = true)]
    permanent: Switch,
    #[command(flatten)]
    hours: HoursArgs,
    /// SPA packets also open other addresses than the one from which they come
    #[arg(long)]
    any_address: bool,
    /// SPA packets must name the address, so that a captured packet cannot be replayed from another one
    #[arg(long)]
    require_address: bool,
    /// A note; it is public: never write a secret into it
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

#[derive(clap::Args, Debug)]
struct Set {
    /// The user's name
    name: UserName,
    /// The services from now on, also of addresses that are open already
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    services: Option<Grant>,
    /// After how long without a packet an address is closed; only of those that are opened from now on
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    lease: Option<Duration>,
    /// Whether a knock opens an address for as long as it is used: until 30 days without a packet, and never for
    /// ssh or web
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    permanent: Option<Switch>,
    #[command(flatten)]
    hours: HoursArgs,
    /// Whether SPA packets also open other addresses than the one from which they come
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", value_parser = yes_or_no)]
    any_address: Option<bool>,
    /// Whether SPA packets must name the address
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes", value_parser = yes_or_no)]
    require_address: Option<bool>,
    /// A note; it is public: never write a secret into it
    #[arg(long)]
    note: Option<String>,
    /// Proceed even if this ends your own session
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args, Debug)]
struct ShowCard {
    /// The user's name
    name: UserName,
    /// The name or address at which the person reaches this server; default: its own address
    #[arg(long, value_name = "NAME|ADDRESS", value_parser = host)]
    host: Option<String>,
    /// Write an HTML page to a new file, which only root can read
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write an SVG image to a new file, which only root can read
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the text of the QR code to a new file, which only root can read
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Show it even if it was shown before; this is recorded
    #[arg(long)]
    again: bool,
}

/// Open an address for a user by hand, without credentials
#[derive(clap::Args, Debug)]
pub struct Lease {
    /// The user's name
    name: UserName,
    /// The address
    #[arg(value_parser = addresses::one)]
    address: IpAddr,
    /// For how long at most, e.g. 2h; default: as long as the user's credentials would open it
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    lasts: Option<Duration>,
    /// As long as it is used: it ends after 30 days without a packet. Not for ssh and web, unless named by
    /// --services
    #[arg(long, conflicts_with = "lasts")]
    permanent: bool,
    /// Which of the user's services; default: all of them
    #[arg(long, value_name = "LIST", value_parser = Grant::parse)]
    services: Option<Grant>,
    /// Proceed even if this ends your own session: a user has four addresses at most, and the oldest ends
    #[arg(long)]
    force: bool,
}

/// Kinds of credentials as one argument.
#[derive(Clone, Debug)]
struct Kinds(BTreeSet<Kind>);

fn kinds(text: &str) -> Result<Kinds, users::KindError> {
    Kind::parse_list(text).map(Kinds)
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

/// A host name or an address: nothing else may stand in the commands of a card.
fn host(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => text.parse().map(|name: HostName| name.to_string()).map_err(|it| it.to_string()),
    }
}

impl Run for UserCommand {
    fn run(&self, context: &Context) -> Outcome {
        match &self.action {
            Action::Add(add) => context.change(api::Request::of(add.request()?)),
            Action::List => list(context),
            Action::Show { name } => show(context, name),
            Action::Set(set) => context.change(api::Request::of(set.request()?).forced(set.force)),
            Action::Permanent { permanent } => {
                let permanent = *permanent == Switch::On;
                context.change(api::Request::of(Request::Permanent { permanent }))
            }
            Action::Rotate { name, keys, agent_file } => {
                let (name, entropy) = (name.clone(), Entropy::default());
                let kinds = keys.clone().map(|Kinds(kinds)| kinds).unwrap_or_default();
                let agent = agent_file.as_deref().map(io::read_agent).transpose()?;
                let request = Request::Rotate { name, kinds, agent, entropy };
                context.change(api::Request::of(request))
            }
            Action::Revoke { name, force } => {
                let request = api::Request::of(Request::Revoke { name: name.clone() });
                context.change(request.forced(*force))
            }
            Action::Card(card) => card.run(context),
        }
    }
}

impl Run for Lease {
    fn run(&self, context: &Context) -> Outcome {
        let request = Request::Open(Open {
            name: self.name.clone(),
            address: self.address,
            lasts: self.lasts,
            permanent: self.permanent,
            services: self.services.clone(),
        });
        context.change(api::Request::of(request).forced(self.force))
    }
}

impl Add {
    fn request(&self) -> Result<Request, Failure> {
        let new = NewUser {
            name: self.name.clone(),
            services: self.services.clone(),
            kinds: self.keys.0.clone(),
            agent: self.agent_file.as_deref().map(io::read_agent).transpose()?,
            idle: self.lease,
            hours: self.hours.within()?.and_then(Within::hours),
            permanent: self.permanent == Switch::On,
            note: self.note.clone(),
            any_address: self.any_address,
            require_address: self.require_address,
        };
        Ok(Request::Add { new: Box::new(new), entropy: Entropy::default() })
    }
}

impl Set {
    fn request(&self) -> Result<Request, Failure> {
        let edit = Edit {
            services: self.services.clone(),
            idle: self.lease,
            within: self.hours.within()?,
            permanent: self.permanent.map(|permanent| permanent == Switch::On),
            note: self.note.clone(),
            any_address: self.any_address,
            require_address: self.require_address,
        };
        Ok(Request::Set { name: self.name.clone(), edit })
    }
}

impl Run for ShowCard {
    fn run(&self, context: &Context) -> Outcome {
        if context.json {
            let what = "a card has secrets, which are not written as JSON: use --html, --svg or --text FILE";
            return Err(Failure::new(Code::Usage, what));
        }
        let create = |path: &Option<PathBuf>| path.as_deref().map(CardFile::create).transpose();
        let files = (create(&self.html)?, create(&self.svg)?, create(&self.text)?);
        let on_screen = files.0.is_none() && files.1.is_none() && files.2.is_none();
        if on_screen && io::output_is_public() {
            let what = "standard output is a file that others may read: use --html, --svg or --text FILE, which only root can read";
            return Err(Failure::new(Code::Usage, what));
        }
        let (host, is_private) = match &self.host {
            Some(host) => (host.clone(), false),
            None => own_host()?,
        };
        let card = self.ask(context)?;
        let sheet = Sheet::new(&card, &host);
        let (html, svg, text) = files;
        let html = html.map(|file| file.write(&sheet.html())).transpose()?;
        let svg = svg.map(|file| file.write(&sheet.svg())).transpose()?;
        let text = text.map(|file| file.write(sheet.data())).transpose()?;
        for path in [html, svg, text].into_iter().flatten() {
            screen::say(wording::written(&path, &self.name));
        }
        if on_screen {
            self.show(&sheet);
        }
        if is_private {
            screen::say(wording::private_host(&host));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ShowCard {
    fn ask(&self, context: &Context) -> Result<Card, Failure> {
        let request = Request::Card { name: self.name.clone(), again: self.again };
        let replies = context.ask(vec![request.into()])?;
        let card = replies.into_iter().find_map(|reply| match reply {
            Reply::Users(users::Reply::Card(card)) => Some(*card),
            _ => None,
        });
        card.ok_or_else(|| client::unfitting(&self.name))
    }

    fn show(&self, sheet: &Sheet) {
        screen::say(sheet.lines().join("\n"));
        screen::say("");
        let Some(code) = sheet.code() else { return };
        match io::terminal_width() {
            Some(columns) if columns < code.width() => {
                screen::say(wording::too_narrow(columns, code.width(), &self.name));
            }
            _ => screen::say(code.lines()),
        }
        screen::say("");
    }
}

/// An address of this machine, and whether it is a private one.
fn own_host() -> Result<(String, bool), Failure> {
    let own = addresses::own();
    let usable = |address: &&IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    };
    let is_private = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    let best =
        own.iter().filter(usable).min_by_key(|address| (is_private(address), address.is_ipv6()));
    match best {
        Some(address) => Ok((address.to_string(), is_private(address))),
        None => Err(Failure::new(
            Code::Usage,
            "this machine has no address that could be on the card: add --host with its name or address",
        )),
    }
}

fn list(context: &Context) -> Outcome {
    let replies = context.ask(vec![Request::List.into()])?;
    let users = replies.into_iter().find_map(|reply| match reply {
        Reply::Users(users::Reply::All(users)) => Some(users),
        _ => None,
    });
    let users = users.ok_or_else(|| client::unfitting(&"no users"))?;
    if context.json {
        screen::say_json(&users);
    } else if users.is_empty() {
        screen::say("No users. Create one with \"nightlatch user add NAME --services sip\".");
    } else {
        screen::table(wording::HEADER, &users.iter().map(wording::row).collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, name: &UserName) -> Outcome {
    let replies = context.ask(vec![Request::Show { name: name.clone() }.into()])?;
    let user: Option<User> = replies.into_iter().find_map(|reply| match reply {
        Reply::Users(users::Reply::One(user)) => Some(user),
        _ => None,
    });
    let user = user.ok_or_else(|| client::unfitting(name))?;
    if context.json {
        screen::say_json(&user);
    } else {
        wording::lines(&user).iter().for_each(screen::say);
    }
    Ok(ExitCode::SUCCESS)
}
