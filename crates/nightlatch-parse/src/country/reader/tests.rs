use super::*;

fn check(read: impl Fn(&[u8]) -> Meaning, text: &str, expected: &str) {
    let shown = match read(text.as_bytes()) {
        Meaning::Nothing => "nothing".to_owned(),
        Meaning::Refused => "refused".to_owned(),
        Meaning::Entry(range, code) => format!("{range} {code}"),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn registries() {
    for (text, expected) in [
        ("2|apnic|20260101|80000|19830613|20260101|+1000", "nothing"),
        ("2.3|apnic|20260101|80000|19830613|20260101|+1000", "nothing"),
        ("apnic|*|ipv4|*|45000|summary", "nothing"),
        ("# comment", "nothing"),
        ("apnic|CN|ipv4|192.0.2.0|256|20110414|allocated", "192.0.2.0/24 CN"),
        ("apnic|CN|ipv4|192.0.2.0|768|20110414|allocated|A91", "192.0.2.0-192.0.4.255 CN"),
        ("ripencc|uk|ipv6|2001:db8::|32|20110414|assigned|x", "2001:db8::/32 GB"),
        ("apnic|JP|asn|173|1|20020801|allocated", "nothing"),
        ("apnic||ipv4|192.0.2.0|256||available|", "nothing"),
        ("arin|ZZ|ipv4|192.0.2.0|256||reserved|", "nothing"),
        ("iana|ZZ|ipv4|0.0.0.0|16777216|19810901|allocated", "nothing"),
        ("apnic|CN|ipv4|192.0.2.0|0|20110414|allocated", "refused"),
        ("apnic|CN|ipv4|192.0.2.0|-1|20110414|allocated", "refused"),
        ("apnic|CN|ipv4|192.0.2.0|99999999999|20110414|allocated", "refused"),
        ("apnic|CN|ipv4|255.255.255.0|512|20110414|allocated", "refused"),
        ("apnic|CN|ipv6|2001:db8::1|32|20110414|allocated", "refused"),
        ("apnic|CN|ipv6|2001:db8::|129|20110414|allocated", "refused"),
        ("apnic|CN|ipx|1|2|3|allocated", "refused"),
        ("apnic|CN", "refused"),
    ] {
        check(delegated, text, expected);
    }
}

#[test]
fn tables_of_ranges() {
    for (text, expected) in [
        ("# comment", "nothing"),
        ("3221225984,3221226239,DE", "192.0.2.0/24 DE"),
        ("\"3221225984\",\"3221226239\",\"DE\",\"Germany\"", "192.0.2.0/24 DE"),
        ("192.0.2.0,192.0.2.255,ZZ", "nothing"),
        ("192.0.2.0,192.0.2.255,??", "nothing"),
        ("192.0.2.0,192.0.2.255,-", "nothing"),
        ("2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,DE", "2001:db8::/32 DE"),
        ("281473902969344,281473902969599,DE", "192.0.2.0/24 DE"),
        ("192.0.2.9,192.0.2.1,DE", "refused"),
        ("192.0.2.9,2001:db8::,DE", "refused"),
        ("1,2", "refused"),
        (",,DE", "refused"),
        ("+1,2,DE", "refused"),
        ("1,340282366920938463463374607431768211456,DE", "refused"),
        ("1,2,DEU", "refused"),
    ] {
        check(ranges, text, expected);
    }
}

fn read(layout: Layout, text: &str) -> String {
    let mut reader = Reader::new(layout, 3);
    let pushed = text.as_bytes().chunks(7).try_for_each(|part| reader.push(part));
    match pushed.and_then(|()| reader.finish()) {
        Ok(countries) => {
            let table = countries.build();
            let rows: Vec<String> = table.iter().map(|(r, c)| format!("{r} {c}")).collect();
            rows.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn whole_tables() {
    let germany = Layout::Zone("DE".parse().unwrap());
    assert_eq!(read(germany, "192.0.2.0/24\r\n2001:db8::/32"), "192.0.2.0/24 DE 2001:db8::/32 DE");
    assert_eq!(read(Layout::Auto, "#\n192.0.2.0,192.0.2.3,US\n"), "192.0.2.0/30 US");
    assert_eq!(
        read(Layout::Auto, "2|arin|1\narin|US|ipv4|192.0.2.0|4|1|allocated"),
        "192.0.2.0/30 US"
    );
    assert_eq!(read(germany, ""), "the list is empty; check the address");
    assert!(read(germany, "<html>").contains("web page"));
    assert!(read(Layout::Auto, "hello\n").contains("none of the 1 lines"));
    let four = "1,1,DE\n3,3,DE\n5,5,DE\n7,7,DE\n";
    assert!(read(Layout::Auto, four).contains("more than 3 ranges"));
}
