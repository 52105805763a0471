//! Workers that interrupt each other at every step, and die there.

#![allow(clippy::arithmetic_side_effects)] // on counts of the test's own

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;

use super::super::change::{Effect, Source};
use super::super::entry::Entry;
use super::*;

/// Two to three lines.
const CHEAP: usize = 70;

/// All steps that are left.
const REST: usize = usize::MAX;

#[derive(Debug, Default)]
struct Host {
    values: HashMap<String, (Vec<u8>, u32)>,
    /// Who takes how many steps next; who is not in it is dead.
    plan: Vec<(usize, usize)>,
    /// Larger values do not fit.
    room: Option<usize>,
    /// Acknowledged.
    done: BTreeSet<String>,
}

/// The host's store, as one worker sees it: each call is a step.
#[derive(Clone, Debug)]
struct Store {
    host: Arc<(Mutex<Host>, Condvar)>,
    worker: usize,
}

/// Whom the plan does not stop.
const FREE: usize = usize::MAX;

impl Store {
    fn new() -> Self {
        Self { host: Arc::default(), worker: FREE }
    }

    fn of(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// `None` for a dead worker.
    fn step<T>(&self, act: impl FnOnce(&mut Host) -> T) -> Option<T> {
        let (host, changed) = &*self.host;
        let mut host = host.lock().unwrap();
        if self.worker == FREE {
            return Some(act(&mut host));
        }
        loop {
            let own = host.plan.iter().position(|(worker, _)| *worker == self.worker)?;
            if own == 0 {
                break;
            }
            host = changed.wait(host).unwrap();
        }
        let result = act(&mut host);
        host.plan[0].1 -= 1;
        if host.plan[0].1 == 0 {
            host.plan.remove(0);
        }
        changed.notify_all();
        Some(result)
    }

    /// The worker has nothing more to do.
    fn end(&self) {
        let (host, changed) = &*self.host;
        host.lock().unwrap().plan.retain(|(worker, _)| *worker != self.worker);
        changed.notify_all();
    }

    fn with<T>(&self, act: impl FnOnce(&mut Host) -> T) -> T {
        act(&mut self.host.0.lock().unwrap())
    }

    fn value(&self, kind: &str) -> Option<(String, Vec<u8>)> {
        self.with(|host| {
            let mut found = host.values.iter().filter(|(key, _)| key.contains(kind));
            found.next().map(|(key, (value, _))| (key.clone(), value.clone()))
        })
    }

    /// Bytes of lines in the tail.
    fn tail(&self) -> usize {
        ChangeLog::new(&json!(1)).read_tail(&self.of(FREE)).unwrap().lines.len()
    }
}

impl Host {
    fn put(&mut self, key: &str, value: &[u8]) -> bool {
        let fits = self.room.is_none_or(|room| value.len() <= room);
        if fits {
            let version = self.values.get(key).map_or(0, |(_, version)| *version);
            self.values.insert(key.to_owned(), (value.to_vec(), version + 1));
        }
        fits
    }
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.step(|host| host.values.get(key).cloned())?
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        self.step(|host| !host.values.contains_key(key) && host.put(key, value)).unwrap_or(false)
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let write = |host: &mut Host| {
            let current = host.values.get(key).map(|(_, version)| *version);
            version.is_none_or(|version| Some(version) == current) && host.put(key, value)
        };
        self.step(write).unwrap_or(false)
    }

    fn cheap_bytes(&self) -> usize {
        CHEAP
    }
}

fn change(name: &str) -> Change {
    let entry = Entry::read(&json!({ "sub": name })).unwrap();
    Change { entry, source: Source::Here, effect: Effect::Add }
}

/// A worker and the names that it has read, each once.
struct Worker {
    log: ChangeLog,
    known: Vec<String>,
}

impl Worker {
    fn new() -> Self {
        Self { log: ChangeLog::new(&json!(1)), known: Vec::new() }
    }

    /// One that knows what is there.
    fn at(store: &Store) -> Self {
        let mut worker = Self::new();
        worker.read(&store.of(FREE)).unwrap();
        worker
    }

    fn read(&mut self, store: &dyn SharedStore) -> Option<Tail> {
        let delta = self.log.read(store)?;
        if delta.whole && !delta.lost {
            self.known.clear();
        }
        for change in delta.changes {
            let name = change.entry.value;
            assert!(delta.lost || !self.known.contains(&name), "{name} comes twice");
            self.known.push(name);
        }
        Some(delta.tail)
    }

    fn add(&mut self, store: &Store, name: &str) {
        self.add_by(store, store, name);
    }

    /// Adds a name to the store as it is seen by `view`.
    fn add_by(&mut self, view: &dyn SharedStore, store: &Store, name: &str) {
        while let Some(tail) = self.read(view) {
            if self.log.append(view, tail, &[change(name)]) {
                self.acknowledge(view, store, name);
                return;
            }
            if store.with(|host| host.room.is_some()) {
                return;
            }
        }
    }

    /// Writes everything that it knows anew, and a name.
    fn rewrite_by(&mut self, view: &dyn SharedStore, store: &Store, name: &str) {
        while let Some(tail) = self.read(view) {
            let known = self.known.iter().map(String::as_str).chain([name]);
            if self.log.rewrite(view, &tail, &known.map(change).collect::<Vec<_>>()) {
                self.acknowledge(view, store, name);
                return;
            }
        }
    }

    fn acknowledge(&mut self, view: &dyn SharedStore, store: &Store, name: &str) {
        self.known.push(name.to_owned());
        store.with(|host| host.done.insert(name.to_owned()));
        self.log.fold(view);
    }

    fn knows(&self, names: &BTreeSet<String>) -> bool {
        names.iter().all(|name| self.known.contains(name))
    }
}

/// What a worker does.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Revokes, and moves the lines of a long tail.
    Add,
    Rewrite,
    /// Reads everything, for it has just started.
    Start,
    /// Reads what was added.
    Read,
}

impl Act {
    const ALL: [Self; 4] = [Self::Add, Self::Rewrite, Self::Start, Self::Read];

    /// Does it in the store as it is seen by `view`; false if nothing could be read.
    fn run(self, view: &dyn SharedStore, store: &Store, name: &str, mut worker: Worker) -> bool {
        let before = store.with(|host| host.done.clone());
        match self {
            Self::Add => worker.add_by(view, store, name),
            Self::Rewrite => worker.rewrite_by(view, store, name),
            Self::Start | Self::Read => {
                if matches!(self, Self::Start) {
                    worker = Worker::new();
                }
                let can_read = worker.read(view).is_some();
                assert!(!can_read || worker.knows(&before), "{:?} of {before:?}", worker.known);
                return can_read;
            }
        }
        true
    }
}

/// The store as seen by a worker that is interrupted after some steps, and may die there.
struct Interrupted<'a> {
    store: &'a Store,
    left: Cell<usize>,
    then: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
    dies: bool,
}

impl<'a> Interrupted<'a> {
    fn new(store: &'a Store, left: usize, dies: bool, then: Box<dyn FnOnce() + 'a>) -> Self {
        Self { store, left: Cell::new(left), then: RefCell::new(Some(then)), dies }
    }

    /// False for a dead worker.
    fn step(&self) -> bool {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => {
                let then = self.then.borrow_mut().take();
                then.into_iter().for_each(|then| then());
            }
        }
        !self.dies || self.then.borrow().is_some()
    }
}

impl fmt::Debug for Interrupted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl SharedStore for Interrupted<'_> {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.step().then(|| self.store.read(key)).flatten()
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        self.step() && self.store.create(key, value)
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.step() && self.store.write(key, value, version)
    }

    fn cheap_bytes(&self) -> usize {
        CHEAP
    }
}

/// How the list is when it begins: some lines, and what a worker left that died.
fn beginnings() -> Vec<(&'static str, Store)> {
    let filled = |count: usize| {
        let store = Store::new();
        let mut worker = Worker::new();
        worker.log.prepare(&store);
        (0..count).for_each(|n| worker.add(&store, &format!("n{n}")));
        store
    };
    // After so many steps of what one more worker does.
    let died = |store: Store, act: Act, steps: usize| {
        let worker = Worker::at(&store);
        store.with(|host| host.plan = vec![(7, steps)]);
        act.run(&store.of(7), &store, "late", worker);
        store
    };
    let rewritten = filled(4);
    Worker::at(&rewritten).rewrite_by(&rewritten, &rewritten, "x");
    vec![
        ("nothing", filled(0)),
        ("a short tail", filled(1)),
        ("a tail that is almost long", filled(2)),
        ("a long tail, never moved", died(filled(2), Act::Add, 2)),
        ("lines in both", died(filled(2), Act::Add, 5)),
        ("a base", filled(3)),
        ("a base, and a tail that is almost long", filled(5)),
        ("a base, and a long tail", died(filled(5), Act::Add, 2)),
        ("a base, and lines in both", died(filled(5), Act::Add, 5)),
        ("rewritten", rewritten),
        ("rewritten, and the old base", died(filled(5), Act::Rewrite, 2)),
        ("rewritten, and no base", died(filled(5), Act::Rewrite, 5)),
        ("rewritten, and lines in both", died(filled(5), Act::Rewrite, 8)),
    ]
}

/// A store with the same in it.
fn copy(begin: &Store) -> Store {
    let store = Store::new();
    let (values, done) = begin.with(|host| (host.values.clone(), host.done.clone()));
    store.with(|host| (host.values, host.done) = (values, done));
    store
}

/// Nothing that was acknowledged is lost, and whoever comes next finishes what was left.
fn check(case: &str, store: &Store, mut follower: Worker) {
    let names = store.with(|host| host.done.clone());
    follower.read(store).expect(case);
    assert!(follower.knows(&names), "{case}: {:?}, not {names:?}", follower.known);
    let started = Worker::at(store);
    assert_eq!(started.known.len(), follower.known.len(), "{case}");
    follower.add(store, "last");
    assert!(store.tail() < CHEAP, "{case}: finished");
    assert!(Worker::at(store).knows(&store.with(|host| host.done.clone())), "{case}");
}

/// More than any of them takes when it is alone.
const STEPS: usize = 12;

/// One worker is interrupted by the others, the second one by the third; each of the first two
/// may die there.
fn interrupt(case: &str, begin: &Store, acts: [Act; 3], at: [usize; 2], dies: [bool; 2]) {
    let case = format!("{case}: {acts:?}, interrupted at {at:?}, and dies: {dies:?}");
    let store = copy(begin);
    let follower = Worker::at(&store);
    let [one, two, three] = acts.map(|act| (act, Worker::at(&store)));
    let case = &case;
    let store = &store;
    let third = Box::new(move || {
        let can_read = three.0.run(store, store, "three", three.1);
        assert!(can_read, "{case}");
    });
    let second = Box::new(move || {
        let second = Interrupted::new(store, at[1], dies[1], third);
        let can_read = two.0.run(&second, store, "two", two.1);
        assert!(can_read || dies[1], "{case}");
    });
    let first = Interrupted::new(store, at[0], dies[0], second);
    let can_read = one.0.run(&first, store, "one", one.1);
    assert!(can_read || dies[0], "{case}");
    drop(first);
    check(case, store, follower);
}

#[test]
fn workers_interrupt_each_other_at_each_step() {
    for (case, begin) in beginnings() {
        for one in Act::ALL {
            for two in Act::ALL {
                for first in 0..STEPS {
                    let third = if first % 2 == 0 { Act::Start } else { Act::Add };
                    // The second one is not interrupted, or dies somewhere.
                    for second in [REST, first % 5, first % 7] {
                        for dies in [[false, false], [true, false], [true, true], [false, true]] {
                            interrupt(case, &begin, [one, two, third], [first, second], dies);
                        }
                    }
                }
            }
        }
    }
}

/// Two writers of which each goes on while the other one waits, and somebody who reads.
#[test]
fn two_writers_take_turns() {
    let acts = [Act::Add, Act::Rewrite];
    for (case, begin) in beginnings().into_iter().filter(|(case, _)| case.contains("both")) {
        for (one, two) in acts.into_iter().flat_map(|one| acts.map(|two| (one, two))) {
            for (first, second) in (1..6).flat_map(|a| (1..6).map(move |b| (a, b))) {
                let store = copy(&begin);
                let plan = vec![(0, first), (1, second), (2, 1), (0, REST), (2, REST), (1, REST)];
                let case = format!("{case}: {one:?}, {two:?} by {plan:?}");
                store.with(|host| host.plan = plan);
                let follower = Worker::at(&store);
                thread::scope(|scope| {
                    for (id, act) in [one, two, Act::Start].into_iter().enumerate() {
                        let (worker, store) = (Worker::at(&store), store.clone());
                        scope.spawn(move || {
                            let view = store.of(id);
                            let can_read = act.run(&view, &store, &format!("of-{id}"), worker);
                            view.end();
                            assert!(can_read, "{act:?}");
                        });
                    }
                });
                check(&case, &store, follower);
            }
        }
    }
}

#[test]
fn lines_that_are_known_are_not_read_again() {
    let store = Store::new();
    let (mut writer, mut reader) = (Worker::new(), Worker::new());
    writer.log.prepare(&store);
    for n in 0..40 {
        writer.add(&store, &format!("n{n}"));
        let delta = reader.log.read(&store).unwrap();
        assert_eq!((delta.whole, delta.changes.len()), (n == 0, 1), "{n}");
        // Every other one has missed some, and reads only these.
        let mut late = Worker::at(&store);
        writer.add(&store, &format!("a{n}"));
        writer.add(&store, &format!("b{n}"));
        writer.add(&store, &format!("c{n}"));
        let delta = late.log.read(&store).unwrap();
        assert_eq!((delta.whole, delta.changes.len()), (false, 3), "{n}");
        assert_eq!(reader.log.read(&store).unwrap().changes.len(), 3, "{n}");
        assert_eq!(late.log.lines(), reader.log.lines());
    }
    assert!(store.value("tokens-base").unwrap().1.len() > 100 * 20);
    assert!(store.tail() < CHEAP);
}

#[test]
fn without_room_for_a_base_the_tail_grows() {
    for (case, prepare) in [
        ("no room", (|store: &Store| store.with(|host| host.room = Some(400))) as fn(&Store)),
        ("the place of something else", |store| {
            let base = ChangeLog::new(&json!(1));
            base.base.create(store, b"0\n");
            let (key, _) = store.value("tokens-base").unwrap();
            store.with(|host| host.values.insert(key, (b"other".to_vec(), 1)));
        }),
    ] {
        let store = Store::new();
        let mut writer = Worker::new();
        writer.log.prepare(&store);
        prepare(&store);
        for n in 0..60 {
            writer.add(&store, &format!("n{n}"));
        }
        let names = store.with(|host| host.done.clone());
        assert!(Worker::at(&store).knows(&names), "{case}");
        if case == "no room" {
            assert!((8..60).contains(&names.len()), "{case}: {}", names.len());
            store.with(|host| host.room = None);
            (0..60).for_each(|n| writer.add(&store, &format!("m{n}")));
            assert!(store.tail() < 2 * CHEAP, "{case}: with room again");
            assert!(Worker::at(&store).knows(&store.with(|host| host.done.clone())));
        } else {
            assert_eq!(names.len(), 60, "{case}");
        }
    }
}

#[test]
fn what_the_host_lost_stays_with_those_who_know_it() {
    let filled = || {
        let store = Store::new();
        let mut writer = Worker::new();
        writer.log.prepare(&store);
        (0..12).for_each(|n| writer.add(&store, &format!("n{n}")));
        (store, writer)
    };
    let lose = |store: &Store, kind: &str| {
        store.with(|host| host.values.retain(|key, _| !key.contains(kind)));
    };
    // The base: whoever starts cannot read, until somebody who can writes everything anew.
    let (store, mut writer) = filled();
    lose(&store, "tokens-base");
    assert!(Worker::new().read(&store).is_none(), "nobody takes a part for the whole");
    while !writer.log.is_torn() {
        writer.add(&store, &format!("more-{}", writer.known.len()));
    }
    writer.rewrite_by(&store, &store, "anew");
    assert!(!writer.log.is_torn());
    assert!(Worker::at(&store).knows(&store.with(|host| host.done.clone())));
    // The tail, or all: what is there now is another list.
    for kind in ["tokens-list", "tokens"] {
        let (store, mut writer) = filled();
        lose(&store, kind);
        assert!(writer.read(&store).is_none(), "{kind}");
        Worker::new().log.prepare(&store);
        assert!(Worker::at(&store).known.is_empty(), "{kind}: an old base is no part of it");
        let mut other = Worker::at(&store);
        (0..9).for_each(|n| other.add(&store, &format!("new-{n}")));
        assert!(Worker::at(&store).knows(&other.known.iter().cloned().collect()), "{kind}");
        if kind == "tokens" {
            assert!(writer.read(&store).is_some());
            assert!(writer.known.len() >= 12, "{kind}: {:?}", writer.known);
        }
    }
}

#[test]
fn workers_of_a_version_without_bases_read_what_they_can() {
    // As that version read the first line.
    let reads = |store: &Store| {
        let (_, value) = store.value("tokens-list").unwrap();
        let text = String::from_utf8(value).unwrap();
        text.lines().nth(1).unwrap().parse::<u64>().ok()
    };
    let store = Store::new();
    let mut writer = Worker::new();
    writer.log.prepare(&store);
    assert_eq!(reads(&store), Some(0));
    writer.add(&store, "a");
    assert_eq!(reads(&store), Some(0), "additions to a short list");
    (0..9).for_each(|n| writer.add(&store, &format!("n{n}")));
    assert_eq!(reads(&store), None, "a part of the list");
    // A list that such a worker wrote, in one value.
    let (key, value) = store.value("tokens-list").unwrap();
    let name = value.split(|byte| *byte == b'\n').next().unwrap();
    let mut lines = Vec::new();
    (0..50).for_each(|n| push_lines(&mut lines, &[change(&format!("old-{n}"))]));
    let value = [name, b"\n7\n", &lines].concat();
    store.with(|host| {
        host.values.insert(key, (value, 99));
        host.done = (0..50).map(|n| format!("old-{n}")).collect();
    });
    let mut next = Worker::at(&store);
    next.add(&store, "new");
    assert!(store.tail() < CHEAP);
    assert!(Worker::at(&store).knows(&store.with(|host| host.done.clone())));
}
