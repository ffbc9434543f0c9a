//! When to try again where the kernel did not take the table.

use std::time::Duration;

/// How many times it is tried again at once: another program may have been at it in the same
/// moment, and until it stands the machine may be open.
const AT_ONCE: u32 = 4;
/// The pause after those, and then each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Up to this: so the table stands again within a second after a neighbour that kept removing it
/// has stopped.
const PAUSE: Duration = Duration::from_millis(500);
/// How often at that pace, half a minute: after that, the obstacle is not another program loading a ruleset.
const HASTY: u32 = 64;
/// How long the pauses are from then on.
pub(super) const CALM_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait after the kernel has failed to take the table `failed` times in a row.
pub(super) fn pause_after(failed: u32) -> Duration {
    match failed.checked_sub(AT_ONCE + 1) {
        None => Duration::ZERO,
        Some(times) if times >= HASTY => CALM_PAUSE,
        Some(times) => FIRST_PAUSE.saturating_mul(1 << times.min(10)).min(PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soon_at_first_and_calmer_then() {
        let check = |failed, millis| {
            assert_eq!(pause_after(failed), Duration::from_millis(millis), "after {failed}");
        };
        for (failed, millis) in
            [(1, 0), (4, 0), (5, 50), (6, 100), (7, 200), (8, 400), (9, 500), (68, 500)]
        {
            check(failed, millis);
        }
        check(69, 5000);
        check(u32::MAX, 5000);
    }

    #[test]
    fn never_more_than_a_few_times_without_a_pause() {
        let hasty = (1..=100).filter(|failed| pause_after(*failed).is_zero());
        assert_eq!(hasty.count(), 4);
    }
}
