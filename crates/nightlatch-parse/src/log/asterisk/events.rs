//! The events of the security channel, what each means, and which fields end it.

use super::text::{address, port};
use crate::log::{Attempt, Outcome, Proof, Reading, Service, Stamp};

use std::net::IpAddr;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    FailedAcl,
    InvalidAccount,
    SessionLimit,
    MemoryLimit,
    LoadLimit,
    NotSupported,
    NotAllowed,
    MethodNotAllowed,
    BadFormat,
    Success,
    UnexpectedAddress,
    ResponseFailed,
    InvalidPassword,
    ChallengeSent,
    InvalidTransport,
}

/// A field after `RemoteAddress`, and whether it is always there.
pub(super) type Field = (&'static [u8], bool);

const MODULE: Field = (b"Module", false);
const SESSION_TIME: Field = (b"SessionTV", false);

impl Event {
    pub(super) fn named(name: &[u8]) -> Option<Event> {
        Some(match name {
            b"FailedACL" => Event::FailedAcl,
            b"InvalidAccountID" => Event::InvalidAccount,
            b"SessionLimit" => Event::SessionLimit,
            b"MemoryLimit" => Event::MemoryLimit,
            b"LoadAverageLimit" => Event::LoadLimit,
            b"RequestNotSupported" => Event::NotSupported,
            b"RequestNotAllowed" => Event::NotAllowed,
            b"AuthMethodNotAllowed" => Event::MethodNotAllowed,
            b"RequestBadFormat" => Event::BadFormat,
            b"SuccessfulAuth" => Event::Success,
            b"UnexpectedAddress" => Event::UnexpectedAddress,
            b"ChallengeResponseFailed" => Event::ResponseFailed,
            b"InvalidPassword" => Event::InvalidPassword,
            b"ChallengeSent" => Event::ChallengeSent,
            b"InvalidTransport" => Event::InvalidTransport,
            _ => return None,
        })
    }

    /// The fields after `RemoteAddress`, in their order.
    pub(super) fn tail(self) -> &'static [Field] {
        match self {
            Event::InvalidAccount | Event::SessionLimit | Event::MemoryLimit | Event::LoadLimit => {
                &[MODULE, SESSION_TIME]
            }
            Event::FailedAcl => &[MODULE, (b"ACLName", false), SESSION_TIME],
            Event::NotSupported => &[(b"RequestType", true), MODULE, SESSION_TIME],
            Event::NotAllowed => {
                &[(b"RequestType", true), MODULE, SESSION_TIME, (b"RequestParams", false)]
            }
            Event::MethodNotAllowed => &[(b"AuthMethod", true), MODULE, SESSION_TIME],
            Event::BadFormat => &[
                (b"RequestType", true),
                MODULE,
                SESSION_TIME,
                (b"AccountID", false),
                (b"RequestParams", false),
            ],
            Event::Success => &[(b"UsingPassword", true), MODULE, SESSION_TIME],
            Event::UnexpectedAddress => &[(b"ExpectedAddress", true), MODULE, SESSION_TIME],
            Event::ResponseFailed => &[
                (b"Challenge", true),
                (b"Response", true),
                (b"ExpectedResponse", true),
                MODULE,
                SESSION_TIME,
            ],
            Event::InvalidPassword => &[
                MODULE,
                SESSION_TIME,
                (b"Challenge", false),
                (b"ReceivedChallenge", false),
                (b"ReceivedHash", false),
            ],
            Event::ChallengeSent => &[(b"Challenge", true), MODULE, SESSION_TIME],
            Event::InvalidTransport => &[(b"AttemptedTransport", true), MODULE, SESSION_TIME],
        }
    }

    /// Whether the manager interface writes text of the client after the address, and none before: the
    /// account of these is that of the session, which is empty before the login.
    pub(super) fn is_hostile_behind(self) -> bool {
        matches!(
            self,
            Event::NotSupported
                | Event::NotAllowed
                | Event::MethodNotAllowed
                | Event::BadFormat
                | Event::ResponseFailed
        )
    }
}

/// The part of Asterisk that reports an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Pjsip,
    Sip,
    Ami,
    Unknown,
}

impl Origin {
    pub(super) fn named(name: &[u8]) -> Origin {
        match name {
            b"PJSIP" => Origin::Pjsip,
            b"SIP" => Origin::Sip,
            b"AMI" => Origin::Ami,
            _ => Origin::Unknown,
        }
    }

    pub(super) fn service(self) -> Service {
        match self {
            Origin::Pjsip | Origin::Sip => Service::Sip,
            Origin::Ami => Service::Ami,
            Origin::Unknown => Service::Other,
        }
    }
}

/// A source as events write it: `IPV4/UDP/192.0.2.1/5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
    /// A connection: its packets went both ways.
    pub(super) is_connected: bool,
}

impl Remote {
    /// Reads it; `None` if it is anything else.
    pub(super) fn read(text: &[u8]) -> Option<Remote> {
        let rest = text.strip_prefix(b"IPV4/").or_else(|| text.strip_prefix(b"IPV6/"))?;
        let transports: [&[u8]; 4] = [b"TCP/", b"TLS/", b"WS/", b"WSS/"];
        let connected = transports.iter().find_map(|name| rest.strip_prefix(*name));
        let datagram = || rest.strip_prefix(b"UDP/").unwrap_or(rest);
        let bare = connected.unwrap_or_else(datagram);
        let slash = memchr::memrchr(b'/', bare)?;
        let (host, digits) = bare.split_at_checked(slash)?;
        let (address, port) = (address(host)?, port(digits.strip_prefix(b"/")?)?);
        (address.is_ipv4() == text.starts_with(b"IPV4")).then_some(())?;
        Some(Remote { address, port: Some(port), is_connected: connected.is_some() })
    }
}

/// What an event says, once its true parts are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) stamp: Option<Stamp>,
    pub(super) event: Event,
    pub(super) origin: Origin,
    pub(super) account: &'a [u8],
    /// The value of `SessionID`.
    pub(super) session: &'a [u8],
    /// The value of `RemoteAddress`.
    pub(super) remote_text: &'a [u8],
    pub(super) remote: Remote,
    pub(super) tail: Tail<'a>,
    /// Nobody who writes into the event could have ended it early and begun another.
    pub(super) is_framed: bool,
}

/// The values after the address that say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail<'a> {
    pub(super) acl: &'a [u8],
    pub(super) challenge: &'a [u8],
    pub(super) received: &'a [u8],
    pub(super) using_password: bool,
    pub(super) account: &'a [u8],
}

impl<'a> Tail<'a> {
    /// Takes a field in.
    pub(super) fn take(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"ACLName" => self.acl = value,
            b"Challenge" => self.challenge = value,
            b"ReceivedChallenge" => self.received = value,
            b"UsingPassword" => self.using_password = value == b"1",
            b"AccountID" => self.account = value,
            _ => {}
        }
    }
}

impl<'a> Facts<'a> {
    /// The attempt; `None` where there is none, such as a mistake of a program that is logged in.
    pub(super) fn reading(self) -> Option<Reading<'a>> {
        let mut account =
            (!self.account.is_empty() && self.account != b"<unknown>").then_some(self.account);
        let mut dialled = None;
        let outcome = match self.event {
            Event::FailedAcl => match self.tail.acl {
                b"registrar_attempt_exceeds_maximum_configured_contacts" => Outcome::TooMany,
                b"no_extension_match" => {
                    dialled = account.take();
                    Outcome::UnknownNumber
                }
                _ => Outcome::NotAllowed,
            },
            Event::InvalidAccount => Outcome::UnknownAccount,
            Event::SessionLimit | Event::MemoryLimit | Event::LoadLimit => Outcome::TooMany,
            // The account is there only after the login.
            Event::NotAllowed | Event::BadFormat
                if self.origin == Origin::Ami && account.is_some() =>
            {
                return None;
            }
            Event::NotSupported
            | Event::NotAllowed
            | Event::MethodNotAllowed
            | Event::UnexpectedAddress
            | Event::InvalidTransport => Outcome::NotAllowed,
            Event::BadFormat => Outcome::Malformed,
            Event::Success => Outcome::Succeeded,
            Event::ResponseFailed | Event::InvalidPassword => Outcome::WrongPassword,
            Event::ChallengeSent => Outcome::Challenged,
        };
        let session = self.session();
        Some(Reading::Attempt(Attempt {
            stamp: self.stamp,
            source: self.remote.address,
            port: self.remote.port,
            service: self.origin.service(),
            outcome,
            proof: self.proof(),
            account,
            session: (!session.is_empty()).then_some(session),
            agent: None,
            dialled,
        }))
    }

    /// What tells one attempt from another, the same in every form in which Asterisk reports the event (text,
    /// JSON, the manager interface), so that it counts once. chan_pjsip writes the Call-ID, which is in the
    /// other lines of the request as well. The others write a pointer, which is used again for other clients.
    /// chan_sip's challenge is of one guess; its pointer is kept for half a minute after that. The manager
    /// interface ends a connection at which a login failed, so there it is the address with its port.
    fn session(&self) -> &'a [u8] {
        match self.origin {
            Origin::Sip if !self.tail.challenge.is_empty() => self.tail.challenge,
            Origin::Pjsip | Origin::Sip => self.session,
            Origin::Ami | Origin::Unknown => self.remote_text,
        }
    }

    /// What the event proves of the source.
    ///
    /// chan_sip writes line ends of the client into its accounts, so that what follows them may be the
    /// client's text: outside a frame it proves nothing. The nonce of chan_pjsip's `Challenge` is that of
    /// the client, and Asterisk reports a wrong response whatever the nonce was (`verify` in
    /// res_pjsip_authenticator_digest.c): a datagram with an invented one gets there. A success needs the
    /// nonce that was sent to the source. chan_sip compares the nonces first.
    fn proof(&self) -> Proof {
        let is_answered = match (self.origin, self.event) {
            (Origin::Ami, _) => true,
            (Origin::Sip, _) if !self.is_framed => false,
            _ if self.remote.is_connected => true,
            (_, Event::Success) => self.tail.using_password,
            (Origin::Sip, Event::InvalidPassword) => {
                !self.tail.challenge.is_empty() && self.tail.challenge == self.tail.received
            }
            _ => false,
        };
        if is_answered { Proof::Answered } else { Proof::Claimed }
    }
}
