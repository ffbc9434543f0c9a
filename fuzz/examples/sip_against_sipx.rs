//! Compares this project's reader of SIP with the crate sipx-sip, on the messages of the corpus and on
//! mutations of them:
//!
//! `cargo run --release --manifest-path fuzz/Cargo.toml --example sip_against_sipx -- 300000`
//!
//! Where both accept a message, method, Call-ID, CSeq, the tag of From and User-Agent must be the same.
//! It ends with an error at the first difference that [`explained`] does not know.
//!
//! The other crate reads no truncated message and none with LF only; it refuses a whole message where
//! this reader lists a fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use nightlatch_parse::sip::{self, Fault, Name};
use sipx_sip::headers::From;
use sipx_sip::{CSeq, CallId, HeaderName, Limits, Message, Version, parse_datagram};

/// What both say of a message.
type Said = BTreeMap<&'static str, Vec<u8>>;

fn ours(message: &sip::Message<'_>) -> Said {
    let cseq = message.cseq.map(|it| [it.number.to_string().as_bytes(), b" ", it.method].concat());
    let tag = message.from.and_then(|from| from.tag());
    let agent = message.header(Name::UserAgent).map(|header| header.unfolded().into_owned());
    let values = [
        ("method", message.method().map(<[u8]>::to_vec)),
        ("Call-ID", message.call_id.map(|it| sip::unfolded(it).into_owned())),
        ("CSeq", cseq),
        ("From tag", tag.map(<[u8]>::to_vec)),
        ("User-Agent", agent),
    ];
    values.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}

fn theirs(message: &Message) -> Said {
    let headers = message.headers();
    let cseq = headers.typed::<CSeq>().and_then(Result::ok);
    let from = headers.typed::<From>().and_then(Result::ok);
    let values = [
        ("method", message.as_request().map(|it| it.method.as_bytes().to_vec())),
        ("Call-ID", headers.typed::<CallId>().and_then(Result::ok).map(|it| it.0)),
        (
            "CSeq",
            cseq.map(|it| {
                [it.sequence.to_string().as_bytes(), b" ", it.method.as_bytes()].concat()
            }),
        ),
        ("From tag", from.and_then(|from| from.0.tag().map(<[u8]>::to_vec))),
        ("User-Agent", headers.value(&HeaderName::UserAgent).map(Cow::into_owned)),
    ];
    values.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}

/// Why a value differs, if that is as it should be.
fn explained(
    what: &str,
    ours: Option<&Vec<u8>>,
    theirs: Option<&Vec<u8>>,
    message: &sip::Message<'_>,
) -> Option<&'static str> {
    let name = match what {
        "Call-ID" => Name::CallId,
        "CSeq" => Name::CSeq,
        "From tag" => Name::From,
        "User-Agent" => Name::UserAgent,
        _ => return None,
    };
    // The other crate gives no part of a header that is wrong anywhere.
    if theirs.is_none() && message.faults().contains(&Fault::Malformed(name)) {
        return Some("the other refuses the header, this reader lists a fault");
    }
    // RFC 3261 makes one space of white space with line ends in it (LWS, section 25.1). The other crate
    // makes one of each line end, and keeps white space before it.
    let words = |value: Option<&Vec<u8>>| {
        let text = String::from_utf8_lossy(value?).into_owned();
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let is_folded = message.header(name)?.raw.contains(&b'\n');
    (is_folded && words(ours) == words(theirs)).then_some("white space around folds")
}

fn is_sip(version: &Version) -> bool {
    version.as_bytes().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

/// A generator of numbers (xorshift): the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit.max(1)
    }
}

const PIECES: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"@",
    b"=",
    b"?",
    b"/",
    b"[",
    b"]",
    b"*",
    b"\0",
    b"SIP/2.0",
    b"sip:",
    b"tag=",
    b"\r\n\r\n",
    b"\r\n ",
    b"From:",
    b"f:",
    b"\r\ni:",
    b"CSeq:",
    b"User-Agent:",
    b"1",
    b"99999999999",
    b"\r\n\t \r\n ",
    b"\xc3",
];

fn mutate(message: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..numbers.below(5) {
        let start = numbers.below(message.len() + 1);
        let end = message.len().min(start + numbers.below(8));
        let piece = PIECES[numbers.below(PIECES.len())];
        message.splice(start..end, piece.iter().copied());
    }
}

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/nightlatch-parse/src/sip/testdata");
    let mut genuine: Vec<Vec<u8>> = fs::read_dir(folder)
        .expect("the genuine messages")
        .map(|entry| fs::read(entry.expect("a file").path()).expect("a message"))
        .collect();
    genuine.sort();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut unexplained = 0;
    for round in 0..rounds + genuine.len() {
        let mut bytes = genuine[round % genuine.len()].clone();
        if round >= genuine.len() {
            mutate(&mut bytes, &mut numbers);
        }
        let other = parse_datagram(bytes.clone().into(), &Limits::datagram());
        let mut count = |what: &str| *counts.entry(what.to_owned()).or_default() += 1;
        let (mine, other) = match (sip::read(&bytes, false), other) {
            (Ok(mine), Ok(other)) => (mine, other),
            (Ok(mine), Err(_)) => {
                let is_sound = mine.faults().is_empty();
                count(if is_sound {
                    "ours only, without a fault"
                } else {
                    "ours only, with faults"
                });
                continue;
            }
            // The other crate takes any third word for the version of SIP.
            (Err(_), Ok(Message::Request(request))) if !is_sip(&request.version) => {
                count("theirs only, another version");
                continue;
            }
            (Err(_), Ok(_)) => {
                unexplained += 1;
                println!("theirs only: {:?}", String::from_utf8_lossy(&bytes));
                continue;
            }
            (Err(_), Err(_)) => {
                count("none");
                continue;
            }
        };
        count("both");
        if round < genuine.len() {
            assert_eq!(mine.faults(), [] as [Fault; 0], "a genuine message");
            count("both, genuine");
        }
        let (said, other) = (ours(&mine), theirs(&other));
        for what in ["method", "Call-ID", "CSeq", "From tag", "User-Agent"] {
            let (a, b) = (said.get(what), other.get(what));
            if a == b {
                continue;
            }
            if let Some(why) = explained(what, a, b, &mine) {
                count(&format!("{what} differs: {why}"));
                continue;
            }
            unexplained += 1;
            let show =
                |value: Option<&Vec<u8>>| value.map(|it| String::from_utf8_lossy(it).into_owned());
            println!(
                "{what}: ours {:?}, theirs {:?}\n{:?}\nfaults {:?}\n",
                show(a),
                show(b),
                String::from_utf8_lossy(&bytes),
                mine.faults()
            );
            if unexplained > 12 {
                return ExitCode::FAILURE;
            }
        }
    }
    for (what, count) in counts {
        println!("{count:>8} {what}");
    }
    if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
