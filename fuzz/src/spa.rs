//! Packets of single packet authorization, and cards of users.

use nightlatch_parse::spa::{self, Card, Keys};

use super::check_shown;

/// The keys of the genuine packets in the corpus.
fn spa_keys() -> Keys {
    let (encryption, hmac): (Vec<u8>, Vec<u8>) = ((0..32).collect(), (64..128).collect());
    Keys::new(&encryption, &hmac).expect("keys of the right lengths")
}

/// A packet as it comes. Those that are authentic are genuine, and there is no second form of them.
pub fn spa_payload(data: &[u8]) {
    let keys = spa_keys();
    let Ok(authentic) = spa::authenticate(data, &keys) else {
        return;
    };
    assert!(spa::is_plausible(data));
    assert!(data.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)));
    let mut padded = data.to_vec();
    padded.push(b'=');
    assert!(spa::authenticate(&padded, &keys).is_err());
    let _ = authentic.open();
}

/// The fields within a packet: what is read is written, and read again.
pub fn spa_message(data: &[u8]) {
    let Some(message) =
        std::str::from_utf8(data).ok().and_then(|it| spa::Message::read_fields(it).ok())
    else {
        return;
    };
    let keys = spa_keys();
    let payload = message.write(&keys, 1).expect("what is read can be written");
    let read = spa::authenticate(payload.as_bytes(), &keys).map(spa::Authentic::open);
    assert_eq!(read.expect("it is authentic").as_ref(), Ok(&message));
}

/// The card of a user.
pub fn spa_card(data: &[u8]) {
    match Card::read(data) {
        Ok(card) => {
            assert!(card.port != 0 && !card.access.is_empty());
            assert!(!card.user.is_empty() && !card.server.is_empty());
        }
        Err(error) => check_shown(&error.to_string()),
    }
}
