//! The fetcher against a real HTTP server, and one that does what no good server does.

mod hostile;
mod safe;
pub(crate) mod server;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use nightlatch::shell::fetch::{
    CountrySink, FetchError, Fetched, Limits, New, Phase, Source, Version, fetch,
};
use nightlatch_parse::country::Layout;
use nightlatch_parse::feed::{Format, Parsed, Reader};
use server::Server;

const LIST: &str = "# a list\n192.0.2.1\n198.51.100.0/24\n2001:db8::/48\n";

fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        stalled: Duration::from_secs(5),
        whole: Duration::from_secs(20),
        wire_bytes: 1 << 20,
        bytes: 4 << 20,
        redirects: 3,
    }
}

fn source(address: &str) -> Source {
    Source { address: address.to_owned(), ..Source::default() }
}

fn read(source: &Source, known: &Version, limits: &Limits) -> Result<Fetched<Parsed>, FetchError> {
    fetch(source, known, limits, Reader::new(Format::Auto, 1000))
}

fn read_new(address: &str) -> New<Parsed> {
    match read(&source(address), &Version::default(), &limits()).unwrap() {
        Fetched::New(new) => new,
        Fetched::NotModified => panic!("nothing new"),
    }
}

/// The error of a fetch; where there is none, what was read.
fn read_error(address: &str) -> FetchError {
    read(&source(address), &Version::default(), &limits()).unwrap_err()
}

fn shown(new: &New<Parsed>) -> String {
    let ranges: Vec<String> = new.content.ranges.iter().map(|range| range.to_string()).collect();
    ranges.join(" ")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const EXPECTED: &str = "192.0.2.1 198.51.100.0/24 2001:db8::/48";

#[test]
fn a_list_in_every_wrapping() {
    for (headers, body) in [
        ("", LIST.as_bytes().to_vec()),
        ("Content-Type: image/png\r\n", LIST.as_bytes().to_vec()),
        ("Content-Type: text/html; charset=utf-16\r\n", LIST.as_bytes().to_vec()),
        ("Content-Encoding: identity\r\n", LIST.as_bytes().to_vec()),
        ("Content-Encoding: gzip\r\n", packed(LIST.as_bytes())),
        // A packed file, as it is and packed again for the way.
        ("Content-Type: application/gzip\r\n", packed(LIST.as_bytes())),
        ("Content-Encoding: gzip\r\n", packed(&packed(LIST.as_bytes()))),
    ] {
        let server = Server::with_body(headers, body);
        let new = read_new(&server.url("/list"));
        assert_eq!(shown(&new), EXPECTED, "{headers}");
        assert_eq!(new.bytes, LIST.len() as u64);
        let question = server.questions().remove(0);
        assert_eq!(question.path, "/list");
        assert_eq!(question.header("accept-encoding"), Some("gzip"));
    }
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        13,
        &LIST[..13],
        LIST.len() - 13,
        &LIST[13..]
    );
    assert_eq!(shown(&read_new(&Server::sending(chunked).url("/"))), EXPECTED);
    // As in the days of HTTP 1.0: the end is where the server hangs up.
    let old = format!("HTTP/1.0 200 OK\r\n\r\n{LIST}");
    assert_eq!(shown(&read_new(&Server::sending(old).url("/"))), EXPECTED);
    let latin_1 = Server::with_body("", b"# caf\xe9\n192.0.2.1 # r\xe9seau\n");
    assert_eq!(shown(&read_new(&latin_1.url("/"))), "192.0.2.1");
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let server = Server::start(|question, stream| {
        let same = question.header("if-none-match") == Some("\"v1\"")
            || question.header("if-modified-since") == Some("Sun, 06 Nov 1994 08:49:37 GMT");
        if same {
            return stream.write_all(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
        }
        let version = match question.path.as_str() {
            "/etag" => "ETag: \"v1\"",
            _ => "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
        };
        let length = LIST.len();
        write!(stream, "HTTP/1.1 200 OK\r\n{version}\r\nContent-Length: {length}\r\n\r\n{LIST}")
    });
    for (path, modified) in [("/etag", None), ("/time", Some(784_111_777))] {
        let new = read_new(&server.url(path));
        assert_eq!(new.modified, modified);
        assert_ne!(new.version, Version::default());
        let again = read(&source(&server.url(path)), &new.version, &limits());
        assert_eq!(again.unwrap(), Fetched::NotModified);
    }
    // "Not modified" to a client that has nothing is an error, not an empty list.
    let odd = Server::sending("HTTP/1.1 304 Not Modified\r\n\r\n");
    let error = read_error(&odd.url("/"));
    assert!(matches!(error, FetchError::Status { status: 304, .. }), "{error}");
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list.gz");
    std::fs::write(&path, packed(LIST.as_bytes())).unwrap();
    let address = format!("file://{}", path.display());
    let new = read_new(&address);
    assert_eq!(shown(&new), EXPECTED);
    assert!(new.modified.is_some());
    let known = source(path.to_str().unwrap());
    let again = read(&known, &new.version, &limits()).unwrap();
    assert_eq!(again, Fetched::NotModified);
    std::fs::write(&path, "192.0.2.7\n").unwrap();
    let Fetched::New(changed) = read(&known, &new.version, &limits()).unwrap() else {
        panic!("the change was not seen");
    };
    assert_eq!(shown(&changed), "192.0.2.7");
    for (address, message) in [
        (directory.path().to_str().unwrap(), "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("/nonexistent/list", "No such file"),
    ] {
        let error = read_error(address).to_string();
        assert!(error.contains(message), "{error}");
    }
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(matches!(read_error(pipe.to_str().unwrap()), FetchError::File { .. }));
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert!(matches!(
        read_error(path.to_str().unwrap()),
        FetchError::TooLarge { unpacked: false, .. }
    ));
}

#[test]
fn country_tables() {
    let registry = "2|ripencc|1\nripencc|DE|ipv4|192.0.2.0|256|20100101|allocated\n";
    let server = Server::with_body("", registry);
    let sink = CountrySink::new(Layout::Auto, 100);
    let fetched = fetch(&source(&server.url("/")), &Version::default(), &limits(), sink).unwrap();
    let Fetched::New(new) = fetched else {
        panic!("nothing new");
    };
    let table = new.content.build();
    let code = table.of("192.0.2.9".parse().unwrap()).map(|code| code.to_string());
    assert_eq!(code.as_deref(), Some("DE"));
    let server = Server::with_body("", [&[0_u8; 300][..], b"\xab\xcd\xefMaxMind.com"].concat());
    let sink = CountrySink::new(Layout::Auto, 100);
    let error = fetch(&source(&server.url("/")), &Version::default(), &limits(), sink);
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("cannot use the .mmdb database"), "{error}");
}

#[test]
fn a_key_goes_where_it_should_and_shows_nowhere() {
    const KEY: &str = "k3y-5ecret/x";
    let elsewhere = Server::start(|_, stream| {
        write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    });
    let target = elsewhere.url("/other");
    let server =
        Server::start(move |question, stream| match question.path.split('/').next_back() {
            Some("list") => {
                let body = format!("192.0.2.1\nyour key is {KEY}\n");
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            Some("bad") => {
                let body = format!("the key of this account is wrong: it should not be {KEY}\n");
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            Some("away") => write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            ),
            _ => write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: file:///{KEY}\r\nContent-Length: 0\r\n\r\n"
            ),
        });
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, format!("{KEY}\n")).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ask = |path: &str| {
        let source = Source {
            address: server.url(path),
            headers: vec![("X-Api-Key".to_owned(), "token ${key}".to_owned())],
            key_file: Some(key_file.clone()),
            authority: None,
        };
        let result = read(&source, &Version::default(), &limits());
        let debug = format!("{source:?} {result:?}");
        assert!(!debug.contains("k3y-") && !debug.contains("5ecret"), "{debug}");
        result
    };
    let Ok(Fetched::New(new)) = ask("/${key}/list") else {
        panic!("no list");
    };
    assert_eq!(shown(&new), "192.0.2.1");
    assert_eq!(new.content.tally.samples[0].text, "your key is ${key}");
    let question = server.questions().remove(0);
    assert_eq!(question.path, "/k3y-5ecret%2Fx/list");
    assert_eq!(question.header("x-api-key"), Some("token k3y-5ecret/x"));
    for path in ["/${key}/bad", "/${key}/away", "/${key}/file"] {
        let error = ask(path).unwrap_err().to_string();
        assert!(error.contains("${key}"), "{error}");
        assert!(!error.contains("k3y-") && !error.contains("5ecret"), "{error}");
    }
    // The other server got neither the header nor the address with the key.
    let question = elsewhere.questions().remove(0);
    assert_eq!(question.path, "/other");
    assert_eq!(question.header("x-api-key"), None);
    assert!(!format!("{question:?}").contains("k3y"));
}

#[test]
fn bad_sources_are_said() {
    let header = |name: &str, value: &str| Source {
        address: "http://127.0.0.1:9/".to_owned(),
        headers: vec![(name.to_owned(), value.to_owned())],
        ..Source::default()
    };
    for (source, message) in [
        (source("lists.example/drop"), "must start with https://"),
        (source("http://127.0.0.1:9/${key}"), "no key file was given"),
        (header("X-Key", "${key}"), "no key file was given"),
        (header("X Key", "a"), "not valid in a header"),
        (header("X-Key", "a\r\nY: b"), "not valid in a header"),
    ] {
        let error = read(&source, &Version::default(), &limits()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.is_lasting());
    }
}
