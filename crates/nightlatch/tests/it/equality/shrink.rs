//! Makes a failing state smaller, as long as it still fails.

use super::field::Field;
use super::packets::Case;
use super::state::{State, smaller};

/// How many smaller states are tried.
const TRIES: usize = 200;

pub(super) fn shrink(field: &mut Field, mut state: State, case: Case) -> (State, Case) {
    let mut tries = 0;
    if !fails(field, &mut state, &case) {
        // It hangs on what stood before: then the state as it was says most.
        return (state, case);
    }
    'again: loop {
        for mut less in smaller(&state) {
            tries += 1;
            if tries > TRIES {
                return (state, case);
            }
            if fails(field, &mut less, &case) {
                state = less;
                continue 'again;
            }
        }
        return (state, case);
    }
}

fn fails(field: &mut Field, state: &mut State, case: &Case) -> bool {
    field.set(state, std::slice::from_ref(case), true);
    let verdict = case.judged(state);
    field.try_out(state, case, &verdict).is_err()
}
