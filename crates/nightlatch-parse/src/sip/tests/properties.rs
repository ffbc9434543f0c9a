//! What must hold of any input.

use proptest::prelude::*;

use super::*;

/// All parts of a message that are slices of the payload.
fn parts<'a>(message: &Message<'a>) -> Vec<&'a [u8]> {
    let mut parts = vec![message.body];
    let mut uris = Vec::new();
    match message.start {
        StartLine::Request { method, raw_uri, uri } => {
            parts.extend([method, raw_uri]);
            uris.extend(uri);
        }
        StartLine::Response { reason, .. } => parts.push(reason),
    }
    let mut parameters = Vec::new();
    for via in message.via.into_iter().chain(message.vias()) {
        parts.extend([via.transport].into_iter().chain(via.branch()));
        parameters.push(via.parameters);
        assert!(!via.is_sound || via.host.is_some());
        assert!(via.rport().is_none() || via.has_rport());
    }
    let ends = [message.from, message.to, message.contact].into_iter().flatten();
    for address in ends.chain(message.contacts()) {
        parts.extend([address.raw_name, address.raw_uri].into_iter().chain(address.tag()));
        parameters.push(address.parameters);
        uris.extend(address.uri);
        assert!(address.name().len() <= address.raw_name.len());
    }
    for uri in uris {
        parts.extend([uri.raw, uri.headers].into_iter().chain(uri.user));
        parameters.push(uri.parameters);
        if let Some(Host::Name(name)) = uri.host {
            parts.push(name.as_bytes());
        }
    }
    for parameter in parameters.iter().flat_map(Parameters::iter) {
        parts.extend([parameter.name].into_iter().chain(parameter.value));
    }
    for header in message.headers() {
        parts.extend([header.name, header.raw]);
        assert!(header.unfolded().len() <= header.raw.len());
        assert!(!header.unfolded().contains(&b'\n'));
    }
    parts.extend(message.call_id);
    parts.extend(message.cseq.map(|cseq| cseq.method));
    parts
}

/// Reads it as a whole and as a truncated message, and looks at every part.
fn sweep(payload: &[u8]) {
    for is_cut in [false, true] {
        let Ok(message) = read(payload, is_cut) else {
            continue;
        };
        let inside = payload.as_ptr_range();
        for part in parts(&message) {
            let part = part.as_ptr_range();
            let is_inside = inside.start <= part.start && part.end <= inside.end;
            // An empty slice may be none of ours.
            assert!(is_inside || part.start == part.end);
        }
        assert!(message.faults().len() < 100);
        let _ = message.user_agent().and_then(|header| agent::secret(header.raw).map(drop));
    }
}

/// A value that a truncated message may have: none, or the one of the whole message.
fn same<T: PartialEq + std::fmt::Debug>(part: Option<T>, whole: Option<T>) {
    assert!(part.is_none() || part == whole, "{part:?} became {whole:?}");
}

/// Truncated at `length`, a message has the same values in the headers that are wholly contained.
fn truncated(payload: &[u8], length: usize) {
    let (Ok(part), Ok(whole)) = (read(&payload[..length], true), read(payload, true)) else {
        return;
    };
    if let (StartLine::Request { uri, .. }, StartLine::Request { uri: all, .. }) =
        (part.start, whole.start)
    {
        same(uri, all);
    }
    if let (StartLine::Response { status, .. }, StartLine::Response { status: all, .. }) =
        (part.start, whole.start)
    {
        same(status, all);
    }
    same(part.via, whole.via);
    same(part.from, whole.from);
    same(part.to, whole.to);
    same(part.contact, whole.contact);
    same(part.call_id, whole.call_id);
    same(part.cseq, whole.cseq);
    same(part.expires, whole.expires);
    same(part.content_length, whole.content_length);
    same(part.user_agent(), whole.user_agent());
    same(part.server(), whole.server());
    let mut all = whole.headers();
    for header in part.headers().filter(|header| header.is_whole) {
        let expected = all.find(|other| other.name.as_ptr() == header.name.as_ptr());
        assert_eq!(Some(header), expected);
    }
    // None that lies before the end, with its line end and one byte more, is missing.
    let end = payload.as_ptr_range().start as usize + length;
    let is_known = |header: &Header<'_>| (header.raw.as_ptr_range().end as usize) + 3 <= end;
    for header in whole.headers().take_while(|header| header.is_whole && is_known(header)) {
        let found = part.headers().find(|other| other.name.as_ptr() == header.name.as_ptr());
        assert_eq!(found.map(|found| found.raw), Some(header.raw));
    }
}

/// Text that is likely to be read as something.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\"",
        "\\",
        "<",
        ">",
        ";",
        ",",
        ":",
        "@",
        "=",
        "?",
        "/",
        "[",
        "]",
        "*",
        "\0",
        "SIP/2.0",
        "sip:",
        "tag=",
        "\r\n\r\n",
        "\r\n ",
        "From:",
        "f:",
        "Via:",
        "Contact:",
        "CSeq:",
        "User-Agent:",
        "l:",
        "1",
        "99999999999",
        "UDP",
        "INVITE",
        "::",
    ];
    prop_oneof![
        4 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

/// A genuine message in which some places are replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<proptest::sample::Index>(), 0_usize..12, piece());
    let message = proptest::sample::select(GENUINE.to_vec());
    (message, proptest::collection::vec(change, 0..8)).prop_map(|((_, payload), changes)| {
        let mut payload = payload.to_vec();
        for (place, length, piece) in changes {
            let start = place.index(payload.len() + 1);
            let end = payload.len().min(start + length);
            payload.splice(start..end, piece);
        }
        payload
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        sweep(&payload);
    }

    #[test]
    fn random_pieces(pieces in proptest::collection::vec(piece(), 0..200)) {
        sweep(&[&b"INVITE sip:a SIP/2.0\r\n"[..], &pieces.concat()].concat());
    }

    #[test]
    fn mutations(payload in mutated(), length in any::<proptest::sample::Index>()) {
        sweep(&payload);
        truncated(&payload, length.index(payload.len() + 1));
    }

    #[test]
    fn pieces_alone(pieces in proptest::collection::vec(piece(), 0..40)) {
        let value = pieces.concat();
        let address = Address::parse(&value);
        prop_assert!(!address.is_sound || address.uri.is_some() || address.is_star());
        let _ = Via::parse(&value).map(|via| via.received());
        let sound = Uri::parse(&value).filter(|uri| uri.is_sound && uri.scheme == Scheme::Sip);
        prop_assert!(sound.is_none_or(|uri| uri.host.is_some()));
        let line = unfolded(&value);
        prop_assert_eq!(unfolded(&line), line.as_ref(), "once unfolded is unfolded");
    }
}

#[test]
fn every_truncation_of_genuine_messages() {
    for (_, payload) in GENUINE {
        for length in 0..=payload.len() {
            sweep(&payload[..length]);
            truncated(payload, length);
        }
    }
}

/// The reader looks at each byte at most a fixed number of times, whatever they are.
#[test]
fn the_work_is_linear() {
    let patterns = [
        "\"\\\";",
        "\"\\\",",
        "\"",
        "\\\"",
        "<",
        "<,",
        "\"<,",
        ";",
        ",",
        ";a=\"",
        ":",
        "\r\n ",
        " ",
        "a:\r\n",
        "Contact: <\r\n",
        "m:\"\r\n",
        "v:,\r\n",
        "v:SIP/2.0/UDP a;\"\r\n",
        "x\r\n",
        "\n ",
        "@",
        "f:\"\r\n",
        "<sip:a@b;",
        "<sip:a@b>,",
        "a;tag=",
        "\r",
        "[",
    ];
    let heads = ["", "INVITE ", "INVITE sip:", "INVITE sip:a SIP/2.0\r\n", "SIP/2.0 200 "];
    let names =
        ["", "f:", "m:", "v:", "v:SIP/2.0/UDP ", "i:", "CSeq:", "m:<sip:a>", "m:\"", "f:sip:"];
    let mut most = 0;
    for (head, name, pattern) in heads
        .iter()
        .flat_map(|head| names.iter().map(move |name| (head, name)))
        .flat_map(|(head, name)| patterns.iter().map(move |pattern| (head, name, pattern)))
    {
        let payload = format!("{head}{name}{}", pattern.repeat(20_000 / pattern.len()));
        let steps = scan::steps::of(|| {
            let _ = read(payload.as_bytes(), false).map(|message| {
                let _ = parts(&message);
            });
        });
        most = most.max(steps / payload.len());
        assert!(steps < 60 * payload.len(), "{head}{name}{pattern}: {steps} steps");
    }
    println!("at most {most} steps a byte");
}
