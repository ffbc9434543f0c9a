//! SIP messages and values of their headers.

use nightlatch_parse::sip::{self, Address, Fault, Host, Message, Name, Uri, Via, agent};

/// Read as a whole and truncated: in the middle, and where it ends.
pub fn sip_message(data: &[u8]) {
    let (half, _) = data.split_at(data.len() / 2);
    let messages = [sip::read(data, false), sip::read(data, true), sip::read(half, true)];
    for message in messages.iter().flatten() {
        check_sip(data, message);
    }
    let [Ok(whole), Ok(cut), part] = messages else {
        return;
    };
    // What a truncated message says is what the longer one says.
    for (short, long) in [(Some(&cut), &whole), (part.as_ref().ok(), &cut)] {
        let Some(short) = short else {
            continue;
        };
        for name in Name::ALL {
            if let Some(header) = short.header(*name).filter(|header| header.is_whole) {
                assert_eq!(long.header(*name), Some(header));
            }
        }
        for (few, all) in [(short.from, long.from), (short.to, long.to)] {
            assert!(few.is_none() || few == all);
        }
        assert!(short.via.is_none() || short.via == long.via);
        assert!(short.cseq.is_none() || short.cseq == long.cseq);
        assert!(short.contact.is_none() || short.contact == long.contact);
        assert!(short.expires.is_none() || short.expires == long.expires);
    }
}

fn check_sip(data: &[u8], message: &Message<'_>) {
    let inside = data.as_ptr_range();
    let check = |part: &[u8]| {
        let part = part.as_ptr_range();
        let is_inside = inside.start <= part.start && part.end <= inside.end;
        assert!(part.is_empty() || is_inside);
    };
    check(message.body);
    for header in message.headers() {
        check(header.name);
        check(header.raw);
        assert!(header.unfolded().len() <= header.raw.len());
    }
    assert!(message.vias().count() <= sip::MAX_VALUES);
    assert!(message.contacts().count() <= sip::MAX_VALUES);
    for address in message.contacts().chain(message.from).chain(message.to) {
        check_address(&address);
        check(address.raw_name);
        check(address.raw_uri);
        address.tag().iter().for_each(|tag| check(tag));
    }
    message.vias().for_each(|via| check(via.transport));
    let mut faults = message.faults().to_vec();
    faults.iter().for_each(|fault: &Fault| assert!(!fault.to_string().is_empty()));
    faults.sort();
    faults.dedup();
    assert_eq!(faults.len(), message.faults().len());
    if let Some(secret) = message.user_agent().and_then(|header| agent::secret(header.raw)) {
        assert!(secret.len() <= agent::MAX_SECRET && !secret.contains(&b'\n'));
        // What is compared is the same when it is compared again.
        assert_eq!(agent::secret(&secret).as_deref(), Some(secret.as_ref()));
    }
}

fn check_address(address: &Address<'_>) {
    assert!(address.name().len() <= address.raw_name.len());
    assert!(!address.is_sound || address.is_star() || address.uri.is_some());
    address.uri.iter().for_each(check_uri);
}

fn check_uri(uri: &Uri<'_>) {
    if let Some(Host::Name(name)) = uri.host {
        assert!(!name.is_empty() && name.len() <= 255);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)));
    }
    assert!(uri.port != Some(0));
    let _ = uri.transport();
    for parameter in uri.parameters.iter() {
        assert!(parameter.name.len() < uri.raw.len());
    }
}

/// One value of a header.
pub fn sip_values(data: &[u8]) {
    check_address(&Address::parse(data));
    Uri::parse(data).iter().for_each(check_uri);
    if let Some(via) = Via::parse(data) {
        assert!(via.rport().is_none() || via.has_rport());
        assert!(via.port != Some(0));
        let _ = (via.branch(), via.received());
    }
    let line = sip::unfolded(data);
    assert_eq!(sip::unfolded(&line), line);
    let text = String::from_utf8_lossy(data);
    if let Some(known) = agent::known_user_agent(&text) {
        assert_eq!(agent::known_user_agent(known), Some(known));
    }
}
