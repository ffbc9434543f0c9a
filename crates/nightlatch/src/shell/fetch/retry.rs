//! When to try again.

/// The pause after the first failure, in seconds.
const FIRST: u64 = 60;
/// The longest pause, in seconds: 6 hours.
const LONGEST: u64 = 6 * 3600;

/// Seconds to wait after `failures` failed tries in a row, the last one included: about a minute,
/// doubled by each, at most about 6 hours. `jitter` from 0 to 1 (a random number) moves it by up
/// to a fifth, so that many servers do not ask at the same moment.
pub fn next_try(failures: u32, jitter: f64) -> u64 {
    let doubled = failures.saturating_sub(1).min(20);
    let pause = (FIRST << doubled).min(LONGEST);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a pause of some seconds to some hours"
    )]
    let moved = (pause as f64 * (0.8 + 0.4 * jitter)).round() as u64;
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        let middle: Vec<u64> = (0..=11).map(|failures| next_try(failures, 0.5)).collect();
        assert_eq!(middle, [60, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]);
        assert_eq!(next_try(u32::MAX, 0.5), 21600);
        assert_eq!((next_try(1, 0.0), next_try(1, 1.0)), (48, 72));
        assert_eq!(next_try(1, f64::NAN), 60);
        assert_eq!(next_try(1, -7.0), 48);
    }
}
