//! Columns of console output: the line with the headings shows where they begin.

/// The column that begins at byte `from` and ends before byte `to`; empty if the line is shorter or a
/// boundary is inside a multi-byte character.
pub(super) fn column(line: &str, from: usize, to: usize) -> &str {
    line.get(from..to.min(line.len())).unwrap_or_default()
}

/// The lines below the first line that contains all headings, each with the byte offsets of these
/// headings. Nothing if no line contains them.
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
