//! The table that is printed, and the figures in it.

use std::time::Duration;

pub(crate) fn head() {
    println!("| figure | old | this version | aim | met |\n|---|---:|---:|---:|---|");
}

/// The upper or lower limit of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    None,
    /// Less than this; in the unit of the row.
    Under(f64),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// Prints a row: what is measured, its unit, decimals, both versions' figures, and the aim.
pub(crate) fn row(
    what: &str,
    (unit, decimals): (&str, usize),
    old: Option<f64>,
    own: Option<f64>,
    aim: Aim,
) {
    let shown = |figure: Option<f64>| {
        figure.map_or("-".to_owned(), |figure| grouped(figure, decimals) + unit)
    };
    let (limit, met) = match aim {
        Aim::None => ("none".to_owned(), None),
        Aim::Under(limit) => (format!("under {}{unit}", grouped(limit, 0)), own.map(|f| f < limit)),
        Aim::AtMost(limit) => {
            (format!("at most {}{unit}", grouped(limit, 0)), own.map(|f| f <= limit))
        }
        Aim::AtLeast(limit) => {
            (format!("at least {}{unit}", grouped(limit, 0)), own.map(|f| f >= limit))
        }
    };
    let met = met.map_or("", |met| if met { "yes" } else { "no" });
    println!("| {what} | {} | {} | {limit} | {met} |", shown(old), shown(own));
}

/// With a comma before each three digits.
fn grouped(figure: f64, decimals: usize) -> String {
    let text = format!("{figure:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.len();
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (digits - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// Milliseconds, with one decimal.
pub(crate) const MS: (&str, usize) = (" ms", 1);

/// Rows of median, 99th percentile and maximum of both versions' samples, in milliseconds; each with
/// its aim, or left out.
pub(crate) fn latencies(
    what: &str,
    old: Vec<Duration>,
    own: Vec<Duration>,
    aims: [Option<Aim>; 3],
) {
    let (old, own) = (sorted(old), sorted(own));
    for ((name, part), aim) in [("median", 0.5), ("p99", 0.99), ("most", 1.0)].iter().zip(aims) {
        if let Some(aim) = aim {
            row(&format!("{what}: {name}"), MS, at(&old, *part), at(&own, *part), aim);
        }
    }
}

fn sorted(mut samples: Vec<Duration>) -> Vec<f64> {
    samples.sort_unstable();
    samples.iter().map(|sample| sample.as_secs_f64() * 1000.0).collect()
}

/// The sample below or at which that part of all samples lies.
fn at(sorted: &[f64], part: f64) -> Option<f64> {
    let numbers = (1..=sorted.len()).zip(sorted);
    let total = sorted.len();
    #[expect(clippy::cast_precision_loss, reason = "there are few samples")]
    numbers.into_iter().find(|(number, _)| *number as f64 >= part * total as f64).map(|(_, s)| *s)
}

/// The median; none of nothing.
pub(crate) fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_unstable_by(f64::total_cmp);
    at(&samples, 0.5)
}
