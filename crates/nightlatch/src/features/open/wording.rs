//! What is said about opening.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use nightlatch_core::time::Time;
use nightlatch_parse::spa::{CardError, CardWord, Protocol, Service};

use super::keep::Why;
use super::logic::{Action, Answer, Family, How, Report, State, Tried};

/// What was done, one line for each address of the server, and what to do if it had no effect.
pub(super) fn lines(report: &Report, now: Time) -> Vec<String> {
    let mut lines: Vec<String> = report.paths.iter().map(line).collect();
    let has = |state| report.paths.iter().any(|it| it.state == state);
    if has(State::Unverified) {
        lines.extend(unverified(report, now));
    }
    if has(State::StillOpen) {
        lines.push("What still answers may be open in another way, e.g. by an account or to everybody: \"nightlatch why ADDRESS\" on the server shows it.".to_owned());
    }
    if has(State::AddressNeeded) {
        lines.push("The card says that packets must name the address under which the server sees this computer: add --address with it. A page that shows your address, or the administrator of your network, can tell it.".to_owned());
    }
    if report.paths.iter().all(|it| matches!(it.state, State::NoRoute | State::NoAddress)) {
        lines.push(format!("Nothing was sent: check the network of this computer, and the name of the server ({}).", report.host));
    }
    lines
}

/// What was done for one address of the server.
fn line(tried: &Tried) -> String {
    format!("{}  {}", family(tried.family), outcome(tried))
}

fn outcome(tried: &Tried) -> String {
    let Some(server) = tried.server else {
        return "not used: the server has no address of this family".to_owned();
    };
    let error = tried.error.as_deref().unwrap_or("no reason was given");
    match tried.state {
        State::NoAddress => "not used: the server has no address of this family".to_owned(),
        State::NoRoute => format!("not used: this computer has no route to {server} ({error})"),
        State::AddressNeeded => format!(
            "not sent: {} is not an address of the internet, and the card needs one",
            source(tried)
        ),
        State::NotSent => format!("not sent to {server}: {error}"),
        State::Open => {
            let answers: Vec<String> = tried.answers.iter().map(|it| answer(server, *it)).collect();
            format!("open{}: {}", named(tried), answers.join(", "))
        }
        State::WasOpen => format!(
            "was open already: {} answered before the packet was sent",
            places(server, &tried.answered_before)
        ),
        State::Unverified => {
            format!("sent{}, cannot be verified: {}", named(tried), silence(tried, server))
        }
        State::Closed => closed(tried, server),
        State::StillOpen => {
            let answers: Vec<String> = tried.answers.iter().map(|it| answer(server, *it)).collect();
            format!("not closed: {}", answers.join(", "))
        }
    }
}

/// What no longer answers, and what does, for other reasons.
fn closed(tried: &Tried, server: IpAddr) -> String {
    let still: Vec<Service> = tried.answers.iter().map(|it| it.service).collect();
    let before = tried.answered_before.iter().copied();
    let ended: Vec<Service> = before.filter(|it| !still.contains(it)).collect();
    match (ended.as_slice(), still.as_slice()) {
        ([], _) => {
            format!("closed: nothing answers at {server}, nor did it before the packet was sent")
        }
        (ended, []) => format!("closed: {} no longer answers", places(server, ended)),
        (ended, still) => format!(
            "closed: {} no longer answers; {} does, so that it is open in another way too",
            places(server, ended),
            places(server, still)
        ),
    }
}

/// What was asked and did not answer, and how often.
fn silence(tried: &Tried, server: IpAddr) -> String {
    let sent = match tried.packets {
        1 => format!("1 packet from {}", source(tried)),
        packets => format!("{packets} packets from {}", source(tried)),
    };
    let before = match tried.answered_before.as_slice() {
        [] => String::new(),
        before => format!("; {} answered before the packet was sent", places(server, before)),
    };
    match tried.silent.as_slice() {
        [] => format!("the card has no port at which an answer could be expected ({sent})"),
        silent => format!("nothing answers at {server} {} ({sent}{before})", list(silent)),
    }
}

/// Why packets may have had no effect.
fn unverified(report: &Report, now: Time) -> Vec<String> {
    let last = match report.action {
        Action::Open => {
            "- the service: it may not be running, or not answer SIP requests (OPTIONS)"
        }
        Action::Close => {
            "- the service: it did not answer before either, so that no difference shows"
        }
    };
    let others =
        report.paths.iter().filter(|it| it.state == State::Unverified && it.named != it.source);
    let others = others.filter_map(|it| it.named).map(|address| format!("- the address: {address} is opened only for users who may open others than their own, and only from there can it be verified"));
    let mut lines = vec![
        "The server never answers such a packet, accepted or refused. What to check:".to_owned(),
        format!(
            "- the clock of this computer, which says {now}: a server whose clock differs by more than 2 minutes ignores the packet"
        ),
        "- the card: its keys are not valid any more if they were replaced or the user was revoked"
            .to_owned(),
        "- the network: it may drop packets to the UDP port on the card, or replace addresses in different ways for UDP and TCP".to_owned(),
    ];
    lines.extend(others);
    lines.push(last.to_owned());
    lines.push(
        "On the server, \"journalctl -u nightlatch\" shows which packets were refused, and why."
            .to_owned(),
    );
    lines
}

/// Before it is repeated.
pub(super) fn keeping(host: &str) -> String {
    format!(
        "Repeated after changes of address, when {host} no longer answers, and from time to time. Ctrl-C ends this; what is open stays open until its limit, or until --close."
    )
}

/// It was repeated.
pub(super) fn again(tried: &Tried, why: Why, now: Time) -> String {
    let why = match why {
        Why::Address(address) => format!("the own address is {address} now"),
        Why::Silent => "it did not answer".to_owned(),
        Why::Slept => "this computer was asleep".to_owned(),
        Why::Regular => "it was time".to_owned(),
    };
    format!("{now}  {} ({why})", line(tried))
}

/// The host is not that of the card.
pub(super) fn other_host(host: &str, on_card: &str) -> String {
    format!(
        "warning: the card is for {on_card}, and the packet goes to {host}: if that is not the server of the card, its operator could forward the packet and use it"
    )
}

/// The host has no address.
pub(super) fn not_found(host: &str, error: &Error) -> String {
    format!(
        "nothing was sent: the address of \"{host}\" could not be found: {error}; check the name and the network of this computer, or use the server's address"
    )
}

/// The file of the card cannot be read.
pub(super) fn unreadable(path: &Path, error: &Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => format!(
            "the card {path} does not exist: save the text of the card from your administrator there"
        ),
        ErrorKind::PermissionDenied => format!(
            "the card {path} cannot be read by this user: {error}; copy it to a file of your own"
        ),
        _ => format!("the card {path} cannot be read: {error}"),
    }
}

/// The file is not a card.
pub(super) fn no_card(path: &Path, error: CardError) -> String {
    let path = path.display();
    match error {
        CardError::Markup => format!(
            "{path} is the page or the drawing of a card, which only people can read: copy the text of the card into a file, or ask for it as text (\"nightlatch user card NAME --text FILE\" on the server)"
        ),
        CardError::NotACard => format!(
            "{path} is not a card: use the text that \"nightlatch user card NAME\" prints on the server"
        ),
        CardError::NotText | CardError::TooLong => format!(
            "{path} is not a card: {error}; use the text that \"nightlatch user card NAME\" prints on the server"
        ),
        CardError::Missing(CardWord::Key | CardWord::HmacKey) => format!(
            "{path} has no keys for single packet authorization (SPA): {error}; ask for a card with them (\"nightlatch user rotate NAME --keys spa\" on the server)"
        ),
        CardError::Missing(_) => format!("{path} is not complete: {error}; copy the whole card"),
        CardError::Again(..) | CardError::Malformed(..) => {
            format!("{path} cannot be used: {error}; copy the card again")
        }
    }
}

/// Others may read the file.
pub(super) fn public_card(path: &Path) -> String {
    format!(
        "warning: other users of this computer may read or change the card: \"chmod 600 {}\" makes it yours alone",
        path.display()
    )
}

fn answer(server: IpAddr, answer: Answer) -> String {
    let how = match answer.how {
        How::Accepted | How::Replied => "answers",
        How::Refused => "answers (it refuses the connection: no program listens there)",
    };
    format!("{} {how}", place(server, answer.service))
}

fn places(server: IpAddr, services: &[Service]) -> String {
    services.iter().map(|it| place(server, *it)).collect::<Vec<_>>().join(", ")
}

/// `192.0.2.1:443 (TCP)`
fn place(server: IpAddr, service: Service) -> String {
    let protocol = match service.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    };
    format!("{} ({protocol})", SocketAddr::new(server, service.port))
}

fn list(services: &[Service]) -> String {
    services.iter().map(Service::to_string).collect::<Vec<_>>().join(", ")
}

fn named(tried: &Tried) -> String {
    tried.named.map(|address| format!(" for {address}")).unwrap_or_default()
}

fn source(tried: &Tried) -> String {
    tried.source.map_or_else(|| "this computer".to_owned(), |source| source.to_string())
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
