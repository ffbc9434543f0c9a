use super::*;
use proptest::prelude::*;

/// The entries of a list, the numbers of lines read and refused, or the error.
fn read(format: &str, text: &[u8]) -> String {
    match parse(text, &format.parse().unwrap(), 100) {
        Ok(parsed) => {
            let ranges: Vec<String> = parsed.ranges.iter().map(|r| r.to_string()).collect();
            let Tally { lines, refused, .. } = parsed.tally;
            let refused = match refused {
                0 => String::new(),
                _ => format!(" ({refused} of {lines} refused)"),
            };
            format!("{}: {}{refused}", parsed.format, ranges.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

fn check(format: &str, text: &str, expected: &str) {
    assert_eq!(read(format, text.as_bytes()), expected, "{format} {text}");
}

#[test]
fn published_lists_are_recognised() {
    check(
        "auto",
        "; Spamhaus DROP List 2026/01/01 - (c) 2026 The Spamhaus Project SLU\n\
         ; Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\n\
         192.0.2.0/24 ; SBL256894\n198.51.100.0/25 ; SBL434604\n",
        "plain: 192.0.2.0/24 198.51.100.0/25",
    );
    check(
        "auto",
        "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n\
         {\"cidr\":\"2001:db8::/32\",\"sblid\":\"SBL1\",\"rir\":\"ripencc\"}\n\
         {\"type\":\"metadata\",\"timestamp\":1767225600,\"size\":2,\"records\":2}\n",
        "json: 192.0.2.0/24 2001:db8::/32",
    );
    check(
        "auto",
        "#\n# firehol_level1\n#\n# ipv4 hash:net ipset\n#\n192.0.2.0/24\n198.51.100.7\n",
        "plain: 192.0.2.0/24 198.51.100.7",
    );
    check(
        "auto",
        "192.0.2.1\n2001:db8::7\n198.51.100.9\n",
        "plain: 192.0.2.1 198.51.100.9 2001:db8::7",
    );
    check(
        "auto",
        "{\"ipaddress\": [\"192.0.2.1\", \"192.0.2.2\"], \"ID\": \"1234\"}",
        "json: 192.0.2.1 192.0.2.2",
    );
    check("auto", "{\"ipaddress\":[\"no new bans\"],\"ID\":\"none\"}", "json: ");
    check(
        "auto",
        "# Feodo Tracker\n#\n\"first_seen_utc\",\"dst_ip\",\"dst_port\"\n\
         \"2026-01-01 00:00:00\",\"192.0.2.1\",\"443\"\n# END 1 entries\n",
        "csv::,: 192.0.2.1",
    );
    check(
        "auto",
        "Bad:192.0.2.0-192.0.2.255\nWorse:198.51.100.0-198.51.100.3\n",
        "plain: 192.0.2.0/24 198.51.100.0/30",
    );
    check(
        "auto",
        "Start\tEnd\tNetmask\tAttacks\n192.0.2.0\t192.0.2.255\t24\t77\n",
        "plain: 192.0.2.0/24 (1 of 2 refused)",
    );
    check("auto", "\u{feff}192.0.2.1\r\n192.0.2.2", "plain: 192.0.2.1 192.0.2.2");
    check("auto", "192.0.2.1\r192.0.2.2\r", "plain: 192.0.2.1 192.0.2.2");
    check("auto", "[2001:db8::1]:5060\n", "plain: 2001:db8::1");
    check("auto", "# nothing today\n", "plain: ");
    check("csv:2", "192.0.2.1,198.51.100.1\n", "csv:2: 198.51.100.1");
    check("json:a[]", "\u{feff}{\"a\":[]}", "json:a[]: ");
    assert_eq!(read("plain", b"# r\xe9seau\n192.0.2.1 # caf\xe9\n"), "plain: 192.0.2.1");
}

#[test]
fn what_is_no_list_is_said() {
    for (format, text, message) in [
        ("auto", &b""[..], "the list is empty"),
        ("auto", b"\r\n \n", "the list is empty"),
        ("auto", b"<!doctype html><title>Login</title>", "a web page"),
        ("csv:1", b"<html>192.0.2.1", "a web page"),
        ("plain", b"\x1f\x8b\x08\0\0", "a gzip file"),
        ("plain", b"\xff\xfea\0b\0", "UTF-16"),
        ("plain", b"a\0b\0.\0", "UTF-16"),
        ("plain", b"\0\0\0\0\0\0\0\0", "binary data"),
        ("auto", b"Invalid API key\n", "(first: \"Invalid API key\")"),
        ("auto", b"error\nx\n", "none of the 2 lines"),
        (
            "json:a[]",
            b"{\"b\":[\"192.0.2.1\"]}",
            "nothing found at the path of the format \"json:a[]\"",
        ),
        ("auto", b"{\"error\":\"unauthorized\"}", "nothing found at the path"),
        ("json", b"192.0.2.1\n", "invalid or truncated JSON"),
        ("auto", b"{\"ip\":\"192.0.2.1\"", "unexpected end"),
        ("csv:ip", b"a,b\n192.0.2.1,2\n", "no column \"ip\""),
    ] {
        let said = read(format, text);
        assert!(said.contains(message), "{format} {text:?}: {said}");
    }
}

#[test]
fn limits_hold() {
    let many = "192.0.2.1\n".repeat(101);
    assert!(read("plain", many.as_bytes()).contains("more than 100 entries"));
    let garbage = "x\n".repeat(20_000);
    let mut reader = Reader::new(Format::Plain, 100);
    let error = garbage.as_bytes().chunks(5000).find_map(|block| reader.push(block).err());
    assert!(matches!(error, Some(FeedError::NothingUsable { .. })));
    let long = format!("192.0.2.1\n192.0.2.2 {}\n192.0.2.3", "1".repeat(5000));
    check("plain", &long, "plain: 192.0.2.1 192.0.2.3 (1 of 3 refused)");
    let long = format!("192.0.2.1,{}\n", "1".repeat(70_000));
    assert!(read("csv:1", long.as_bytes()).contains("longer than 64 KiB"));
}

#[test]
fn samples_name_the_line() {
    let parsed = parse(b"192.0.2.1\n\n# x\nb\x1bad\n", &Format::Plain, 9).unwrap();
    assert_eq!(parsed.tally.samples.len(), 1);
    assert_eq!(parsed.tally.samples[0].line, 4);
    assert_eq!(parsed.tally.samples[0].text, "b?ad");
}

/// Texts of a line of a plain list and what they must give.
fn plain_line_and_meaning() -> impl Strategy<Value = (String, Option<AddrRange>)> {
    let address = prop_oneof![
        any::<u32>().prop_map(|n| std::net::IpAddr::from(n.to_be_bytes())),
        any::<u128>().prop_map(|n| std::net::IpAddr::from(n.to_be_bytes())),
    ];
    let behind = proptest::sample::select(vec!["", " ", "\t# c", ";SBL1", " // x", " 7", "#a;b"]);
    let entry = (address, 0_u32..=128, behind).prop_map(|(address, prefix, behind)| {
        // An IPv4 address written as IPv6 has a rule of its own, tested with AddrRange.
        let address = address.to_canonical();
        let prefix = prefix.min(crate::address::Family::of(address).bits());
        (format!("{address}/{prefix}{behind}"), AddrRange::network(address, prefix))
    });
    let other = proptest::sample::select(vec!["", "# 192.0.2.1", "; x", "  ", "bad", "192.0.2"])
        .prop_map(|text| (text.to_owned(), None));
    prop_oneof![3 => entry, 1 => other]
}

proptest! {
    #[test]
    fn a_plain_list_gives_its_entries(
        lines in proptest::collection::vec(plain_line_and_meaning(), 1..40),
        line_end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
        block in 1_usize..70,
    ) {
        let texts: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
        let text = texts.join(line_end);
        let expected: RangeList = lines.iter().filter_map(|(_, range)| *range).collect();
        prop_assume!(!expected.is_empty());
        let mut reader = Reader::new(Format::Plain, 100);
        for part in text.as_bytes().chunks(block) {
            reader.push(part).unwrap();
        }
        prop_assert_eq!(reader.finish().unwrap().ranges, expected);
    }

    #[test]
    fn blocks_do_not_matter(
        text in "([a-c0-2.,:;/\"#\\[\\]{}\\\\ \n\r-]|192\\.0\\.2\\.1|\"ip\":|\n){0,60}",
        format in proptest::sample::select(vec!["auto", "plain", "csv:1", "csv:ip", "json", "json:a[].b"]),
        block in 1_usize..30,
    ) {
        let format: Format = format.parse().unwrap();
        let mut reader = Reader::new(format.clone(), 5);
        let pushed = text.as_bytes().chunks(block).try_for_each(|part| reader.push(part));
        let in_blocks = pushed.and_then(|()| reader.finish());
        prop_assert_eq!(in_blocks, parse(text.as_bytes(), &format, 5));
    }
}
