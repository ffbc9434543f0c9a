//! Which of several names a misspelt one was meant to be.

/// Names longer than this are not compared: the cost grows with the square.
const MAX_LENGTH: usize = 255;

/// The known name that is closest to a misspelt one, in upper or lower case, if it is close enough to be
/// meant: one edit for three letters, at most three. Of several, the first.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(MAX_LENGTH).collect();
    let most = (word.len() / 3).clamp(1, 3);
    let found = known.into_iter().filter_map(|name| {
        let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let fits = letters.len() <= MAX_LENGTH && letters.len().abs_diff(word.len()) <= most;
        let distance = fits.then(|| distance(&word, &letters))?;
        // Nothing in common is no typing error, however short the word.
        (distance <= most && distance < word.len().max(1)).then_some((distance, name))
    });
    found.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many letters have to be added, removed, replaced or exchanged with their neighbour ("optimal string
/// alignment").
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, across) in other.iter().enumerate() {
            let at =
                |costs: &[usize], place: usize| costs.get(place).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column).saturating_add(usize::from(letter != across));
            let added = at(&this, column).saturating_add(1);
            let removed = at(&last, column + 1).saturating_add(1);
            let mut least = replaced.min(added).min(removed);
            let crossed = row.checked_sub(1).and_then(|row| one.get(row)) == Some(across)
                && column.checked_sub(1).and_then(|column| other.get(column)) == Some(letter);
            if crossed && column > 0 {
                least = least.min(at(&before, column - 1).saturating_add(1));
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let known = ["office", "home", "Büro", "webrtc", "web", "sip", "a"];
        for (word, meant) in [
            ("offcie", Some("office")),
            ("ofice", Some("office")),
            ("OFFICE", Some("office")),
            ("officers", Some("office")),
            ("büro", Some("Büro")),
            ("hmoe", Some("home")),
            ("spi", Some("sip")),
            ("wep", Some("web")),
            ("elsewhere", None),
            ("b", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        let long = "x".repeat(100_000);
        assert_eq!(nearest(&long, [long.as_str(), "office"]), None);
    }

    #[test]
    fn distances() {
        let letters = |text: &str| text.chars().collect::<Vec<char>>();
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("office", "offcie", 1),
        ] {
            assert_eq!(distance(&letters(one), &letters(other)), expected, "{one} {other}");
            assert_eq!(distance(&letters(other), &letters(one)), expected, "{other} {one}");
        }
    }
}
