//! Columns of a console: where they begin is said by the line with their headings.

/// The column that begins at byte `from` and ends before byte `to`; empty where the line is
/// shorter, or where a letter of several bytes lies across an end.
pub(super) fn column(line: &str, from: usize, to: usize) -> &str {
    line.get(from..to.min(line.len())).unwrap_or_default()
}

/// The lines below the first line that contains every heading, each with the places of these
/// headings in bytes. Nothing where no line has them.
pub(super) fn below<'a, const N: usize>(
    text: &'a str,
    headings: [&str; N],
) -> impl Iterator<Item = (&'a str, [usize; N])> {
    let mut lines = text.lines();
    let places = lines.by_ref().find_map(|line| {
        let mut places = [0; N];
        for (place, heading) in places.iter_mut().zip(headings) {
            *place = line.find(heading)?;
        }
        Some(places)
    });
    lines.filter_map(move |line| Some((line, places?)))
}
