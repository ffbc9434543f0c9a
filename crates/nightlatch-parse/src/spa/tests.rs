//! Messages of the real client, changed ones and written ones.

use hmac::Mac as _;
use proptest::prelude::*;

use super::fields::encode;
use super::read::{MAC_TEXT, PREFIX};
use super::write::seal;
use super::*;

const PACKETS: &str = include_str!("testdata/fwknop.txt");
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The real client's packet of this name.
fn packet(name: &str) -> &'static [u8] {
    let mut all = PACKETS.lines().filter_map(|line| line.split_once(' '));
    all.find(|(found, _)| *found == name).unwrap().1.as_bytes()
}

fn bytes(first: u8, last: u8) -> Vec<u8> {
    (first..=last).collect()
}

fn keys() -> Keys {
    Keys::new(&bytes(0, 31), &bytes(64, 127)).unwrap()
}

fn read(payload: &[u8], keys: &Keys) -> Result<String, String> {
    let authentic = authenticate(payload, keys).map_err(|error| format!("{error:?}"))?;
    let message = authentic.open().map_err(|error| format!("{error:?}"))?;
    let Message { user, time, address, services, client_timeout } = message;
    let services: Vec<String> = services.iter().map(Service::to_string).collect();
    let address = match address {
        Address::Source => "source".to_owned(),
        Address::Given(address) => address.to_string(),
    };
    let timeout = client_timeout.map(|it| format!(" for {it}")).unwrap_or_default();
    Ok(format!("{user} {time}: {address} {}{timeout}", services.join(" ")))
}

fn message() -> Message {
    Message {
        user: "anna".to_owned(),
        time: 1_796_056_711,
        address: Address::Source,
        services: vec![Service { protocol: Protocol::Udp, port: 5060 }],
        client_timeout: None,
    }
}

/// A payload with other fields, encrypted and authenticated as it must be.
fn sealed(fields: &str) -> String {
    use sha2::Digest as _;
    let digest = encode(&sha2::Sha256::digest(fields));
    seal(format!("{fields}:{digest}").as_bytes(), &keys(), *b"saltsalt")
}

/// `text`, which begins with what is not sent, with its right HMAC.
fn signed(text: &[u8]) -> Vec<u8> {
    let mac = keys().mac().chain_update(text).finalize().into_bytes();
    [&text[PREFIX.len()..], encode(&mac).as_bytes()].concat()
}

#[test]
fn messages_of_the_real_client() {
    for (name, expected) in [
        ("source", Ok("anna 1796056711: source udp/5060")),
        ("address", Ok("anna 1796056711: 198.51.100.6 udp/5060 tcp/5061 tcp/80 udp/10000")),
        ("timeout", Ok("anna 1796056711: 198.51.100.6 udp/5060 for 60")),
        ("timeout-0", Ok("anna 1796056711: source udp/5060")),
        // With a request that fwknop's server takes no more than we do.
        ("long", Err("Request")),
        ("command", Err("Command")),
        ("nat", Err("Nat")),
        ("nat-timeout", Err("NatTimeout")),
        ("nat-local", Err("LocalNat")),
        ("nat-local-timeout", Err("LocalNatTimeout")),
        ("hmac-sha512", Err("Mac")),
        ("hmac-md5", Err("Mac")),
        ("digest-sha512", Err("Digest")),
        ("digest-md5", Err("Digest")),
        ("cfb", Err("Decryption")),
        ("ofb", Err("Decryption")),
        ("hmac-key-128", Err("Mac")),
        ("passwords", Err("Mac")),
        ("no-hmac", Err("Implausible")),
        ("gpg", Err("Gpg")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read(packet(name), &keys()), expected, "{name}");
    }
}

#[test]
fn other_keys_of_the_real_client() {
    let long = Keys::new(&bytes(0, 31), &bytes(64, 191)).unwrap();
    assert!(read(packet("hmac-key-128"), &long).is_ok());
    let words = Keys::new(b"correct horse", b"battery staple").unwrap();
    assert!(read(packet("passwords"), &words).is_ok());
    // The right HMAC key and the wrong key.
    let half = Keys::new(&bytes(1, 32), &bytes(64, 127)).unwrap();
    assert!(authenticate(packet("source"), &half).is_ok());
    assert_eq!(read(packet("source"), &half), Err("Decryption".to_owned()));
}

#[test]
fn keys_have_bounds() {
    let text = |length: usize| encode(&vec![b'k'; length]);
    for (key, hmac, expected) in [
        (1, 1, None),
        (32, 128, None),
        (0, 64, Some(KeyError::Length)),
        (33, 64, Some(KeyError::Length)),
        (32, 0, Some(KeyError::Length)),
        (32, 129, Some(KeyError::Length)),
    ] {
        let made = Keys::new(&vec![b'k'; key], &vec![b'k'; hmac]);
        assert_eq!(made.err(), expected, "{key} {hmac}");
        let made = Keys::from_base64(&text(key), &text(hmac));
        assert_eq!(made.err(), expected, "{key} {hmac} in base64");
    }
    let right = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert!(Keys::from_base64(right, "a2V5").is_ok());
    assert!(Keys::from_base64(right.trim_end_matches('='), "a2V5").is_ok());
    for wrong in ["a2V5 ", "a-V5", "a2V5=", "a2V5====", "=", "a", "a2=5"] {
        assert!(Keys::from_base64(right, wrong).is_err(), "{wrong}");
    }
    assert_eq!(format!("{:?}", keys()), "Keys(..)");
}

#[test]
fn the_bounds_of_lengths() {
    assert_eq!((MIN_PAYLOAD, MAX_PAYLOAD), (183, 737));
    let plausible: Vec<usize> = (0..2000).filter(|length| plausible_len(*length)).collect();
    // Those of all whole numbers of blocks, from 6 to 32.
    let expected: Vec<usize> =
        (6..33).map(|blocks| encode(&vec![0; 16 + 16 * blocks]).len() + 43 - 10).collect();
    assert_eq!(plausible, expected);
    let name = "n".repeat(MAX_USER);
    let text = "r".repeat(MAX_REQUEST);
    let fields = format!(
        "0123456789012345:{}:{}:3.0.00.0:6:{}:{}:65536",
        encode(name.as_bytes()),
        u64::MAX,
        encode(text.as_bytes()),
        encode(&[0; 64])
    );
    assert_eq!(sealed(&fields).len(), MAX_PAYLOAD);
    assert_eq!(read(sealed(&fields).as_bytes(), &keys()), Err("LocalNatTimeout".to_owned()));
    let fields =
        format!("0123456789012345:{}:1796056711:3.0.0:1:{}", encode(b"a"), encode(b"::,tcp/1"));
    assert_eq!(sealed(&fields).len(), MIN_PAYLOAD);
    assert_eq!(
        read(sealed(&fields).as_bytes(), &keys()),
        Ok("a 1796056711: source tcp/1".to_owned())
    );
}

/// Every change of every byte, every loss, and every addition is noticed before anything is decrypted.
#[test]
fn a_changed_message_is_not_authentic() {
    let genuine = packet("timeout");
    for place in 0..genuine.len() {
        let mut changed = genuine.to_vec();
        for byte in (0..=u8::MAX).filter(|byte| *byte != genuine[place]) {
            changed[place] = byte;
            assert!(authenticate(&changed, &keys()).is_err(), "{place} {byte}");
        }
        assert!(authenticate(&genuine[..place], &keys()).is_err(), "{place}");
        assert!(authenticate(&genuine[place + 1..], &keys()).is_err(), "{place}");
        for byte in [b'A', b'=', b'\n', b' ', 0] {
            let longer = [&genuine[..place], &[byte], &genuine[place..]].concat();
            assert!(authenticate(&longer, &keys()).is_err(), "{place} {byte}");
        }
    }
    for end in ["=", "\n", "\r\n", "\0", " "] {
        let longer = [genuine, end.as_bytes()].concat();
        assert_eq!(authenticate(&longer, &keys()).unwrap_err(), NotAuthentic::Implausible);
    }
    let whole = [PREFIX.as_slice(), genuine].concat();
    assert!(authenticate(&whole, &keys()).is_err());
}

/// The 43 characters of an HMAC have two bits that mean nothing: three of four forms are refused.
#[test]
fn the_hmac_has_one_form() {
    let genuine = packet("source");
    let last = genuine.last().unwrap();
    let value = ALPHABET.iter().position(|byte| byte == last).unwrap();
    assert_eq!(value % 4, 0);
    for other in 1..4 {
        let mut changed = genuine.to_vec();
        *changed.last_mut().unwrap() = ALPHABET[value + other];
        assert_eq!(authenticate(&changed, &keys()).unwrap_err(), NotAuthentic::Encoding);
    }
    for other in *b"=-_ \n\0\xff" {
        for place in 1..=MAC_TEXT {
            let mut changed = genuine.to_vec();
            let place = changed.len() - place;
            changed[place] = other;
            assert_eq!(authenticate(&changed, &keys()).unwrap_err(), NotAuthentic::Encoding);
        }
    }
}

/// Also those who have the keys cannot make a second form of the same message.
#[test]
fn the_encrypted_text_has_one_form() {
    for (name, unused) in [("source", 2), ("nat", 4), ("timeout", 0)] {
        let genuine = packet(name);
        let text = [PREFIX.as_slice(), &genuine[..genuine.len() - MAC_TEXT]].concat();
        assert_eq!(signed(&text), genuine, "{name}");
        let last = ALPHABET.iter().position(|byte| byte == text.last().unwrap()).unwrap();
        assert_eq!(last % (1 << unused), 0, "{name}");
        let mut changed = text.clone();
        for other in 1..1 << unused {
            *changed.last_mut().unwrap() = ALPHABET[last + other];
            let read = authenticate(&signed(&changed), &keys()).map(|_| ());
            assert_eq!(read, Err(NotAuthentic::Encoding), "{name}");
        }
        for place in PREFIX.len() + 1..text.len() {
            for other in *b"=-_ \n\0\xff" {
                let mut changed = text.clone();
                changed[place] = other;
                let read = authenticate(&signed(&changed), &keys()).map(|_| ());
                assert_eq!(read, Err(NotAuthentic::Encoding), "{name} {place}");
            }
        }
    }
}

#[test]
fn the_replay_key_is_the_hmac() {
    let genuine = packet("source");
    let found = authenticate(genuine, &keys()).unwrap().replay_key();
    assert_eq!(encode(&found).as_bytes(), &genuine[genuine.len() - MAC_TEXT..]);
    let other = authenticate(packet("timeout"), &keys()).unwrap().replay_key();
    assert_ne!(found, other);
}

#[test]
fn fields_have_bounds() {
    let right = "0123456789012345:YW5uYQ:1796056711:3.0.0:1:@0.0.0.0,udp/5060@";
    // What is between @ is encoded, so that it can be read here.
    let fields = |text: &str| {
        let parts = text.split('@').enumerate();
        parts
            .map(|(at, part)| if at % 2 == 1 { encode(part.as_bytes()) } else { part.to_owned() })
            .collect::<String>()
    };
    let check = |from: &str, to: &str, expected: Result<&str, Refused>| {
        assert!(right.contains(from), "{from}");
        let sealed = sealed(&fields(&right.replacen(from, to, 1)));
        let read = authenticate(sealed.as_bytes(), &keys()).unwrap().open();
        let expected = expected.map(str::to_owned).map_err(|error| format!("{error:?}"));
        match read {
            Ok(_) => assert_eq!(super::tests::read(sealed.as_bytes(), &keys()), expected, "{to}"),
            Err(error) => assert_eq!(Err(format!("{error:?}")), expected, "{to}"),
        }
    };
    for (from, to) in
        [("", ""), ("3.0.0", "3.1"), ("3.0.0", "3"), ("0.0.0.0", "::"), ("0.0.0.0", "0::0")]
    {
        check(from, to, Ok("anna 1796056711: source udp/5060"));
    }
    check("0.0.0.0", "2001:db8::6", Ok("anna 1796056711: 2001:db8::6 udp/5060"));
    check(
        "1:@0.0.0.0",
        "1:@198.51.100.6,tcp/65535",
        Ok("anna 1796056711: 198.51.100.6 tcp/65535 udp/5060"),
    );
    check(
        "1:@0.0.0.0,udp/5060@",
        "3:@::,tcp/1@:65536",
        Ok("anna 1796056711: source tcp/1 for 65536"),
    );
    check("1796056711", "18446744073709551615", Ok("anna 18446744073709551615: source udp/5060"));
    for (from, to, expected) in [
        ("0123456789012345", "012345678901234", Refused::Fields),
        ("0123456789012345", "01234567890123456", Refused::Fields),
        ("0123456789012345", "012345678901234x", Refused::Fields),
        ("1:@", "1:YWJj:@", Refused::Fields),
        ("udp/5060@", "udp/5060@:60", Refused::Fields),
        ("1:@", "3:@", Refused::Fields),
        ("udp/5060@", "udp/5060@:1:1:1:1:1:1:1:1:1:1", Refused::Fields),
        ("YW5uYQ", "", Refused::User),
        ("YW5uYQ", "YW5uYR", Refused::User),
        ("YW5uYQ", "YW5uYQ==", Refused::User),
        ("YW5uYQ", "@an\nna@", Refused::User),
        ("YW5uYQ", "@\u{e4}@", Refused::User),
        ("1796056711", "", Refused::Time),
        ("1796056711", "0999999999", Refused::Time),
        ("1796056711", "-1796056711", Refused::Time),
        ("1796056711", "+1796056711", Refused::Time),
        ("1796056711", "18446744073709551616", Refused::Time),
        ("1796056711", "000000000001796056711", Refused::Time),
        ("3.0.0", "2.0.0", Refused::Version),
        ("3.0.0", "30.0.0", Refused::Version),
        ("3.0.0", "3.", Refused::Version),
        ("3.0.0", "3.000.000", Refused::Version),
        ("3.0.0:1", "3.0.0:0", Refused::Command),
        ("3.0.0:1", "3.0.0:2", Refused::Nat),
        ("3.0.0:1", "3.0.0:4", Refused::NatTimeout),
        ("3.0.0:1", "3.0.0:5", Refused::LocalNat),
        ("3.0.0:1", "3.0.0:6", Refused::LocalNatTimeout),
        ("3.0.0:1", "3.0.0:7", Refused::UnknownType(Some(7))),
        ("3.0.0:1", "3.0.0:256", Refused::UnknownType(None)),
        ("3.0.0:1", "3.0.0:", Refused::UnknownType(None)),
        ("3.0.0:1", "3.0.0:01", Refused::UnknownType(Some(1))),
        ("@0.0.0.0,udp/5060@", "", Refused::Request),
        ("0.0.0.0,udp/5060", "0.0.0.0", Refused::Request),
        ("0.0.0.0", "", Refused::Address),
        ("0.0.0.0", "0", Refused::Address),
        ("0.0.0.0", "198.51.100.06", Refused::Address),
        ("0.0.0.0", "198.51.100.6/24", Refused::Address),
        ("0.0.0.0", "pbx.example.net", Refused::Address),
        ("0.0.0.0", "[2001:db8::6]", Refused::Address),
        ("0.0.0.0", "fe80::6%eth0", Refused::Address),
        ("0.0.0.0", "::ffff:198.51.100.6", Refused::Address),
        ("udp/5060", "", Refused::Service),
        ("udp/5060", "udp/5060,", Refused::Service),
        ("udp/5060", "udp/0", Refused::Service),
        ("udp/5060", "udp/65536", Refused::Service),
        ("udp/5060", "udp/+1", Refused::Service),
        ("udp/5060", "UDP/5060", Refused::Service),
        ("udp/5060", "sctp/5060", Refused::Service),
        ("udp/5060", "icmp/8", Refused::Service),
        ("udp/5060", "udp", Refused::Service),
        ("1:@0.0.0.0,udp/5060@", "3:@0.0.0.0,udp/5060@:0", Refused::Timeout),
        ("1:@0.0.0.0,udp/5060@", "3:@0.0.0.0,udp/5060@:", Refused::Timeout),
        ("1:@0.0.0.0,udp/5060@", "3:@0.0.0.0,udp/5060@:65537", Refused::Timeout),
        ("1:@0.0.0.0,udp/5060@", "3:@0.0.0.0,udp/5060@:100000", Refused::Timeout),
    ] {
        check(from, to, Err(expected));
    }
    for (name, length, expected) in
        [("user", 49, Refused::User), ("request", 193, Refused::Request)]
    {
        let long = format!("@{}@", "x".repeat(length));
        let from = if name == "user" { "YW5uYQ" } else { "@0.0.0.0,udp/5060@" };
        check(from, &long, Err(expected));
    }
}

#[test]
fn a_wrong_digest_is_refused() {
    let fields = "0123456789012345:YW5uYQ:1796056711:3.0.0:1:MC4wLjAuMCx1ZHAvNTA2MA";
    for digest in ["", "A", &"A".repeat(43), &"A".repeat(86)] {
        let payload = seal(format!("{fields}:{digest}   ").as_bytes(), &keys(), [0; 8]);
        if plausible_len(payload.len()) {
            assert_eq!(read(payload.as_bytes(), &keys()), Err("Digest".to_owned()), "{digest}");
        }
    }
}

#[test]
fn what_cannot_be_written() {
    let service = Service { protocol: Protocol::Tcp, port: 65535 };
    let mapped = Address::Given("::ffff:192.0.2.1".parse().unwrap());
    let right = message();
    for (wrong, expected) in [
        (Message { user: String::new(), ..right.clone() }, Refused::User),
        (Message { user: "\u{e4}".to_owned(), ..right.clone() }, Refused::User),
        (Message { user: "n".repeat(49), ..right.clone() }, Refused::User),
        (Message { time: MIN_TIME - 1, ..right.clone() }, Refused::Time),
        (Message { address: mapped, ..right.clone() }, Refused::Address),
        (
            Message { address: Address::Given("::".parse().unwrap()), ..right.clone() },
            Refused::Address,
        ),
        (Message { services: Vec::new(), ..right.clone() }, Refused::Service),
        (
            Message { services: vec![Service { port: 0, ..service }], ..right.clone() },
            Refused::Service,
        ),
        (Message { services: vec![service; 20], ..right.clone() }, Refused::Request),
        (Message { client_timeout: Some(0), ..right.clone() }, Refused::Timeout),
        (Message { client_timeout: Some(MAX_TIMEOUT + 1), ..right.clone() }, Refused::Timeout),
    ] {
        assert_eq!(wrong.write(&keys(), 0), Err(expected));
    }
}

#[test]
fn every_part_of_the_random_bits_matters() {
    let write = |random| message().write(&keys(), random).unwrap();
    assert_eq!(write(1), write(1));
    let mut all = std::collections::BTreeSet::new();
    for bit in 0..128 {
        assert!(all.insert(write(1 << bit)), "{bit}");
    }
    let text = write(0);
    assert!(is_plausible(text.as_bytes()));
}

fn messages() -> impl Strategy<Value = Message> {
    let service = (any::<bool>(), 1_u16..).prop_map(|(is_tcp, port)| Service {
        protocol: if is_tcp { Protocol::Tcp } else { Protocol::Udp },
        port,
    });
    let address = prop_oneof![
            Just(Address::Source),
            any::<u32>()
                .prop_map(|bits| Address::of(std::net::Ipv4Addr::from(bits).into()).unwrap()),
            // None of them is an IPv4 address in the form of IPv6.
            any::<u128>()
                .prop_map(
                    |bits| Address::of(std::net::Ipv6Addr::from(bits | 1 << 127).into()).unwrap()
                ),
        ];
    let user = "[ -~]{1,48}";
    let services = proptest::collection::vec(service, 1..=13);
    let timeout = proptest::option::of(1..=MAX_TIMEOUT);
    (user, MIN_TIME.., address, services, timeout).prop_map(
        |(user, time, address, services, client_timeout)| Message {
            user,
            time,
            address,
            services,
            client_timeout,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in messages(), random in any::<u128>()) {
        let payload = message.write(&keys(), random).unwrap();
        prop_assert!(is_plausible(payload.as_bytes()));
        let read = authenticate(payload.as_bytes(), &keys()).unwrap().open();
        prop_assert_eq!(read.as_ref(), Ok(&message));
    }

    #[test]
    fn a_changed_message_is_never_authentic(
        message in messages(), random in any::<u128>(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0_u8..4), 1..5),
    ) {
        let payload = message.write(&keys(), random).unwrap().into_bytes();
        let mut changed = payload.clone();
        for (place, byte, kind) in changes {
            let place = place % changed.len();
            match kind {
                0 => changed[place] = byte,
                1 => changed[place] = ALPHABET[usize::from(byte) % 64],
                2 => changed.insert(place, byte),
                _ => _ = changed.remove(place),
            }
        }
        let keys = keys();
        let read = authenticate(&changed, &keys);
        prop_assert!(read.is_err() || changed == payload);
    }

    #[test]
    fn nothing_makes_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let _ = is_plausible(&payload);
        prop_assert!(authenticate(&payload, &keys()).is_err());
    }

    /// Whoever has the keys can send anything.
    #[test]
    fn nothing_encrypted_makes_it_panic(
        blocks in 6_usize..33, seed in any::<[u8; 32]>(), is_block in any::<bool>(),
    ) {
        let length = 8 + 16 * blocks - usize::from(!is_block);
        let noise = seed.iter().cycle().take(length);
        let text: Vec<u8> = cipher::MAGIC.iter().chain(noise).copied().collect();
        let payload = signed(encode(&text).as_bytes());
        let keys = keys();
        let read = authenticate(&payload, &keys);
        prop_assert_eq!(read.is_ok(), is_block);
        if let Ok(authentic) = read {
            prop_assert!(authentic.open().is_err());
        }
    }

    #[test]
    fn no_plain_text_makes_it_panic(
        plain in proptest::collection::vec(any::<u8>(), 94..600), fields in "[0-9:.A-Za-z]{0,200}",
    ) {
        let payload = seal(&plain, &keys(), [1; 8]);
        prop_assert!(read(payload.as_bytes(), &keys()).is_err());
        let _ = Message::read_fields(&fields);
    }
}
