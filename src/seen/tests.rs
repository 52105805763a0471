use super::bucket::ROOM;
use super::*;
use crate::time::Span;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn seen(buckets: u16) -> Seen {
    Seen::new("test", buckets, [1; 16])
}

/// What a store of this worker's holds: the values of the buckets.
fn values(seen: &Seen) -> Vec<Vec<u8>> {
    let own = seen.own.as_ref().unwrap();
    (0..seen.buckets).filter_map(|at| Some(seen.bucket(at).read(own)?.0)).collect()
}

#[test]
fn each_identifier_is_new_once() {
    let mut seen = seen(4);
    let mut note = |parts: &[&[u8]], now| seen.note(parts, Lifetime::of(at(100)), None, at(now));
    assert_eq!(note(&[b"a", b"1"], 10), Noted::New);
    assert_eq!(note(&[b"a", b"1"], 11), Noted::Again);
    assert_eq!(note(&[b"a1", b""], 11), Noted::New, "other parts of the same text");
    assert_eq!(note(&[b"b", b"1"], 11), Noted::New);
    assert_eq!(note(&[b"a", b"1"], 99), Noted::Again);
    assert_eq!(note(&[b"a", b"1"], -500), Noted::Again, "the clock was set back");
    assert!(seen.knows(&[b"a", b"1"], None) && !seen.knows(&[b"a", b"2"], None));
    assert_eq!(
        Seen::new("none", 0, [1; 16]).note(&[b"a"], Lifetime::of(at(9)), None, at(1)),
        Noted::Failed
    );
}

#[test]
fn what_was_forgotten_is_never_new() {
    const LAST: i64 = 10_000;
    let mut seen = seen(1);
    let mut note =
        |number: i64, lifetime, now| seen.note(&[&number.to_be_bytes()], lifetime, None, at(now));
    for number in 0..LAST {
        assert_eq!(note(number, Lifetime::of(at(1000 + number)), 0), Noted::New, "{number}");
    }
    for number in 0..LAST {
        let end = at(1000 + number);
        assert_eq!(note(number, Lifetime::of(end), 0), Noted::Again, "{number}");
        // It would be remembered longer now.
        let longer = Lifetime { until: at(100_000), ..Lifetime::of(end) };
        assert_eq!(note(number, longer, 0), Noted::Again, "{number}");
    }
    // The clock jumps ahead, everything ends, and it is set right again.
    assert_eq!(note(-1, Lifetime::of(at(2_000_000)), 1_000_000), Noted::New);
    assert_eq!(note(LAST - 1, Lifetime::of(at(999 + LAST)), 0), Noted::Again);
    assert_eq!(note(LAST, Lifetime::of(at(1016 + LAST)), 0), Noted::New, "later ones are taken");
    assert!(values(&seen).iter().all(|value| value.len() < 40), "all but two are gone");
}

/// 100,000 a minute, each remembered for ten minutes: 32 of the 1,024 buckets get their part.
/// Each is refused when it comes again, early or late, and memory is bounded.
#[test]
fn a_busy_proxy_remembers_all_of_ten_minutes() {
    const MINUTE: i64 = 100_000 / 32;
    let mut seen = seen(32);
    let time = |number: i64| UnixTime::from_millis(1_800_000_000_000 + number * 60_000 / MINUTE);
    let mut note = |number: i64, now: i64| {
        let until = time(number).plus(Span::from_secs(600));
        seen.note(&[&number.to_be_bytes()], Lifetime::of(until), None, time(now))
    };
    for number in 0..13 * MINUTE {
        assert_eq!(note(number, number), Noted::New, "{number}");
        for old in
            [number - 2 * MINUTE, number - 10 * MINUTE + 1].into_iter().filter(|old| *old >= 0)
        {
            if number % 16 == 0 {
                assert_eq!(note(old, number), Noted::Again, "{old} after {number}");
            }
        }
    }
    let values = values(&seen);
    let largest = values.iter().map(Vec::len).max().unwrap();
    let mean = values.iter().map(Vec::len).sum::<usize>() / 32;
    assert!(largest <= ROOM * 8 + 600 && (8000..9000).contains(&mean), "{largest}, {mean}");
}

#[test]
fn one_is_known_after_200_000_others() {
    let mut seen = seen(1024);
    let now = at(1_800_000_000);
    let mut note = |number: u32| {
        let lifetime = Lifetime::of(now.plus(Span::from_secs(600)));
        seen.note(&[&number.to_be_bytes()], lifetime, None, now)
    };
    assert!((0..200_001).all(|number| note(number) == Noted::New));
    assert!((0..500).chain(199_500..200_001).all(|number| note(number) == Noted::Again));
}

/// Ten times as many as there is room for: none passes twice, and what is kept stays small.
#[test]
fn above_its_capacity_nothing_passes_twice() {
    let mut seen = seen(4);
    let time = |number: i64| UnixTime::from_millis(1_800_000_000_000 + number * 10);
    let mut note = |number: i64, now: i64| {
        let until = time(number).plus(Span::from_secs(600));
        seen.note(&[&number.to_be_bytes()], Lifetime::of(until), None, time(now))
    };
    let all = 50_000;
    for number in 0..all {
        assert_eq!(note(number, number), Noted::New, "a fresh one is taken: {number}");
    }
    for number in 0..all {
        assert_eq!(note(number, all), Noted::Again, "{number}");
    }
    assert!(values(&seen).iter().all(|value| value.len() <= ROOM * 8 + 600));
}

/// The host evicts a bucket, or the key: what was recorded by then is not taken for new, and
/// what comes later is.
#[test]
fn what_the_host_has_lost_is_never_new() {
    let mut seen = seen(1);
    let lifetime =
        |made: i64| Lifetime { all_until: at(made + 600), ..Lifetime::of(at(made + 600)) };
    let note = |seen: &mut Seen, id: &[u8], made: i64, now: i64| {
        let lifetime = Lifetime { all_until: at(now + 600), ..lifetime(made) };
        seen.note(&[id], lifetime, None, at(now))
    };
    for lost in ["bucket", "key"] {
        for id in [b"a", b"b", b"c", b"d"] {
            seen.own = None;
            assert_eq!(note(&mut seen, id, 1000, 1000), Noted::New);
            let own = seen.own.as_mut().unwrap();
            own.0.get_mut().retain(|_, (value, _)| {
                !String::from_utf8_lossy(value).contains(&format!("\"{lost}\""))
            });
            seen.suggested = [9; 32];
            assert_eq!(note(&mut seen, id, 1000, 1001), Noted::Again, "{lost}");
            assert_eq!(note(&mut seen, id, 1000, 1599), Noted::Again, "{lost}");
            let mut later = 0_u8..32;
            assert!(later.all(|id| note(&mut seen, &[id], 1616, 1616) == Noted::New), "{lost}");
            assert_eq!(note(&mut seen, &[3], 1616, 1700), Noted::Again, "{lost}");
        }
    }
}

/// Two workers begin at once, each with a key of its own: they use one.
#[test]
fn workers_agree_on_a_key() {
    let store = Own::default();
    let mut workers = [[1; 16], [2; 16]].map(|seed| Seen::new("test", 4, seed));
    workers.iter().for_each(|worker| worker.share(&store));
    let [one, two] = &mut workers;
    for id in 0_u8..64 {
        let lifetime = Lifetime::of(at(100));
        assert_eq!(one.note(&[&[id]], lifetime, Some(&store), at(1)), Noted::New);
        assert_eq!(two.note(&[&[id]], lifetime, Some(&store), at(1)), Noted::Again);
    }
}

#[test]
fn odd_values_are_no_buckets() {
    let tag = [7; 4];
    let mut bucket = Bucket::lost(tag, at(0));
    assert_eq!(bucket.note([3; 8], Lifetime::of(at(100)), at(1)), Noted::New);
    let value = bucket.encode();
    let read = Bucket::read(&value, tag).unwrap();
    assert!(read.has([3; 8]) && !read.has([4; 8]));
    assert_eq!(read.encode(), value);
    assert_eq!(Bucket::read(&value, [8; 4]), None, "another key's");
    for length in (0..value.len()).filter(|length| ![8].contains(length)) {
        assert_eq!(Bucket::read(&value[..length], tag), None, "{length}");
    }
}
