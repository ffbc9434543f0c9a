//! What one packet of single packet authorization costs, in nanoseconds of one core: the median and the
//! 90th percentile of 501 rounds. They are short, so that other programs interrupt few of them.
//!
//! `bench/spa.sh` builds and runs it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measuring program, which stops at any error"
)]

use std::hint::black_box;
use std::time::Instant;

use nightlatch_parse::spa::{
    self, Address, Keys, MAX_PAYLOAD, MIN_PAYLOAD, Message, Protocol, Service,
};

const ROUNDS: usize = 501;
const PACKETS: u32 = 500;

fn main() {
    let key: Vec<u8> = (0..128).collect();
    let keys = Keys::new(key.get(..32).unwrap(), key.get(64..).unwrap()).unwrap();
    let message = Message {
        user: "anna".to_owned(),
        time: 1_796_056_711,
        address: Address::Source,
        services: vec![Service { protocol: Protocol::Udp, port: 5060 }],
        client_timeout: None,
    };
    let genuine = message.write(&keys, 1).unwrap();
    let check = |payload: &[u8]| spa::authenticate(payload, &keys).is_ok();
    println!("{:<58} {:>8} {:>8}", "packet", "median", "p90");
    for (name, payload) in [
        ("garbage of an impossible length", garbage(200)),
        ("garbage that begins with a wrong byte", vec![b'A'; genuine.len()]),
        ("garbage that looks genuine, the shortest", garbage(MIN_PAYLOAD)),
        ("garbage that looks genuine, as long as most messages", garbage(genuine.len())),
        ("garbage that looks genuine, the longest", garbage(MAX_PAYLOAD)),
    ] {
        measure(name, || assert!(!black_box(check(black_box(&payload)))));
    }
    let genuine = genuine.as_bytes();
    measure("a genuine message: its HMAC", || assert!(black_box(check(black_box(genuine)))));
    measure("a genuine message: all of it", || {
        let read = spa::authenticate(black_box(genuine), &keys).unwrap().open();
        assert_eq!(read.as_ref(), Ok(&message));
    });
    measure("to write a message", || {
        black_box(message.write(&keys, black_box(1)).unwrap());
    });
}

/// Characters of base64, of so many bytes, that begin as a message does.
fn garbage(length: usize) -> Vec<u8> {
    let mut payload = vec![b'A'; length];
    *payload.first_mut().unwrap() = b'8';
    payload
}

fn measure(name: &str, each: impl Fn()) {
    let round = || {
        let start = Instant::now();
        for _ in 0..PACKETS {
            each();
        }
        start.elapsed().as_nanos() / u128::from(PACKETS)
    };
    let mut rounds: Vec<u128> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_unstable();
    let (median, most) = (rounds.get(ROUNDS / 2).unwrap(), rounds.get(ROUNDS * 9 / 10).unwrap());
    println!("{name:<58} {median:>8} {most:>8}");
}
