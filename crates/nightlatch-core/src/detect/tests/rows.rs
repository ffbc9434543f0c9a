//! What is kept on disk.

use std::collections::BTreeMap;

use super::*;

const GUEST: &str = "198.51.100.66";

#[test]
fn counts_sessions_evidence_and_attacks_survive_a_restart() {
    let mut bench = Bench::new();
    let mut stored = BTreeMap::new();
    let settings = Settings::default();
    bench.see(&success(GUEST, -DAY, "200"));
    for n in 0..4 {
        assert_eq!(bench.see(&wrong(GUEST, n, "root").ssh().session(&format!("s{n}"))), []);
        bench.restart(&mut stored, &settings);
        // The other file says the same.
        assert_eq!(bench.see(&wrong(GUEST, n, "root").ssh().session(&format!("s{n}"))), []);
    }
    let found = bench.see(&wrong(GUEST, 4, "root").ssh());
    assert_eq!(one_attack(&found).trusted_since, Some(second(-DAY)));
    assert_eq!(one_attack(&found).evidence.attempts, 5);
    bench.restart(&mut stored, &settings);
    assert_eq!(bench.pass(2000).len(), 1, "the attack ended");
    assert_eq!(bench.see(&wrong(GUEST, 5, "root").ssh()), [], "what was judged counts no more");
}

#[test]
fn only_what_changed_is_written() {
    let mut bench = Bench::new();
    bench.all((0..100).map(|n| wrong(&format!("192.0.2.{n}"), 0, "root").ssh()));
    let first = bench.judge.save();
    assert!(first.whole && first.rows.len() == 101, "{first:?}");
    assert_eq!(bench.judge.save(), Saved::default());
    bench.see(&wrong("192.0.2.7", 1, "root").ssh());
    let second = bench.judge.save();
    assert_eq!((second.whole, second.rows.len(), second.removed.len()), (false, 1, 0));
    // A phone that registers every minute is not written every minute.
    bench.all((0..60).map(|n| success("192.0.2.7", n, "204")));
    assert_eq!(bench.judge.save().rows.len(), 1);
    bench.all((60..120).map(|n| success("192.0.2.7", n, "204")));
    assert_eq!(bench.judge.save().rows.len(), 0);
    // A disk that was full.
    bench.judge.unsaved();
    let again = bench.judge.save();
    assert!(again.whole && again.rows.len() == 101);
    bench.pass(8 * DAY);
    assert_eq!(bench.judge.save().removed.len(), 100, "what is old is removed from the disk too");
}

#[test]
fn rows_that_are_not_understood_are_left_out_and_counted() {
    let mut bench = Bench::new();
    bench.all((0..4).map(|n| wrong(GUEST, n, "root").ssh()));
    bench.all((0..4).map(|n| success("2001:db8::7", n, "204")));
    let mut stored = BTreeMap::new();
    store(bench.judge.save(), &mut stored);
    let good = stored.len();
    let rows: Vec<_> = stored.clone().into_iter().collect();
    for (key, body) in &rows {
        for cut in 0..body.len() {
            let mut judge = Judge::new(Settings::default(), [1; 16]);
            let _ = judge.load([(key.as_slice(), &body[..cut])]);
            let mut long = body.clone();
            long.push(1);
            assert!(judge.load([(key.as_slice(), long.as_slice())]).is_err());
        }
    }
    stored.insert(b"newer".to_vec(), vec![2, 0]);
    stored.insert(vec![4, 0, 0, 0, 0, 1, 2, 3, 4], vec![2, 0]);
    let mut judge = Judge::new(Settings::default(), [1; 16]);
    let rows = stored.iter().map(|(key, body)| (key.as_slice(), body.as_slice()));
    let error = judge.load(rows).unwrap_err();
    assert_eq!(error, LoadError { rows: good + 2, unknown: 2 });
    assert!(error.to_string().starts_with("2 of "));
    bench.judge = judge;
    one_attack(&bench.see(&wrong(GUEST, 4, "root").ssh()));
}

proptest::proptest! {
    #[test]
    fn no_row_does_harm(
        key in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..12),
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
    ) {
        let mut bench = Bench::new();
        let mut known = vec![1];
        known.extend(&body);
        let mut source = vec![4, 0, 0, 0, 0, 198, 51, 100, 66];
        let _ = bench.judge.load([
            (key.as_slice(), body.as_slice()),
            (b"all".as_slice(), known.as_slice()),
            (source.as_slice(), known.as_slice()),
        ]);
        // A row with the right shape and any content.
        let mut row = vec![1];
        row.extend(body.iter().chain(&tail).chain(&[0; 400]).take(52));
        row.extend([0, 0, 0, 0]);
        source[8] = 67;
        let _ = bench.judge.load([(source.as_slice(), row.as_slice())]);
        for address in ["198.51.100.66", "198.51.100.67"] {
            bench.all((0..4).map(|n| wrong(address, n, "204")));
            bench.see(&success(address, 5, "204"));
        }
        bench.pass(0);
        let _ = bench.judge.save();
    }
}
