//! A summary as a picture.

use nightlatch_core::detect::{Bin, Summary};

use super::svg::{Anchor, Svg};
use super::wording::summary as wording;
use crate::features::places::Places;
use crate::shell::screen::grouped;

const WIDTH: u32 = 760;
/// Where the bars stand.
const LEFT: u32 = 64;
const RIGHT: u32 = 744;
/// The upper and the lower edge of the bars of attempts, and of those of bans.
const ATTEMPTS: (u32, u32) = (92, 232);
const BANS: (u32, u32) = (288, 358);
/// Where the lists begin, and how far their rows are apart.
const LISTS: u32 = 412;
const ROW: u32 = 22;
/// The left edge of each list, and where its counts end.
const COLUMNS: [(u32, u32); 3] = [(16, 300), (316, 560), (576, 744)];
/// The longest names of each list, in characters.
const NAMES: [usize; 3] = [30, 22, 14];

/// Readable on light and on dark ground, by colours that differ in lightness too.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}\
.head{font-size:18px;font-weight:600}.list{font-weight:600}\
.small{font-size:11px;fill:#57606a}\
.ground{fill:#ffffff}.grid{stroke:#d0d7de}.share{fill:#ddf4ff}\
.attempts{fill:#0969da}.bans{fill:#9a3412}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.small{fill:#9198a1}\
.ground{fill:#0d1117}.grid{stroke:#3d444d}.share{fill:#12304f}\
.attempts{fill:#58a6ff}.bans{fill:#ffa657}}";

/// The picture as SVG.
pub(super) fn svg(summary: &Summary, places: &Places) -> String {
    let lists = wording::lists(summary, places);
    let rows = lists.iter().map(|list| list.rows.len()).max().unwrap_or(0).max(1);
    let height = LISTS + ROW * u32::try_from(rows).unwrap_or(0) + 40;
    let title = wording::title(summary);
    let mut svg = Svg::new((WIDTH, height), &title, &wording::description(summary, places), STYLE);
    svg.rectangle("ground", (0, 0), (WIDTH, height), "");
    svg.text("head", (16, 30), Anchor::Start, &title);
    svg.text("small", (16, 50), Anchor::Start, &wording::times(summary));
    chart(&mut svg, summary, ATTEMPTS, "attempts", |bin| bin.attempts);
    chart(&mut svg, summary, BANS, "bans", |bin| bin.bans);
    for ((list, (left, right)), longest) in lists.iter().zip(COLUMNS).zip(NAMES) {
        svg.text("list", (left, LISTS), Anchor::Start, list.title);
        let most = list.rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let mut y = LISTS + ROW;
        for (name, count) in &list.rows {
            let width = scaled(*count, most, right - left);
            svg.rectangle("share", (left, y - 15), (width, ROW - 2), "");
            svg.text("", (left + 4, y), Anchor::Start, &cut(name, longest));
            svg.text("", (right - 4, y), Anchor::End, &grouped((*count).into()));
            y += ROW;
        }
        if list.rows.is_empty() {
            svg.text("small", (left, y), Anchor::Start, wording::NONE);
        }
    }
    svg.text("small", (16, height - 12), Anchor::Start, &wording::remark(summary));
    svg.finish()
}

/// Bars between an upper and a lower edge, as high as their counts.
fn chart(
    svg: &mut Svg,
    summary: &Summary,
    (top, bottom): (u32, u32),
    class: &str,
    count: fn(&Bin) -> u64,
) {
    let most = summary.bins.iter().map(count).max().unwrap_or(0);
    svg.text("list", (16, top - 14), Anchor::Start, wording::chart(class));
    svg.line("grid", (LEFT, bottom), (RIGHT, bottom));
    svg.text("small", (LEFT - 8, bottom + 4), Anchor::End, "0");
    if most > 0 {
        svg.line("grid", (LEFT, top), (RIGHT, top));
        svg.text("small", (LEFT - 8, top + 4), Anchor::End, &grouped(most.into()));
    }
    let bins = u32::try_from(summary.bins.len()).unwrap_or(0).max(1);
    let wide = (RIGHT - LEFT) / bins;
    let gap = (wide / 6).max(2);
    let every = bins.div_ceil(8);
    for (number, bin) in (0..).zip(&summary.bins) {
        let left = LEFT + number * wide;
        let counted = count(bin);
        if counted > 0 {
            // One attempt is seen beside a million.
            let height = scaled(counted, most, bottom - top).max(1);
            let meaning = wording::bar(class, bin, counted);
            svg.rectangle(class, (left + gap / 2, bottom - height), (wide - gap, height), &meaning);
        }
        if number % every == 0 {
            let begin = wording::begin(summary.span, bin);
            svg.text("small", (left + wide / 2, bottom + 18), Anchor::Middle, &begin);
        }
    }
}

/// The part of `whole` that `count` is of `most`.
fn scaled(count: u64, most: u64, whole: u32) -> u32 {
    let part = u128::from(count) * u128::from(whole) / u128::from(most.max(1));
    u32::try_from(part).unwrap_or(whole).min(whole)
}

/// A name that fits into its column.
fn cut(name: &str, longest: usize) -> String {
    match name.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use nightlatch_core::detect::{Acts, Hour, Span};
    use nightlatch_core::time::parse_moment;

    use super::*;
    use crate::features::places::Country;

    fn summary(span: Span) -> Summary {
        let now = parse_moment("2026-11-20 09:17").unwrap();
        let last = now.millis() / 3_600_000;
        let row = |sip: u64, ssh: u64| {
            let accounts = [
                (1, "100", sip),
                (2, "<script>&\"'", 3),
                (3, "a name that is as long as anybody may write it", 2),
            ];
            let sources = [(1, "203.0.113.7", sip), (2, "2001:db8:66:1234::/64", ssh)];
            serde_json::json!({
                "services": { "sip": sip, "ssh": ssh }, "sources": sources, "accounts": accounts
            })
        };
        let hour = |sip, ssh| Hour::read(&row(sip, ssh).to_string()).unwrap();
        let hours = BTreeMap::from([
            (last, hour(12, 1)),
            (last - 1, hour(1234, 7)),
            (last - 9, hour(300, 2)),
            (last - 30, hour(3, 0)),
            (last - 100, hour(40, 5)),
        ]);
        let acts = BTreeMap::from([
            (last - 1, Acts { bans: 3, limits: 1 }),
            (last - 30, Acts { bans: 1, limits: 0 }),
        ]);
        Summary::of(span, now, &hours, &acts)
    }

    fn places() -> Places {
        Places::of(vec![Box::new(|address, place| {
            let country = Country { code: "DE".to_owned(), name: Some("Germany") };
            place.country = address.is_ipv4().then_some(country);
        })])
    }

    #[track_caller]
    fn check(name: &str, found: &str) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features/watch/expected").join(name);
        if std::env::var_os("NIGHTLATCH_UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "{} differs from:\n{found}", path.display());
    }

    #[test]
    fn the_same_summary_gives_the_same_picture() {
        check("day.svg", &svg(&summary(Span::Day), &places()));
        check("week.svg", &svg(&summary(Span::Week), &places()));
    }

    #[test]
    fn the_same_in_words() {
        let day = wording::text(&summary(Span::Day), &places()).join("\n");
        let week = wording::text(&summary(Span::Week), &places()).join("\n");
        check("summary.txt", &format!("{day}\n\n{week}\n"));
    }

    #[test]
    fn a_quiet_week_and_the_largest_numbers() {
        let now = parse_moment("2026-11-20 09:17").unwrap();
        let none = Summary::of(Span::Week, now, &BTreeMap::new(), &BTreeMap::new());
        let picture = svg(&none, &places());
        assert!(picture.contains("0 failed attempts") && !picture.contains("class=\"attempts\""));
        let row = serde_json::json!({
            "services": { "sip": u64::MAX, "iax": u64::MAX },
            "sources": [(1, "203.0.113.7", u64::MAX)], "sources_missed": u64::MAX,
        });
        let hour = Hour::read(&row.to_string()).unwrap();
        let last = now.millis() / 3_600_000;
        let hours = BTreeMap::from([(last, hour.clone()), (last - 1, hour)]);
        let acts = BTreeMap::from([(last, Acts { bans: u64::MAX, limits: u64::MAX })]);
        let most = Summary::of(Span::Day, now, &hours, &acts);
        assert!(svg(&most, &places()).contains("18,446,744,073,709,551,615"));
        assert!(!wording::text(&most, &places()).is_empty());
    }
}
