//! What a server does that is broken, tired or hostile, and what it may cost.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn answers_that_are_no_list() {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
    for (answer, message) in [
        (status("404 Not Found"), "answered 404 (not found); check the address"),
        (status("403 Forbidden"), "check the key"),
        (status("500 Oops"), "answered 500 (server error)"),
        (status("204 No Content"), "answered 204, which is not a list"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "invalid HTTP response"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(100_000)), "invalid HTTP response"),
        (status("200 OK"), "the list is empty"),
    ] {
        let server = Server::sending(answer.clone());
        let error = read_error(&server.url("/")).to_string();
        assert!(error.contains(message), "{answer:.60}: {error}");
        assert!(error.contains(&server.url("/")), "{error}");
    }
    let utf_16: Vec<u8> = LIST.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (headers, body, message) in [
        ("", b"<html><body>Please log in</body></html>".to_vec(), "a web page"),
        ("Content-Type: text/plain; charset=utf-16\r\n", utf_16, "UTF-16 text"),
        ("", b"\x7fELF\x01\x02\0\0\0\0".to_vec(), "binary data"),
        ("", b"Rate limit exceeded".to_vec(), "(first: \"Rate limit exceeded\")"),
        ("Content-Encoding: br\r\n", b"x".to_vec(), "content encoding \"br\""),
        ("Content-Encoding: gzip\r\n", LIST.as_bytes().to_vec(), "gzip data is damaged"),
        ("", packed(&packed(&packed(b"192.0.2.1\n"))), "a gzip file"),
    ] {
        let server = Server::with_body(headers, body);
        let error = read_error(&server.url("/")).to_string();
        assert!(error.contains(message), "{headers} {message}: {error}");
    }
    let mut damaged = packed(LIST.as_bytes());
    damaged[20] ^= 0x55;
    let error = read_error(&Server::with_body("", damaged).url("/"));
    assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
}

#[test]
fn a_busy_server_says_when() {
    let server = Server::sending("HTTP/1.1 429 Too Many\r\nRetry-After: 77\r\n\r\n");
    let error = read_error(&server.url("/"));
    assert_eq!(error.retry_after(), Some(77));
    assert!(!error.is_lasting());
}

#[test]
fn what_is_cut_off_is_an_error() {
    let whole = packed("192.0.2.1\n".repeat(50).as_bytes());
    let half = &whole[..whole.len() / 2];
    let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
    for answer in [
        [head("Content-Length: 1000\r\n"), LIST.into()].concat(),
        [head("Transfer-Encoding: chunked\r\n"), b"5\r\n192.0".to_vec()].concat(),
        [head("Transfer-Encoding: chunked\r\n"), b"5\r\n192.0\r\n".to_vec()].concat(),
        [head("Content-Encoding: gzip\r\n"), half.to_vec()].concat(),
        [head(""), half.to_vec()].concat(),
    ] {
        let server = Server::sending(answer.clone());
        let error = read_error(&server.url("/"));
        let answer = String::from_utf8_lossy(&answer);
        assert!(matches!(error, FetchError::CutOff { .. }), "{answer}: {error}");
    }
    let hung_up = Server::sending("HTTP/1.1 200 OK\r\nConte");
    assert!(!matches!(read_error(&hung_up.url("/")), FetchError::Content { .. }));
}

#[test]
fn slow_servers_end_by_the_clock() {
    let limits = Limits {
        stalled: Duration::from_millis(800),
        whole: Duration::from_millis(1500),
        ..limits()
    };
    let check = |server: &Server, phase: Phase| {
        let began = now();
        let result = read(&source(&server.url("/")), &Version::default(), &limits);
        let error = result.unwrap_err();
        assert!(
            matches!(error, FetchError::TooSlow { phase: found, .. } if found == phase),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(4), "{error}");
    };
    let wait = |time| std::thread::sleep(Duration::from_millis(time));
    check(
        &Server::start(move |_, _| {
            wait(3000);
            Ok(())
        }),
        Phase::Stalled,
    );
    check(
        &Server::start(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n192.0.2.1\n")?;
            wait(3000);
            Ok(())
        }),
        Phase::Stalled,
    );
    // A byte now and then never stalls, but is never whole either: in the body, in the head.
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX: "] {
        check(
            &Server::start(move |_, stream| {
                stream.write_all(head.as_bytes())?;
                loop {
                    stream.write_all(b"1")?;
                    wait(50);
                }
            }),
            Phase::Whole,
        );
    }
    // Redirects do not give new time.
    check(
        &Server::start(move |_, stream| {
            wait(300);
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n")?;
            wait(300);
            stream.write_all(b"\r\n")
        }),
        Phase::Whole,
    );
}

#[test]
fn nobody_there() {
    // Bound, but not listening.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let error = read_error(&format!("http://127.0.0.1:{port}/")).to_string();
    assert!(error.contains("cannot connect to"), "{error}");
    let error = read_error("http://name.invalid/");
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    // A queue of one that is full answers no one.
    socket.listen(0).unwrap();
    let full: Vec<_> = (0..4)
        .map(|_| {
            let client =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&socket.local_addr().unwrap());
            client
        })
        .collect();
    let limits = Limits { connect: Duration::from_millis(500), ..limits() };
    let address = format!("http://127.0.0.1:{port}/");
    let error = read(&source(&address), &Version::default(), &limits).unwrap_err();
    let is_right = matches!(error, FetchError::TooSlow { phase: Phase::Connect, .. });
    assert!(is_right, "{error}");
    drop(full);
}

#[test]
fn redirects_are_followed_with_care() {
    let server = Server::start(|question, stream| {
        let to = match question.path.as_str() {
            "/list" => {
                let length = LIST.len();
                return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{LIST}");
            }
            "/moved" => "list",
            "/twice" => "/moved?x",
            "/moved?x" => "./list",
            "/./list" => "/list",
            "/circle" => "/circle",
            "/file" => "file:///etc/passwd",
            "/gopher" => "gopher://127.0.0.1:25/x",
            "/credentials" => "http://me:pw@127.0.0.1/",
            _ => "",
        };
        write!(stream, "HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    });
    assert_eq!(shown(&read_new(&server.url("/moved"))), EXPECTED);
    assert_eq!(shown(&read_new(&server.url("/twice"))), EXPECTED);
    let before = server.questions().len();
    let error = read_error(&server.url("/circle"));
    assert!(matches!(error, FetchError::Redirects { most: 3, .. }), "{error}");
    assert_eq!(server.questions().len() - before, 4);
    for path in ["/file", "/gopher", "/credentials"] {
        let error = read_error(&server.url(path));
        assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
    }
}

/// What a hostile stream of this kind costs a process that fetches it: the result, and kB of
/// memory at the peak.
fn cost(server: &Server, limits: &Limits) -> (String, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fetch::hostile::child", "--ignored", "--nocapture"])
        .env("NIGHTLATCH_TEST_URL", server.url("/"))
        .env("NIGHTLATCH_TEST_WIRE", limits.wire_bytes.to_string())
        .env("NIGHTLATCH_TEST_BYTES", limits.bytes.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |mark: &str| {
        let found = text.lines().find_map(|line| line.split_once(mark));
        found.map_or_else(|| panic!("{text}"), |(_, rest)| rest.trim().to_owned())
    };
    let memory = line("VmHWM:").trim_end_matches(" kB").trim().parse().unwrap();
    (line("RESULT "), memory)
}

#[test]
#[ignore = "a part of ten_gigabytes_cost_no_memory"]
fn child() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let Ok(url) = std::env::var("NIGHTLATCH_TEST_URL") else {
        return;
    };
    let limits = Limits {
        wire_bytes: number("NIGHTLATCH_TEST_WIRE").unwrap(),
        bytes: number("NIGHTLATCH_TEST_BYTES").unwrap(),
        whole: Duration::from_secs(120),
        ..limits()
    };
    let result = match read(&source(&url), &Version::default(), &limits) {
        Ok(fetched) => format!("{fetched:?}"),
        Err(error) => error.to_string(),
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!("RESULT {result:.300}\n{peak}");
}

/// No fetch may need more than this, whatever is sent: about what the test's process needs anyway.
const MAX_MEMORY: u64 = 40 * 1024;

fn check_cost(what: &str, server: &Server, limits: &Limits, message: &str) {
    let (result, memory) = cost(server, limits);
    println!("{what}: {memory} kB, {result}");
    assert!(result.contains(message), "{what}: {result}");
    assert!(memory < MAX_MEMORY, "{what}: {memory} kB");
}

/// A server that sends ten gigabytes: `head` once, then `block` again and again.
fn endless(head: &'static str, block: &'static str) -> Server {
    Server::start(move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n{head}")?;
        let many = block.repeat(64 * 1024 / block.len());
        for _ in 0..10 << 14 {
            stream.write_all(many.as_bytes())?;
        }
        Ok(())
    })
}

#[test]
fn ten_gigabytes_cost_no_memory() {
    let limits = Limits { wire_bytes: 48 << 20, bytes: 48 << 20, ..limits() };
    let too_large = "sends more than 50331648 bytes";
    check_cost("comments", &endless("", "# nothing\n"), &limits, too_large);
    check_cost("one line", &endless("192.0.2.1 # ", "x"), &limits, too_large);
    check_cost("one text", &endless("{\"ip\":\"", "x"), &limits, too_large);
    check_cost("entries", &endless("", "192.0.2.1\n"), &limits, "more than 1000 entries");
    check_cost("words", &endless("", "lorem ipsum\n"), &limits, "none of the");
    check_cost("quotes", &endless("192.0.2.1,\"", "\n"), &limits, "unterminated quoted text");
    check_cost("depth", &endless("", "[\"x\",["), &limits, "nested too deep");
    check_cost("zeros", &endless("", "\0"), &limits, "binary data");
}

#[test]
fn a_gzip_bomb_costs_no_memory() {
    // A packed text of 4 MiB, repeated: 10 GiB in some megabytes, packed again in some kilobytes.
    let member = packed("# nothing to see here\n".repeat((4 << 20) / 22).as_bytes());
    let bomb = member.repeat(2560);
    let nested = packed(&bomb);
    assert!(nested.len() < 1 << 20, "{}", nested.len());
    let limits = Limits { wire_bytes: 64 << 20, bytes: 48 << 20, ..limits() };
    let message = "more than 50331648 bytes after unpacking";
    let once = Server::with_body("", &bomb);
    check_cost("bomb", &once, &limits, message);
    let twice = Server::with_body("Content-Encoding: gzip\r\n", &nested);
    check_cost("nested bomb", &twice, &limits, message);
    // A file name in the head of a packed file that never ends.
    let name = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03")?;
        loop {
            stream.write_all("n".repeat(1 << 16).as_bytes())?;
        }
    });
    check_cost("gzip name", &name, &limits, "damaged");
}

#[expect(clippy::disallowed_methods, reason = "a test measures that it ends in time")]
fn now() -> Instant {
    Instant::now()
}
