//! The plain text of a message.

use std::fmt::Write as _;

use base64ct::{Base64Unpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

use super::{
    Address, MAX_REQUEST, MAX_TIMEOUT, MAX_USER, MIN_TIME, Message, Protocol, Refused, Service,
};

/// The digest in base64.
pub(super) const DIGEST_TEXT: usize = 43;
/// How many digits are random.
pub(super) const RANDOM_DIGITS: usize = 16;
const MAX_VERSION: usize = 8;
/// The most digits of a 64-bit number.
const MAX_TIME: usize = 20;
const MAX_TIMEOUT_DIGITS: usize = 5;
/// What a NAT message has besides. It is refused, but it is to be refused by name.
const MAX_NAT: usize = 64;
/// The most fields of any message, without its digest.
const MAX_FIELDS: usize = 9;

/// The shortest plain text: a user of one character, a time of ten digits, one port with one digit.
pub(super) const MIN_PLAIN: usize = RANDOM_DIGITS
    + (1 + encoded(1))
    + (1 + 10)
    + (1 + "3.0.0".len())
    + (1 + 1)
    + (1 + encoded("::,tcp/1".len()))
    + (1 + DIGEST_TEXT);
/// The longest plain text.
pub(super) const MAX_PLAIN: usize = RANDOM_DIGITS
    + (1 + encoded(MAX_USER))
    + (1 + MAX_TIME)
    + (1 + MAX_VERSION)
    + (1 + 1)
    + (1 + encoded(MAX_REQUEST))
    + (1 + encoded(MAX_NAT))
    + (1 + MAX_TIMEOUT_DIGITS)
    + (1 + DIGEST_TEXT);

impl Message {
    /// Reads the plain text of a message, with its digest.
    ///
    /// # Errors
    /// It is malformed, or asks for what is not supported.
    pub(super) fn read_plain(plain: &[u8]) -> Result<Message, Refused> {
        let plain = std::str::from_utf8(plain).map_err(|_| Refused::Fields)?;
        let (fields, digest) = plain.rsplit_once(':').ok_or(Refused::Fields)?;
        let mut expected = [0; DIGEST_TEXT];
        if Base64Unpadded::encode(&Sha256::digest(fields), &mut expected) != Ok(digest) {
            return Err(Refused::Digest);
        }
        Message::read_fields(fields)
    }

    /// Reads the fields of a message, without its digest.
    ///
    /// # Errors
    /// They are malformed, or ask for what is not supported.
    pub fn read_fields(fields: &str) -> Result<Message, Refused> {
        let all: Vec<&str> = fields.split(':').take(MAX_FIELDS + 1).collect();
        let [random, user, time, version, kind, rest @ ..] = all.as_slice() else {
            return Err(Refused::Fields);
        };
        if !is_version_3(version) {
            return Err(Refused::Version);
        }
        let (request, timeout) = match (*kind, rest) {
            ("1", [request]) => (request, None),
            ("3", [request, timeout]) => (request, Some(timeout)),
            ("1" | "3", _) => return Err(Refused::Fields),
            (other, _) => return Err(unsupported(other)),
        };
        if random.len() != RANDOM_DIGITS || !is_number(random) {
            return Err(Refused::Fields);
        }
        let timeout = timeout.map(|it| number(it, MAX_TIMEOUT_DIGITS).ok_or(Refused::Timeout));
        let timeout = timeout.transpose()?.map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        let (address, services) = read_request(request)?;
        let message = Message {
            user: decoded(user, MAX_USER).ok_or(Refused::User)?,
            time: number(time, MAX_TIME).ok_or(Refused::Time)?,
            address,
            services,
            client_timeout: timeout,
        };
        message.check()?;
        Ok(message)
    }

    /// Writes the fields of a message, with its digest.
    ///
    /// # Errors
    /// A value is out of its bounds.
    pub(super) fn write_plain(&self, random: u64) -> Result<String, Refused> {
        self.check()?;
        let random = random % 10_u64.pow(16);
        let user = encode(self.user.as_bytes());
        let request = encode(self.request().as_bytes());
        let mut plain = format!("{random:016}:{user}:{}:3.0.0:", self.time);
        let _ = match self.client_timeout {
            None => write!(plain, "1:{request}"),
            Some(timeout) => write!(plain, "3:{request}:{timeout}"),
        };
        let digest = encode(&Sha256::digest(&plain));
        plain.push(':');
        plain.push_str(&digest);
        Ok(plain)
    }

    /// What holds for every message that is read or written.
    fn check(&self) -> Result<(), Refused> {
        let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if !(1..=MAX_USER).contains(&self.user.len()) || !self.user.bytes().all(is_printable) {
            return Err(Refused::User);
        }
        if self.time < MIN_TIME {
            return Err(Refused::Time);
        }
        if let Address::Given(address) = self.address
            && Address::of(address) != Ok(self.address)
        {
            return Err(Refused::Address);
        }
        if self.services.is_empty() || self.services.iter().any(|service| service.port == 0) {
            return Err(Refused::Service);
        }
        if self.request().len() > MAX_REQUEST {
            return Err(Refused::Request);
        }
        match self.client_timeout {
            None | Some(1..=MAX_TIMEOUT) => Ok(()),
            Some(_) => Err(Refused::Timeout),
        }
    }

    fn request(&self) -> String {
        let mut request = self.address.text();
        for service in &self.services {
            let _ = write!(request, ",{service}");
        }
        request
    }
}

fn read_request(encoded: &str) -> Result<(Address, Vec<Service>), Refused> {
    let request = decoded(encoded, MAX_REQUEST).ok_or(Refused::Request)?;
    let (address, services) = request.split_once(',').ok_or(Refused::Request)?;
    let address = Address::of(address.parse().map_err(|_| Refused::Address)?)?;
    let services: Option<Vec<Service>> = services.split(',').map(read_service).collect();
    Ok((address, services.ok_or(Refused::Service)?))
}

/// `udp/5060`
pub(super) fn read_service(text: &str) -> Option<Service> {
    let (protocol, port) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let port = u16::try_from(number(port, 5)?).ok()?;
    (port != 0).then_some(Service { protocol, port })
}

fn unsupported(kind: &str) -> Refused {
    match kind {
        "0" => Refused::Command,
        "2" => Refused::Nat,
        "4" => Refused::NatTimeout,
        "5" => Refused::LocalNat,
        "6" => Refused::LocalNatTimeout,
        _ => Refused::UnknownType(number(kind, 3).and_then(|it| u8::try_from(it).ok())),
    }
}

/// `3.0.0`, and what may come after it.
fn is_version_3(version: &str) -> bool {
    let mut parts = version.split('.');
    version.len() <= MAX_VERSION && parts.next() == Some("3") && parts.all(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of at most so many digits.
fn number(text: &str, longest: usize) -> Option<u64> {
    (is_number(text) && text.len() <= longest).then(|| text.parse().ok()).flatten()
}

/// A text of at most so many bytes, from base64.
fn decoded(text: &str, longest: usize) -> Option<String> {
    let mut bytes = vec![0; longest];
    let length = Base64Unpadded::decode(text, &mut bytes).ok()?.len();
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; encoded(bytes.len())];
    Base64Unpadded::encode(bytes, &mut text).unwrap_or_default().to_owned()
}

/// How many characters of base64 so many bytes have.
const fn encoded(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}
