//! Every reader of what comes from a socket, fed with bytes that no kernel would send.

use nightlatch_parse::address::Family;
use proptest::prelude::*;

use crate::element::{self, Kind};
use crate::structure::Collector;
use crate::wire::{Buffer, Message, Messages};
use crate::{conntrack, inventory, monitor, netlink, nflog};

/// Attributes in attributes, with numbers and lengths as the kernel uses them.
fn tree() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        Just(b"nightlatch\0".to_vec()),
        Just(b"counter\0".to_vec()),
        Just(b"quota\0".to_vec()),
        (0_u32..12).prop_map(|number| number.to_be_bytes().to_vec()),
    ];
    let leaf = (0_u16..20, payload).prop_map(|(kind, payload)| {
        let mut buffer = Buffer::new();
        buffer.attribute(kind, &payload);
        buffer.bytes().to_vec()
    });
    leaf.prop_recursive(5, 60, 6, |inner| {
        (0_u16..20, proptest::collection::vec(inner, 0..6)).prop_map(|(kind, parts)| {
            let mut buffer = Buffer::new();
            buffer.attribute(kind, &parts.concat());
            buffer.bytes().to_vec()
        })
    })
}

/// A datagram of messages, some of its bytes changed, perhaps cut off.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let message = (0_u16..0x0a20, 0_u16..0x400, tree(), tree()).prop_map(|(kind, flags, a, b)| {
        let mut buffer = Buffer::new();
        let open = buffer.open_message(kind, flags, 1, 1, 0);
        buffer.close_message(open);
        let mut bytes = buffer.bytes().to_vec();
        bytes.extend(a);
        bytes.extend(b);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes.splice(0..4, length.to_ne_bytes());
        bytes
    });
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (proptest::collection::vec(message, 1..4), changes, 0_usize..40).prop_map(
        |(messages, changes, cut)| {
            let mut bytes = messages.concat();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if cut < 20 {
                bytes.truncate(bytes.len() - cut.min(bytes.len()));
            }
            bytes
        },
    )
}

fn read_all(message: &Message<'_>) {
    let _ = nflog::read_packet(message);
    let _ = netlink::refusal(message);
    let _ = conntrack::read_flow(message);
    let _ = inventory::read_table(message.family(), message.attributes());
    let _ = inventory::read_base_chain(message.family(), message.attributes());
    let _ = inventory::read_counter("nightlatch", message);
    let mut collector = Collector::new("nightlatch");
    for read in Collector::READERS {
        (read.1)(&mut collector, message);
    }
    let _ = collector.finish(1);
    for entry in message.attributes() {
        for kind in [
            Kind::Ranges(Family::V4),
            Kind::Ranges(Family::V6),
            Kind::Addresses(Family::V4),
            Kind::Addresses(Family::V6),
            Kind::Flows(Family::V4),
            Kind::Flows(Family::V6),
            Kind::Endpoints(Family::V4),
            Kind::Endpoints(Family::V6),
            Kind::Peers(Family::V4),
            Kind::Peers(Family::V6),
            Kind::Number,
        ] {
            let _ = element::read(kind, entry.nested());
        }
    }
}

proptest! {
    #[test]
    fn no_reader_fails(datagram in datagram()) {
        for message in Messages(&datagram) {
            read_all(&message);
        }
        let _ = monitor::gather(&datagram, &mut monitor::Touched::default());
    }

    #[test]
    fn nor_with_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&Message { kind: 2, flags: 0x200, sequence: 0, port: 0, body: &bytes });
        let _ = monitor::gather(&bytes, &mut monitor::Touched::default());
    }
}
