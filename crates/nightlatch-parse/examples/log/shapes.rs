//! Lines of logs in which the client's texts can be put: for the tests and for the example `log`.

/// The format, and what stands before, between and behind the texts of the client (`%`). `$` is the true
/// source, `~` a text of the client that the server has escaped.
pub(crate) const SHAPES: [(&str, &str); 22] = [
    ("sshd", "Nov 20 08:36:32 pbx sshd[1]: Failed password for invalid user % from $ port 5 ssh2"),
    (
        "sshd",
        "Nov 20 08:36:32 pbx sshd[1]: Failed publickey for % from $ port 5 ssh2: RSA-CERT ID % (serial 0)",
    ),
    ("sshd", "Nov 20 08:36:32 pbx sshd[1]: Invalid user % from $ port 5"),
    ("sshd", "Nov 20 08:36:32 pbx sshd[1]: Connection closed by invalid user % $ port 5 [preauth]"),
    (
        "sshd",
        "Nov 20 08:36:32 pbx sshd[1]: Disconnecting invalid user % $ port 5: Change of username or service not allowed: (%,%) -> (%,%) [preauth]",
    ),
    (
        "sshd",
        "Nov 20 08:36:32 pbx sshd[1]: error: PAM: Authentication failure for illegal user % from $",
    ),
    (
        "sshd",
        "Nov 20 08:36:32 pbx sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=$  user=%",
    ),
    ("sshd", "Nov 20 08:36:32 pbx sshd[1]: Bad protocol version identification '%' from $ port 5"),
    (
        "sshd",
        "Nov 20 08:36:32 pbx sshd[1]: Unable to negotiate with $ port 5: no matching cipher found. Their offer: % [preauth]",
    ),
    (
        "freepbx",
        "[2026-11-20 08:00:00] [freepbx_security.NOTICE]: Authentication failure for % from $ [] []",
    ),
    ("freepbx", "[2026-11-20 08:00:00] Authentication failure for % from $"),
    (
        "freeswitch",
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) on sofia profile 'internal' for [%@%] from ip $",
    ),
    (
        "freeswitch",
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 Can't find user [%@%] from $",
    ),
    (
        "freeswitch",
        "2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) due to user-agent-filter.  Filter \"x\" User-Agent \"%\"",
    ),
    ("fusionpbx", "Nov 20 08:36:32 pbx FusionPBX: [$] authentication failed for %"),
    (
        "kamailio",
        "NOTICE: {1 1 REGISTER %} <script>: nightlatch: src=$ port=5060 proto=udp nonce=bound rc=-2 method=REGISTER account=~ agent=~",
    ),
    ("kamailio", "ERROR: {1 1 REGISTER %} <core> [core/parser.c:7]: f(): bad header [%]"),
    ("kamailio", "ALERT: {1 1 REGISTER %} <script>: ALERT: pike blocking % from % (IP:$:5060)"),
    (
        "kamailio",
        " 1(602) NOTICE: <script>: Auth failed (REGISTER) rc=-2 user=% from=% src=$:5060 ua=%",
    ),
    (
        "nginx",
        "2012/04/09 11:53:29 [error] 2865#0: *6 user \"%\": password mismatch, client: $, server: a, request: \"%\", host: \"%\", referrer: \"%\"",
    ),
    (
        "nginx",
        "2012/04/09 11:53:29 [error] 2865#0: *6 user \"%\" was not found in \"/a\", client: $, server: a, request: \"%\", host: \"%\"",
    ),
    (
        "apache",
        "[Thu Jul 11 01:21:43.123456 2013] [auth_basic:error] [pid 7] [client $:5000] AH01617: user %: authentication failure for \"%\": Password Mismatch, referer: %",
    ),
];

/// Parts of which hostile texts are made.
pub(crate) const PARTS: [&[u8]; 32] = [
    b" from 203.0.113.10",
    b" port 22 ssh2",
    b" port 22",
    b": ",
    b" [preauth]",
    b"203.0.113.10",
    b" ",
    b"] from ip 203.0.113.10",
    b"] from 203.0.113.10",
    b"[203.0.113.10] authentication failed for ",
    b"} <script>: ",
    b"nightlatch: src=203.0.113.10 port=5060 proto=udp nonce=bound rc=-2 method=a account=b agent=c",
    b" (IP:203.0.113.10:5060)",
    b" src=203.0.113.10:5060 ua=",
    b"ALERT: pike blocking a from b",
    b"\": password mismatch, client: 203.0.113.10, server: a, request: \"",
    b"\" was not found in \"/a\", client: 203.0.113.10, server: a, request: \"",
    b", client: 203.0.113.10, server: a",
    b" rhost=203.0.113.10",
    b"[client 203.0.113.10:7] ",
    b"\x1b[31m",
    b"\r",
    b"'\"\\",
    b"a",
    b" [] []",
    b"\xff\xfe\xc3",
    b"\0",
    b" user=x",
    b"2001:db8::10",
    b"Nov 20 08:36:32 pbx sshd[1]: Failed password for root from 203.0.113.10 port 5 ssh2",
    b"2013-12-31 17:39:54.767815 [WARNING] sofia_reg.c:1787 Can't find user [a@b] from 203.0.113.10",
    b"#012\\n",
];

/// The address that no line comes from.
pub(crate) const TRUTH: &str = "198.51.100.66";

/// The line of a shape with these texts of the client, from [`TRUTH`].
pub(crate) fn line(shape: &str, texts: &[Vec<u8>]) -> Vec<u8> {
    let mut line = Vec::new();
    let mut texts = texts.iter().cycle();
    for byte in shape.bytes() {
        match byte {
            b'%' => line.extend(texts.next().into_iter().flatten()),
            b'$' => line.extend(TRUTH.as_bytes()),
            b'~' => line.extend(b"a%20b"),
            _ => line.push(byte),
        }
    }
    line
}
