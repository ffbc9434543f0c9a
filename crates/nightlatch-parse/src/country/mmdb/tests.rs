use super::*;
use proptest::prelude::*;

/// Writes a database: a tree of `family` with records of `record_bits`, and a record a country.
///
/// In a tree of IPv6, `::ffff:0:0/96` leads to the IPv4 addresses, as in the published ones.
pub(crate) fn write(family: Family, record_bits: u32, networks: &[(AddrRange, &str)]) -> Vec<u8> {
    let mut tree = vec![[Target::Nothing; 2]];
    let mut data: Vec<u8> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (range, code) in networks {
        let at = *places.entry((*code).to_owned()).or_insert_with(|| {
            let at = data.len();
            data.extend(record(code));
            at
        });
        let (bits, depth) = match (family, range.family()) {
            (Family::V6, Family::V4) => (range.first(), range.prefix().unwrap() + 96),
            _ => (range.first() << (128 - family.bits()), range.prefix().unwrap()),
        };
        let bits = if family == Family::V4 { bits >> 96 } else { bits };
        insert(&mut tree, family, bits, depth, Target::Data(at));
    }
    if family == Family::V6 {
        let mut node = Some(0);
        for _ in 0..96 {
            node = node.and_then(|node: u32| match tree[node as usize][0] {
                Target::Node(next) => Some(next),
                _ => None,
            });
        }
        if let Some(node) = node {
            insert(&mut tree, family, 0xffff << 32, 96, Target::Node(node));
        }
    }
    assemble(family, record_bits, &tree, &data)
}

pub(super) fn insert(
    tree: &mut Vec<[Target; 2]>,
    family: Family,
    bits: u128,
    depth: u32,
    target: Target,
) {
    let mut node = 0_usize;
    for level in 0..depth {
        let side = usize::from(bits >> (family.bits() - level - 1) & 1 == 1);
        if level + 1 == depth {
            tree[node][side] = target;
            return;
        }
        node = match tree[node][side] {
            Target::Node(next) => next as usize,
            before => {
                // A network split by a narrower one goes on in both halves.
                tree.push([before; 2]);
                tree[node][side] = Target::Node(u32::try_from(tree.len() - 1).unwrap());
                tree.len() - 1
            }
        };
    }
}

pub(super) fn assemble(
    family: Family,
    record_bits: u32,
    tree: &[[Target; 2]],
    data: &[u8],
) -> Vec<u8> {
    let count = u32::try_from(tree.len()).unwrap();
    let mut bytes = Vec::new();
    for node in tree {
        let [left, right] = node.map(|target| match target {
            Target::Node(node) => node,
            Target::Nothing => count,
            Target::Data(at) => count + 16 + u32::try_from(at).unwrap(),
        });
        let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
        match record_bits {
            24 => bytes.extend([l[1], l[2], l[3], r[1], r[2], r[3]]),
            28 => bytes.extend([l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]]),
            _ => bytes.extend(l.into_iter().chain(r)),
        }
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(MARKER);
    bytes.extend([0xe4]);
    let version = if family == Family::V4 { 4 } else { 6 };
    for (key, number) in [
        ("node_count", count),
        ("record_size", record_bits),
        ("ip_version", version),
        ("binary_format_major_version", 2),
    ] {
        bytes.extend(text(key));
        bytes.push(0xc4);
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// `{"continent": {"code": "XX"}, "country": {"is_it": true, "iso_code": code}}`.
fn record(code: &str) -> Vec<u8> {
    let mut bytes = vec![0xe2];
    bytes.extend(text("continent"));
    bytes.push(0xe1);
    bytes.extend(text("code"));
    bytes.extend(text("XX"));
    bytes.extend(text("country"));
    bytes.push(0xe2);
    bytes.extend(text("is_it"));
    bytes.extend([0x01, 7]);
    bytes.extend(text("iso_code"));
    bytes.extend(text(code));
    bytes
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let mut bytes = match u8::try_from(text.len()).unwrap() {
        short @ 0..29 => vec![0x40 | short],
        long => vec![0x40 | 0x1d, long - 29],
    };
    bytes.extend(text.as_bytes());
    bytes
}

fn show(countries: Countries) -> Vec<String> {
    let table = countries.build();
    table.iter().map(|(range, code)| format!("{range} {code}")).collect()
}

fn networks(texts: &[(&str, &'static str)]) -> Vec<(AddrRange, &'static str)> {
    texts.iter().map(|(range, code)| (range.parse().unwrap(), *code)).collect()
}

#[test]
fn all_record_sizes_and_both_trees() {
    let v4 = networks(&[("192.0.2.0/24", "DE"), ("198.51.100.7", "FR"), ("203.0.113.0/25", "FR")]);
    let mut both = v4.clone();
    both.extend(networks(&[("2001:db8::/32", "DE"), ("2001:db8:1::/48", "FR")]));
    for bits in [24, 28, 32] {
        let read = |bytes: Vec<u8>| show(read(&bytes, 100).unwrap());
        assert_eq!(
            read(write(Family::V4, bits, &v4)),
            ["192.0.2.0/24 DE", "198.51.100.7 FR", "203.0.113.0/25 FR"]
        );
        assert_eq!(
            read(write(Family::V6, bits, &both)),
            [
                "192.0.2.0/24 DE",
                "198.51.100.7 FR",
                "203.0.113.0/25 FR",
                "2001:db8::/48 DE",
                "2001:db8:1::/48 FR",
                "2001:db8:2::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff DE",
            ]
        );
    }
    let whole = write(Family::V6, 24, &networks(&[("::/1", "DE")]));
    assert_eq!(show(read(&whole, 9).unwrap()), ["0.0.0.0/0 DE", "::/1 DE"]);
}

#[test]
fn other_places_for_the_code() {
    for (data, expected) in [
        ([&[0xe1][..], &text("country"), &text("de")].concat(), Some("DE")),
        ([&[0xe1][..], &text("country_code"), &text("FR")].concat(), Some("FR")),
        ([&[0xe1][..], &text("country"), &text("Germany")].concat(), None),
        ([&[0xe1][..], &text("city"), &text("DE")].concat(), None),
        // A pointer to the text behind the map.
        ([&[0xe1][..], &text("country"), &[0x20, 11], &text("US")].concat(), Some("US")),
    ] {
        let found = Data::new(&data).country(0).unwrap();
        assert_eq!(found.map(|code| code.to_string()).as_deref(), expected);
    }
}

#[test]
fn damage_is_an_error() {
    let sound = write(Family::V4, 24, &networks(&[("192.0.2.0/24", "DE")]));
    let check = |bytes: &[u8], message: &str| {
        let error = read(bytes, 10).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(message), "{message}: {error}");
    };
    check(b"", "no MaxMind metadata");
    check(&sound[60..], "shorter than its metadata says");
    check(MARKER, "not version 2");
    assert!(is_database(&sound));
    assert!(!is_database(b"192.0.2.0"));
    // The first node leads to itself.
    let mut circle = sound.clone();
    circle[..6].fill(0);
    check(&circle, "deeper than an address has bits");
    let mut outside = sound.clone();
    outside[..6].fill(0xff);
    check(&outside, "its data is damaged");
    // A pointer to itself where the record should be.
    let tree = [[Target::Data(0), Target::Nothing]];
    check(&assemble(Family::V4, 24, &tree, &[0x20, 0]), "its data is damaged");
    check(&assemble(Family::V4, 24, &tree, &[0xe0]), "none of its networks has a country");
    check(&assemble(Family::V4, 24, &[], &[]), "none of its networks has a country");
    let two = write(Family::V4, 24, &networks(&[("192.0.2.1", "DE"), ("192.0.2.3", "DE")]));
    assert_eq!(read(&two, 1).err(), Some(CountryError::TooMany { limit: 1 }));
}

/// A tree whose every node leads to the next one twice has 2^32 networks.
#[test]
fn a_tree_that_doubles_at_every_step_ends() {
    for family in [Family::V4, Family::V6] {
        let depth = family.bits();
        let tree: Vec<[Target; 2]> = (1..=depth)
            .map(|next| if next == depth { [Target::Data(0); 2] } else { [Target::Node(next); 2] })
            .collect();
        let bytes = assemble(family, 32, &tree, &record("DE"));
        let error = read(&bytes, usize::MAX).err().unwrap();
        assert!(error.to_string().contains("contains a cycle"), "{error}");
    }
}

/// Many records that each hold the same long way to nothing.
#[test]
fn work_on_data_is_bounded() {
    let mut data = vec![0xff, 0xff, 0xff, 0xff];
    data.extend(vec![0xe0; 100_000]);
    let data = Data::new(&data);
    let results: Vec<bool> = (4..5000).map(|at| data.country(at).is_ok()).collect();
    assert!(results.len() > 1);
    let nested = vec![0xe1; 200_000];
    assert!(Data::new(&nested).country(0).is_err());
}

proptest! {
    #[test]
    fn written_networks_are_read_back(
        v4 in proptest::collection::btree_map(0_u32..64, 0_usize..3, 1..20),
        prefix in 6_u32..=32,
        bits in proptest::sample::select(vec![24, 28, 32]),
        family in proptest::sample::select(vec![Family::V4, Family::V6]),
    ) {
        let codes = ["DE", "FR", "US"];
        let networks: Vec<(AddrRange, &str)> = v4
            .iter()
            .map(|(number, code)| {
                let first = u128::from(*number) << (32 - prefix);
                let address = from_number(Family::V4, first);
                (AddrRange::network(address, prefix).unwrap(), codes[*code])
            })
            .collect();
        let table = read(&write(family, bits, &networks), 100).unwrap().build();
        for (range, code) in &networks {
            let found = table.of(range.first_address()).map(|code| code.to_string());
            prop_assert_eq!(found.as_deref(), Some(*code));
        }
        let v4_only = table.iter().all(|(range, _)| range.family() == Family::V4);
        prop_assert!(v4_only);
        let mut expected = Builder::new();
        for (range, code) in &networks {
            expected.add(*range, code.parse().unwrap());
        }
        prop_assert_eq!(table, expected.build());
    }

    #[test]
    fn damaged_bytes_never_panic(
        places in proptest::collection::vec((0_usize..600, any::<u8>()), 1..6),
        cut in 0_usize..40,
    ) {
        let both = networks(&[("192.0.2.0/24", "DE"), ("2001:db8::/20", "FR")]);
        let mut bytes = write(Family::V6, 28, &both);
        let length = bytes.len();
        for (place, byte) in places {
            // Most damage near the end, where metadata and data are.
            bytes[length - 1 - place % length] = byte;
        }
        bytes.truncate(length - cut);
        let _ = read(&bytes, 1000);
    }
}
