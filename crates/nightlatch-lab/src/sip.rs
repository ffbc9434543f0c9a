//! The few SIP messages of the demo (RFC 3261): two requests, and the stand-in's answers.

use std::net::{IpAddr, SocketAddr};

/// A request of `method` from `source` to `target`, as a telephone or a scanner sends it.
pub(crate) fn request(method: &str, source: SocketAddr, target: SocketAddr) -> String {
    let server = bracketed(target.ip());
    let user = if method == "REGISTER" { "sip:100@" } else { "sip:" };
    let port = source.port();
    format!(
        "{method} sip:{server} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {source};branch=z9hG4bK-nightlatch-{port};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <{user}{server}>;tag=demo{port}\r\n\
         To: <{user}{server}>\r\n\
         Call-ID: {method}-{port}@nightlatch.invalid\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:100@{source}>\r\n\
         User-Agent: nightlatch-demo\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// What the stand-in answers to a request; `None` where it is none.
pub(crate) fn response(request: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(request).ok()?;
    let (first, headers) = text.split_once("\r\n")?;
    let method = first.strip_suffix(" SIP/2.0")?.split(' ').next()?;
    let mut response = match method {
        "OPTIONS" => "SIP/2.0 200 OK\r\nAllow: INVITE, ACK, BYE, OPTIONS, REGISTER\r\n".to_owned(),
        "REGISTER" | "INVITE" => "SIP/2.0 401 Unauthorized\r\n\
             WWW-Authenticate: Digest realm=\"demo\", nonce=\"stand-in\", algorithm=MD5\r\n"
            .to_owned(),
        _ => "SIP/2.0 405 Method Not Allowed\r\n".to_owned(),
    };
    for header in headers.split("\r\n").take_while(|line| !line.is_empty()) {
        let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let tag = if name == "to" { ";tag=stand-in" } else { "" };
        if ["via", "from", "to", "call-id", "cseq"].contains(&name.as_str()) {
            response.extend([header, tag, "\r\n"]);
        }
    }
    response.push_str("Server: nightlatch demo stand-in\r\nContent-Length: 0\r\n\r\n");
    Some(response)
}

/// The first line of a message, as far as it is text.
pub(crate) fn first_line(message: &[u8]) -> String {
    let line = message.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(..80).unwrap_or(line)).into_owned();
    if line.chars().any(char::is_control) || line.is_empty() {
        format!("{} bytes", message.len())
    } else {
        line
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
