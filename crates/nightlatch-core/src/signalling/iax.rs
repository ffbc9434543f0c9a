//! IAX2 packets by their first bytes (RFC 5456, section 8).

use super::{FirstBytes, Kind, LearnedBy};

/// The bit of the first byte that distinguishes a full frame from mini and meta frames, which carry
/// media.
pub const FULL_FRAME: u8 = 0x80;
/// Type and subclass of the frames that register or unregister the sender: REGREQ and REGREL.
pub const REGISTRATIONS: [u16; 2] = [0x060d, 0x0611];
/// REGREQ: this host registers.
pub const REGISTERS: u16 = 0x060d;
/// NEW: this host calls.
pub const CALLS: u16 = 0x0601;
/// POKE: this host asks whether the peer is alive.
pub const POKES: u16 = 0x061e;
/// What answers a POKE: PONG, ACK, INVAL.
pub const RESPONSES: [u16; 3] = [0x0603, 0x0604, 0x060a];

pub(super) fn kind(first: &FirstBytes) -> Kind {
    if first.as_slice().first().is_some_and(|byte| byte & FULL_FRAME == 0) {
        // Voice within a call.
        return Kind::Request;
    }
    match first.two_at(10) {
        Some(frame) if REGISTRATIONS.contains(&frame) => Kind::Other,
        Some(frame) if RESPONSES.contains(&frame) => Kind::Response,
        // Too short to register anybody.
        Some(_) | None => Kind::Request,
    }
}

pub(super) fn asks(first: &FirstBytes) -> Option<LearnedBy> {
    first.as_slice().first().filter(|byte| **byte & FULL_FRAME != 0)?;
    match first.two_at(10)? {
        REGISTERS => Some(LearnedBy::Registered),
        CALLS => Some(LearnedBy::Called),
        POKES => Some(LearnedBy::Asked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_type_and_subclass() {
        use LearnedBy::{Asked, Called, Registered};
        let full = |frame: u16| {
            let [high, low] = frame.to_be_bytes();
            vec![0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, high, low]
        };
        for (payload, is, asked) in [
            (full(0x0601), Kind::Request, Some(Called)),
            (full(0x060d), Kind::Other, Some(Registered)),
            (full(0x0611), Kind::Other, None),
            (full(0x061e), Kind::Request, Some(Asked)),
            (full(0x0603), Kind::Response, None),
            (full(0x0605), Kind::Request, None),
            (full(0x0204), Kind::Request, None),
            (vec![0x00, 1, 0, 0, 9, 9], Kind::Request, None),
            (vec![0x00], Kind::Request, None),
            (vec![0x80, 1, 0, 0], Kind::Request, None),
            (vec![], Kind::Request, None),
        ] {
            let first = FirstBytes::of(&payload);
            assert_eq!((kind(&first), asks(&first)), (is, asked), "{payload:?}");
        }
    }
}
