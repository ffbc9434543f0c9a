//! SIP packets by their first bytes (RFC 3261, sections 7.1 and 7.2).

use super::{FirstBytes, Kind, LearnedBy};

/// "SIP/": a response.
pub const RESPONSE: u32 = four(*b"SIP/");

/// The requests that a known peer may send, by their first four bytes. This is an allowlist, since
/// some parsers also accept REGISTER in lower case or after an empty line. REGISTER is missing on
/// purpose.
pub const REQUESTS: [u32; 13] = [
    four(*b"INVI"),
    four(*b"ACK "),
    four(*b"BYE "),
    four(*b"CANC"),
    four(*b"OPTI"),
    four(*b"INFO"),
    four(*b"PRAC"),
    four(*b"UPDA"),
    four(*b"NOTI"),
    four(*b"REFE"),
    four(*b"MESS"),
    four(*b"SUBS"),
    four(*b"PUBL"),
];

/// The request that makes a peer known as [`LearnedBy::Registered`].
pub const REGISTERS: u32 = four(*b"REGI");

/// The requests that make a peer known as [`LearnedBy::Called`]. ACK is among them: with record routing
/// it goes to another address than the INVITE, and the hang-up comes from there.
pub const CALLS: [u32; 5] =
    [four(*b"INVI"), four(*b"SUBS"), four(*b"ACK "), four(*b"PRAC"), four(*b"UPDA")];

/// STUN's responses, success and error (RFC 8489, section 5), which a SIP port may send and receive to
/// keep a NAT binding alive (RFC 5626, section 3.5.2).
pub const STUN_RESPONSES: [u16; 2] = [0x0101, 0x0111];
/// STUN's magic cookie, the bytes 4 to 7.
pub const STUN_COOKIE: u32 = 0x2112_a442;

const fn four(text: [u8; 4]) -> u32 {
    u32::from_be_bytes(text)
}

pub(super) fn kind(first: &FirstBytes) -> Kind {
    match first.four_at(0) {
        Some(RESPONSE) => Kind::Response,
        Some(method) if REQUESTS.contains(&method) => Kind::Request,
        _ if is_stun_response(first) => Kind::Response,
        _ => Kind::Other,
    }
}

fn is_stun_response(first: &FirstBytes) -> bool {
    first.two_at(0).is_some_and(|kind| STUN_RESPONSES.contains(&kind))
        && first.four_at(4) == Some(STUN_COOKIE)
}

pub(super) fn asks(first: &FirstBytes) -> Option<LearnedBy> {
    match first.four_at(0) {
        Some(RESPONSE) => None,
        Some(REGISTERS) => Some(LearnedBy::Registered),
        Some(method) if CALLS.contains(&method) => Some(LearnedBy::Called),
        _ if first.two_at(0).is_some_and(|kind| STUN_RESPONSES.contains(&kind)) => None,
        _ => Some(LearnedBy::Asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_first_bytes() {
        use LearnedBy::{Asked, Called, Registered};
        let check = |payload: &[u8], is: Kind, asked: Option<LearnedBy>| {
            let first = FirstBytes::of(payload);
            assert_eq!((kind(&first), asks(&first)), (is, asked), "{payload:?}");
        };
        check(b"SIP/2.0 200 OK\r\n", Kind::Response, None);
        check(b"REGISTER sip:a SIP/2.0\r\n", Kind::Other, Some(Registered));
        for refused in ["register sip:a SIP/2.0", "\r\nREGISTER sip:a", " REGISTER", "REG", "", "x"]
        {
            check(refused.as_bytes(), Kind::Other, Some(Asked));
        }
        for method in ["INVITE", "SUBSCRIBE", "ACK", "PRACK", "UPDATE"] {
            check(format!("{method} sip:a SIP/2.0\r\n").as_bytes(), Kind::Request, Some(Called));
        }
        for method in ["BYE", "CANCEL", "OPTIONS", "INFO", "NOTIFY", "REFER", "MESSAGE", "PUBLISH"]
        {
            check(format!("{method} sip:a SIP/2.0\r\n").as_bytes(), Kind::Request, Some(Asked));
        }
        let stun = |kind: u8| [&[1, kind, 0, 0], &STUN_COOKIE.to_be_bytes()[..], &[7; 12]].concat();
        check(&stun(0x01), Kind::Response, None);
        check(&stun(0x11), Kind::Response, None);
        check(&[1, 1, 0, 0, 1, 2, 3, 4, 5, 6], Kind::Other, None);
        check(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], Kind::Other, Some(Asked));
    }
}
