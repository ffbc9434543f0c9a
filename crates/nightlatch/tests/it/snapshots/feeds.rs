//! `feed`, and what `why` and `status` say of feeds.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::ground::{installation, stage};
use super::lists::{LIST, open, write};
use super::transcript::Transcript;
use crate::fetch::server::Server;
use crate::support::wait_until;

#[test]
fn feeds() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    let mut to = Transcript::new("feeds", &nightlatch);
    to.about("none");
    to.both("feed list");
    to.both("feed refresh");
    to.all(&["feed refresh bad", "feed remove bad", "feed show bad", "feed show bad --json"]);
    to.about("a file");
    write(&nightlatch, "bad.txt", LIST);
    to.run("feed add bad DIR/bad.txt");
    to.both("feed list");
    to.both("feed show bad");
    to.all(&["feed add bad DIR/bad.txt", "feed add bad DIR/other.txt --no-wait"]);
    to.both("feed refresh bad");
    to.all(&["feed refresh", "feed refresh bad --force", "feed refresh --no-wait"]);
    to.all(&["feed refresh --no-wait --json", "feed refresh"]);
    to.both("why 192.0.2.170");
    to.both("why 192.0.2.161 --to udp/5060");
    to.both("status");
    to.about("another from the same place, with options");
    to.run("feed add twin file://DIR/bad.txt --every 2h --format plain");
    to.run("feed add twin-2 DIR/bad.txt --json");
    to.all(&["feed show twin", "why 192.0.2.170", "feed remove twin", "feed remove twin-2 --json"]);
    to.about("one that is not there any more");
    std::fs::remove_file(nightlatch.directory().join("bad.txt")).unwrap();
    to.both("feed refresh bad");
    to.both("feed list");
    to.all(&["feed show bad", "status", "why 192.0.2.161"]);
    write(&nightlatch, "bad.txt", "192.0.2.161\n");
    to.all(&["feed refresh bad", "feed list", "status"]);
    std::fs::remove_file(nightlatch.directory().join("bad.txt")).unwrap();
    to.all(&["feed refresh bad", "feed remove bad"]);
    to.about("one that was mistyped");
    to.all(&["feed add bad http://127.0.0.1:1/bad.txt", "feed show bad", "status"]);
    to.run("feed list");
    write(&nightlatch, "bad.txt", LIST);
    to.run("feed add bad DIR/bad.txt");
    to.about("in mode allowlist, and while the firewall is off");
    nightlatch.must(&["mode", "allowlist"]);
    to.all(&["feed add silent DIR/bad.txt", "why 192.0.2.161 --to udp/5060"]);
    nightlatch.must(&["down", "--yes"]);
    to.all(&["feed add off DIR/bad.txt", "status", "feed add later DIR/later.txt --no-wait"]);
    to.finish();
}

/// What lists hold, and what is said of it.
#[test]
fn contents() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    nightlatch.must(&["allow", "office", "203.0.113.0/28"]);
    let mut to = Transcript::new("feeds_contents", &nightlatch);
    let many = |count: u32| -> String {
        (0..count).map(|number| format!("2001:db8:77::{:x}\n", 2 * number)).collect()
    };
    let halves =
        |count: u32| -> String { (11..11 + count).map(|n| format!("{n}.0.0.0/9\n")).collect() };
    let whole: String =
        halves(12) + &(11..23).map(|n| format!("{n}.128.0.0/9\n")).collect::<String>();
    let sixteenths: String = (0x2000..0x2500).map(|n| format!("{n:x}::/16\n")).collect();
    for (name, content, options) in [
        ("merged", "192.0.2.0/25\n192.0.2.128/25\n192.0.2.7\n", ""),
        ("notes", "192.0.2.161 # x\nnot an address\n192.0.2.300\n192.0.2.9\n", ""),
        ("own", "198.51.100.1\n198.51.100.254\n198.51.100.53\n192.0.2.9\n", ""),
        ("guarded", "198.51.100.0/24\n203.0.113.0/24\n203.0.113.7\n127.0.0.1\n10.0.0.0/8\n", ""),
        ("wide", "192.0.0.0/7\n192.0.2.9\n", ""),
        ("wider", "192.0.0.0/7\n2001::/15\n192.0.2.9\n", ""),
        ("nothing", "10.0.0.1\n127.0.0.1\n", ""),
        ("own-only", "198.51.100.1\n", ""),
        ("empty", "", ""),
        ("remarks", "# nobody today\n", ""),
        ("page", "<!DOCTYPE html><html><body>192.0.2.1</body></html>\n", ""),
        ("xml", "<?xml version=\"1.0\"?><list/>\n", ""),
        ("prose", "there is no list here any more\n", ""),
        ("csv", "when,who\n2026-01-01,192.0.2.1\n", "--format csv:who"),
        ("csv-else", "when,who\n2026-01-01,192.0.2.1\n", "--format csv:whom"),
        ("json", "{\"a\":[{\"net\":\"192.0.2.4/30\"}]}", "--format json:a[].net"),
        ("json-else", "{\"a\":[{\"net\":\"192.0.2.4/30\"}]}", "--format json:b[].net"),
        ("json-cut", "{\"a\":[{\"net\":\"192.0.2.4/30\"", "--format json:a[].net"),
        ("eights", &whole, ""),
        ("much", &halves(200), ""),
        ("much-v6", &sixteenths, ""),
    ] {
        write(&nightlatch, name, content);
        to.run(&format!("feed add {name} DIR/{name} {options}"));
    }
    for (name, bytes) in [
        ("zip", &b"PK\x03\x04\x14\x00\x00\x00\x08\x00"[..]),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\n"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00damaged"),
        ("utf-16", b"\xff\xfe1\x009\x002\x00"),
        ("binary", b"\x00\x01\x02\x03\x04\x05\x06\x07"),
    ] {
        write(&nightlatch, name, bytes);
        to.run(&format!("feed add {name} DIR/{name}"));
    }
    to.both("feed list");
    to.about("more and less than before");
    write(&nightlatch, "size", many(150));
    to.run("feed add size DIR/size");
    write(&nightlatch, "size", many(20));
    to.all(&["feed refresh size", "feed refresh size --json"]);
    write(&nightlatch, "size", many(60_000));
    to.run("feed refresh size");
    write(&nightlatch, "size", many(40));
    to.all(&["feed refresh size", "feed show size", "feed refresh size --force", "feed show size"]);
    to.about("whoever comes by SSH is spared");
    write(&nightlatch, "spare", "192.0.2.0/26\n");
    to.from("192.0.2.20", "feed add spare DIR/spare");
    to.both("feed show spare");
    to.finish();
}

/// What web servers answer.
#[test]
fn fetches() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    let mut to = Transcript::new("feeds_fetches", &nightlatch);
    let web = stage.host("server").unwrap().run(|| {
        Server::start(|question, stream| {
            let head = match question.path.as_str() {
                "/404" => "404 Not Found\r\n",
                "/403" => "403 Forbidden\r\n",
                "/429" => "429 Too Many Requests\r\nRetry-After: 3600\r\n",
                "/500" => "500 Internal Server Error\r\n",
                "/418" => "418 Teapot\r\n",
                "/304" => "304 Not Modified\r\n",
                "/away" => "302 Found\r\nLocation: gopher://list.example.net/\r\n",
                "/round" => "302 Found\r\nLocation: /round\r\n",
                "/packed" => "200 OK\r\nContent-Encoding: br\r\n",
                "/noise" => return stream.write_all(b"hello\r\n\r\n"),
                "/cut" => {
                    return stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n192.0.2.1\n");
                }
                _ => "200 OK\r\nETag: \"1\"\r\n",
            };
            write!(stream, "HTTP/1.1 {head}Content-Length: {}\r\n\r\n{LIST}", LIST.len())
        })
    });
    let web = web.unwrap();
    to.call(&web.address.to_string(), "WEB");
    let url = |path: &str| web.url(path);
    to.run(&format!("feed add good {}", url("/good")));
    to.both("feed show good");
    to.run("feed refresh good");
    for path in
        ["404", "403", "429", "500", "418", "304", "away", "round", "packed", "noise", "cut"]
    {
        to.run(&format!("feed add f{path} {}", url(&format!("/{path}"))));
    }
    to.run("feed list");
    to.both("feed show f429");
    to.about("with a key");
    write(&nightlatch, "key", "k3y-5ecret\n");
    let key = nightlatch.directory().join("key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let line = format!(
        "feed add keyed {} --header \"Authorization: Bearer ${{key}}\" --key-file DIR/key",
        url("/${key}")
    );
    to.run(&line);
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    to.run(&line);
    to.both("feed show keyed");
    write(&nightlatch, "key", "");
    to.run("feed refresh keyed");
    write(&nightlatch, "key", "two\nlines\n");
    to.run("feed refresh keyed");
    std::fs::remove_file(&key).unwrap();
    to.all(&["feed refresh keyed", "feed refresh", "status"]);
    to.finish();
}

/// What is known of a list of the catalogue, without a network.
#[test]
fn of_the_catalogue() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("feeds_of_the_catalogue", &nightlatch);
    to.all(&["feed add spamhaus-drop --no-wait", "feed add voipbl --every 2d --no-wait --json"]);
    to.run("feed add dshield --format auto");
    wait_until("it was looked for", Duration::from_secs(20), || {
        nightlatch.json(&["feed", "show", "spamhaus-drop"])["fetching"] == false
    });
    to.all(&["feed show spamhaus-drop", "feed remove spamhaus-drop", "feed remove voipbl"]);
    to.finish();
}
