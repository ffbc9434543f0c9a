//! The SIP request that asks whether anybody is there (RFC 3261, section 11).

use std::net::{IpAddr, SocketAddr};

/// An OPTIONS request from `own` to `server`, which differs from all others by `random`.
pub(super) fn request(own: SocketAddr, server: SocketAddr, random: u128) -> String {
    let [own_host, server_host] = [own.ip(), server.ip()].map(bracketed);
    let (own_port, server_port) = (own.port(), server.port());
    let (branch, tag, call) = (random & 0xffff_ffff, random >> 32 & 0xffff_ffff, random >> 64);
    format!(
        "OPTIONS sip:{server_host}:{server_port} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {own_host}:{own_port};branch=z9hG4bK{branch:08x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:ping@{own_host}>;tag={tag:08x}\r\n\
         To: <sip:{server_host}:{server_port}>\r\n\
         Call-ID: {call:016x}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:ping@{own_host}:{own_port}>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request() {
        let own = "[2001:db8::2]:40000".parse().unwrap();
        let server = "[2001:db8::1]:5060".parse().unwrap();
        let random = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
        assert_eq!(
            request(own, server, random),
            "OPTIONS sip:[2001:db8::1]:5060 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::2]:40000;branch=z9hG4bK0d0e0f10;rport\r\nMax-Forwards: 70\r\nFrom: <sip:ping@[2001:db8::2]>;tag=090a0b0c\r\nTo: <sip:[2001:db8::1]:5060>\r\nCall-ID: 0102030405060708\r\nCSeq: 1 OPTIONS\r\nContact: <sip:ping@[2001:db8::2]:40000>\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n"
        );
        let v4 = request("192.0.2.2:40000".parse().unwrap(), "192.0.2.1:5160".parse().unwrap(), 0);
        assert!(
            v4.starts_with(
                "OPTIONS sip:192.0.2.1:5160 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:40000;"
            ),
            "{v4}"
        );
    }
}
