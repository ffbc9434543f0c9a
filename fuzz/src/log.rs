//! Lines of logs.

use std::net::IpAddr;

use nightlatch_parse::log::{Format, MAX_LINE, Pattern, Reading, prefix, sshd, stamp};

/// What must hold of any reading of a line.
fn check(line: &[u8], reading: Option<&Reading<'_>>) {
    let inside = |part: &[u8]| {
        let (whole, part) = (line.as_ptr_range(), part.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    };
    match reading {
        None => {}
        Some(Reading::Attempt(read)) => {
            assert_eq!(read.source, read.source.to_canonical());
            for part in [read.account, read.session, read.agent, read.dialled] {
                assert!(part.is_none_or(|part| !part.is_empty() && inside(part)));
            }
        }
        Some(Reading::Doubtful(doubt)) => {
            assert!((1..=9).contains(&doubt.sources.len()));
            assert!(inside(doubt.text));
        }
    }
}

/// Reads bytes as one line, and as what a client wrote into a genuine line from 192.0.2.1, at `%`.
fn read(format: Format, data: &[u8], genuine: &str) {
    check(data, format.read(data).as_ref());
    let (before, behind) = genuine.split_once('%').expect("a place for the client's text");
    let line = [before.as_bytes(), data, behind.as_bytes()].concat();
    let reading = format.read(&line);
    check(&line, reading.as_ref());
    if let Some(Reading::Attempt(read)) = reading {
        assert_eq!(read.source, IpAddr::from([192, 0, 2, 1]));
    }
    if line.len() > MAX_LINE {
        assert_eq!(format.read(&line), None);
    }
}

pub fn apache(data: &[u8]) {
    let line = "[Thu Jul 11 01:21:43 2013] [error] [client 192.0.2.1] user % not found: /";
    read(Format::Apache, data, line);
}

pub fn freepbx(data: &[u8]) {
    let line = "[2026-11-20 08:00:00] Authentication failure for % from 192.0.2.1";
    read(Format::Freepbx, data, line);
}

pub fn freeswitch(data: &[u8]) {
    let line = "2013-12-31 17:39:54 [WARNING] sofia_reg.c:1787 Can't find user [%] from 192.0.2.1";
    read(Format::Freeswitch, data, line);
}

pub fn fusionpbx(data: &[u8]) {
    let line = "Nov 20 08:36:32 pbx FusionPBX: [192.0.2.1] authentication failed for %";
    read(Format::Fusionpbx, data, line);
}

pub fn kamailio(data: &[u8]) {
    let line = "NOTICE: {1 %} <script>: nightlatch: src=192.0.2.1 port=5060 proto=udp nonce=bound \
                rc=-2 method=REGISTER account=a agent=b";
    read(Format::Kamailio, data, line);
}

pub fn nginx(data: &[u8]) {
    let line = "2012/04/09 11:53:29 [error] 1#0: *6 user \"%\": password mismatch, \
                client: 192.0.2.1, server: a";
    read(Format::Nginx, data, line);
}

pub fn opensips(data: &[u8]) {
    let line = "Nov 20 08:36:32 [602] nightlatch: src=192.0.2.1 port=5060 proto=udp nonce=free \
                rc=-2 method=REGISTER account=% agent=b";
    read(Format::Opensips, data, line);
}

pub fn sshd(data: &[u8]) {
    let line = "Nov 20 08:36:32 pbx sshd[1]: Failed password for invalid user % from 192.0.2.1 port 5 ssh2";
    read(Format::Sshd, data, line);
    check(data, sshd::message(data, None, None).as_ref());
}

/// The first line is a pattern, the rest a line.
pub fn pattern(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, line) = data.split_at(end);
    let Ok(pattern) = String::from_utf8_lossy(text).parse::<Pattern>() else {
        return;
    };
    assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
    check(line, pattern.read(line).as_ref());
}

/// Lines of a file.
pub fn detect(data: &[u8]) {
    let lines = || data.split(|byte| *byte == b'\n');
    if let Some(format) = Format::detect(lines()) {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    for line in lines() {
        if let Some((_, rest)) = stamp::any(line) {
            assert!(line.ends_with(rest));
        }
        if let Some(prefix) = prefix::syslog(line) {
            assert!(line.ends_with(prefix.message));
        }
    }
}

/// Records of the journal are the same in whatever parts they come, and little is held of them.
pub fn journal(data: &[u8]) {
    let read = |parts: usize| {
        let mut reader = nightlatch_parse::journal::Reader::default();
        let mut records = Vec::new();
        for part in data.chunks(parts) {
            reader.feed(part, |record| records.push(record.clone()));
            assert!(reader.held() <= nightlatch_parse::log::MAX_LINE);
        }
        records
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(7), whole);
    assert!(whole.iter().all(|record| record.message.len() <= nightlatch_parse::log::MAX_LINE));
}
