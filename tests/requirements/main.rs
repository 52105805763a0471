//! The table of requirements and the tests agree.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod citations;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../requirements.md");

/// The highest number; each up to it occurs once.
const LAST: usize = 86;

/// A test, and a case of its table.
struct Proof<'a> {
    test: &'a str,
    case: Option<&'a str>,
}

struct Requirement<'a> {
    text: &'a str,
    clauses: &'a str,
    proofs: Vec<Proof<'a>>,
}

/// The proofs in a cell: names in backquotes, with the case in quotes behind.
fn proofs(cell: &str) -> Vec<Proof<'_>> {
    let mut proofs = Vec::new();
    let mut rest = cell;
    while let Some((before, after)) = rest.split_once('`') {
        assert!(matches!(before.trim(), "" | ","), "between proofs: {before:?}");
        let (test, after) = after.split_once('`').expect("backquotes pair");
        let quoted = after.trim_start().strip_prefix('"').and_then(|text| text.split_once('"'));
        proofs.push(Proof { test, case: quoted.map(|(case, _)| case) });
        rest = quoted.map_or(after, |(_, rest)| rest);
    }
    assert_eq!(rest.trim(), "", "after the proofs");
    proofs
}

fn requirements() -> BTreeMap<usize, Requirement<'static>> {
    let mut requirements = BTreeMap::new();
    for row in TABLE.lines().filter(|line| line.starts_with("| R")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [id, text, clauses, proved] = cells[..] else { panic!("four cells: {row}") };
        let number = id[1..].parse().unwrap_or_else(|_| panic!("a number: {id}"));
        let requirement = Requirement { text, clauses, proofs: proofs(proved) };
        assert!(requirements.insert(number, requirement).is_none(), "{id} occurs twice");
    }
    requirements
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_WORKSPACE_DIR"))
}

/// The file that a test is in.
fn source(module: &str) -> Option<PathBuf> {
    let places = [("lib::", "src"), ("wasm::", "wasm/src"), ("", "tests")];
    let (directory, module) = places
        .iter()
        .find_map(|(prefix, directory)| Some((directory, module.strip_prefix(prefix)?)))?;
    let path = root().join(directory).join(module.replace("::", "/"));
    let candidates = [path.with_extension("rs"), path.join("main.rs"), path.join("mod.rs")];
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Whether `source` has a test of that name: a function marked as a test, or a
/// scenario.
fn has_test(source: &str, name: &str) -> bool {
    let is_scenario = source.contains(&format!("each_host!({name},"));
    let head = format!("fn {name}()");
    let mut functions = source.match_indices(&head).map(|(at, _)| at);
    let is_marked = |at: usize| {
        let attributes = source[..at].trim_end().trim_end_matches("async").trim_end();
        let line = attributes.lines().last().unwrap_or_default().trim();
        line == "#[test]" || line.starts_with("#[tokio::test")
    };
    is_scenario || functions.any(is_marked)
}

#[test]
fn each_number_has_its_row_and_each_row_its_proof() {
    let requirements = requirements();
    let numbers: Vec<_> = requirements.keys().copied().collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    for (number, Requirement { text, clauses, proofs }) in &requirements {
        assert!(text.len() > 20 && text.ends_with('.'), "R{number:02}: {text:?}");
        assert!(!clauses.is_empty(), "R{number:02} names what it is by");
        assert!(!proofs.is_empty(), "R{number:02} has a test");
    }
}

#[test]
fn each_proof_is_a_test_that_exists() {
    let mut wrong = Vec::new();
    for (number, requirement) in requirements() {
        for Proof { test, case } in requirement.proofs {
            let Some((module, name)) = test.rsplit_once("::") else {
                wrong.push(format!("R{number:02}: {test} has no module"));
                continue;
            };
            let text = source(module).map(|path| fs::read_to_string(path).unwrap());
            let found = text.as_deref().is_some_and(|text| has_test(text, name));
            let has_case = case.is_none_or(|case| {
                text.as_deref().is_some_and(|text| text.contains(&format!("\"{case}\"")))
            });
            if !found {
                wrong.push(format!("R{number:02}: there is no test {test}"));
            } else if !has_case {
                wrong.push(format!("R{number:02}: {test} has no case {case:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test that has a number in its name is in that row.
#[test]
fn numbered_tests_are_in_their_row() {
    let requirements = requirements();
    let source = include_str!("../key_rules.rs");
    let mut count = 0;
    for name in source.split("fn r").skip(1).map(|rest| rest.split('(').next().unwrap()) {
        let Some(number) = name.get(..2).and_then(|digits| digits.parse::<usize>().ok()) else {
            continue;
        };
        let expected = format!("key_rules::r{name}");
        let is_there = requirements[&number].proofs.iter().any(|proof| proof.test == expected);
        assert!(is_there, "{expected} is not in R{number:02}");
        count += 1;
    }
    assert!(count > 10, "{count} found");
}

/// The checks above find what is wrong.
#[test]
fn what_is_no_test_is_found() {
    let source =
        "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test]\nasync fn c() {}\neach_host!(d, |h|";
    let found = ["a", "b", "c", "d", "e"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, true, false]);
}

/// What panics or wraps around is refused by the compiler and its lints.
#[test]
fn what_may_panic_does_not_compile() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for lint in [
        "arithmetic_side_effects",
        "expect_used",
        "indexing_slicing",
        "panic",
        "string_slice",
        "todo",
        "unimplemented",
        "unreachable",
        "unwrap_used",
    ] {
        assert!(manifest.contains(&format!("\n{lint} = \"deny\"\n")), "{lint}");
    }
    let release = manifest.split("[profile.release]").nth(1).unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(release.contains("overflow-checks = true") && release.contains("panic = \"abort\""));
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

/// Each advisory that is passed over has a reason and a date, in both files.
#[test]
fn exceptions_of_advisories_have_a_reason_and_a_date() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let ids = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let ids = lines.flat_map(|line| line.split('"')).filter(|it| it.starts_with("RUSTSEC-"));
        ids.map(str::to_owned).collect()
    };
    let is_date = |word: &str| {
        let digits = word.split('-').map(str::len).collect::<Vec<_>>();
        digits == [4, 2, 2] && word.starts_with("20")
    };
    let (deny, audit) = (read("deny.toml"), read(".cargo/audit.toml"));
    assert_eq!(ids(&deny), ids(&audit));
    let mut comment = String::new();
    for line in deny.lines().map(str::trim) {
        match line.strip_prefix('#') {
            Some(text) => comment.push_str(text),
            None if line.contains("\"RUSTSEC-") => {
                assert!(comment.split_whitespace().any(is_date), "a date: {comment} {line}");
                let reason = line.split("reason = \"").nth(1).expect("a reason");
                assert!(reason.len() > 20, "{line}");
            }
            None => comment.clear(),
        }
    }
}
