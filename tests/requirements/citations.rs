//! The words of the RFCs stand beside the code that keeps them and the tests that
//! prove it.
//!
//! A citation is a comment of one form, at code and at a test:
//!
//! ```text
//! // RFC 7515 section 4.1.11: "the words of the section" (R10)
//! ```
//!
//! The number is a row of requirements.md. The quotation may be left out where no
//! sentence says it by itself; one that is there is the same at both places.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{Requirement, requirements, root, source};

/// The draft whose rows are cited like those of an RFC.
const DRAFT: &str = "draft-ietf-oauth-transaction-tokens";

/// Where code is; what follows `#[cfg(test)]` there is a test.
const CODE: [&str; 6] =
    ["src", "wasm/src", "native/src", "envoy/native/src", "kong/native/src", "kong/plugins"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Citation {
    requirement: usize,
    /// `RFC 7515`, or the name of a draft.
    document: String,
    /// Empty where the document as a whole is meant.
    section: String,
    quotation: String,
}

impl Citation {
    /// Reads a comment that is a citation and nothing else.
    fn read(comment: &str) -> Option<Self> {
        let (cited, number) = comment.strip_suffix(')')?.rsplit_once(" (R")?;
        let requirement = number.parse().ok()?;
        let (place, quotation) = match cited.split_once(": \"") {
            Some((place, quotation)) => (place, quotation.strip_suffix('"')?),
            None => (cited, ""),
        };
        let (document, section) = place.split_once(" section ").unwrap_or((place, ""));
        let is_rfc = document.strip_prefix("RFC ").is_some_and(|number| number.len() == 4);
        let is_section = section.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        ((is_rfc || document == DRAFT) && is_section).then(|| Self {
            requirement,
            document: document.to_owned(),
            section: section.to_owned(),
            quotation: quotation.to_owned(),
        })
    }

    /// Whether a row names what this cites.
    fn is_of(&self, clauses: &str) -> bool {
        if self.document == DRAFT {
            return clauses.contains("Transaction Tokens");
        }
        let Some(clause) = clauses.split(';').map(str::trim).find_map(|clause| {
            let rest = clause.strip_prefix(self.document.as_str())?;
            (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
        }) else {
            return false;
        };
        // Of `4.2-4.4` the first counts.
        let sections = clause.split(',').filter_map(|one| one.trim().split('-').next());
        clause.is_empty() || sections.into_iter().any(|one| one == self.section)
    }
}

/// The citations in comments of their own, `//` without a third mark, `--` in Lua.
fn citations(text: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines().chain([""]) {
        let line = line.trim_start();
        match line.strip_prefix("// ").or_else(|| line.strip_prefix("-- ")) {
            Some(part) => {
                let part = part.trim();
                // Each begins a line.
                if part.starts_with("RFC ") || part.starts_with(DRAFT) {
                    comment.clear();
                }
                comment = format!("{comment} {part}").trim().to_owned();
                if let Some(citation) = Citation::read(&comment) {
                    found.push(citation);
                    comment.clear();
                }
            }
            None => comment.clear(),
        }
    }
    found
}

fn files(directory: &Path, found: &mut Vec<(bool, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "lua")
        {
            let text = fs::read_to_string(&path).unwrap();
            let is_test = path.ends_with("tests.rs") || path.starts_with(root().join("tests"));
            match text.split_once("#[cfg(test)]\nmod tests {") {
                Some((code, tests)) if !is_test => {
                    found.extend([(false, code.to_owned()), (true, tests.to_owned())]);
                }
                _ => found.push((is_test, text)),
            }
        }
    }
}

/// The citations at code, and those at tests.
fn all() -> [BTreeSet<Citation>; 2] {
    let mut found = Vec::new();
    for directory in CODE {
        files(&root().join(directory), &mut found);
    }
    for Requirement { proofs, .. } in requirements().into_values() {
        let modules = proofs.iter().filter_map(|proof| proof.test.rsplit_once("::"));
        let outside = modules
            .filter(|(module, _)| !module.starts_with("lib::") && !module.starts_with("wasm::"));
        for path in outside.filter_map(|(module, _)| source(module)) {
            found.push((true, fs::read_to_string(path).unwrap()));
        }
    }
    [false, true].map(|at_test| {
        let texts = found.iter().filter(|(is_test, _)| *is_test == at_test);
        texts.flat_map(|(_, text)| citations(text)).collect()
    })
}

/// Whether a row comes from an RFC, or from the draft.
fn is_from_rfc(requirement: &Requirement<'_>) -> bool {
    requirement.clauses.contains("RFC ") || requirement.clauses.contains("Transaction Tokens")
}

/// Prints a table by RFC: `cargo test --test requirements by_rfc -- --nocapture`.
#[test]
fn each_row_by_rfc_is_cited_at_its_code_and_at_its_test() {
    let requirements = requirements();
    let [code, tests] = all();
    let mut wrong = Vec::new();
    let mut table: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (number, requirement) in &requirements {
        for (place, cited) in [("code", &code), ("test", &tests)] {
            let mut of_row = cited.iter().filter(|citation| citation.requirement == *number);
            if is_from_rfc(requirement) && of_row.next().is_none() {
                wrong.push(format!("R{number:02} is cited at no {place}"));
            }
        }
    }
    for citation in code.union(&tests) {
        let Citation { requirement: number, document, section, quotation } = citation;
        let row = requirements.get(number);
        if !row.is_some_and(|row| citation.is_of(row.clauses)) {
            wrong.push(format!("R{number:02} does not name {document} {section}"));
        }
        for (place, cited) in [("code", &code), ("test", &tests)] {
            if !cited.contains(citation) {
                wrong.push(format!(
                    "R{number:02}: not at a {place}: {document} {section} {quotation:?}"
                ));
            }
        }
        let place = if section.is_empty() { "" } else { section };
        table.entry(document).or_default().insert(format!("{place} (R{number:02})"));
    }
    for (document, places) in &table {
        println!("{document}: {}", places.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(table.len() > 20, "{} documents", table.len());
}

#[test]
fn citations_are_read() {
    let text = "// Other words.\n// RFC 7515 section 4.1.11: \"If any of\n//   \
                the listed\" (R10)\n// RFC 9110 (R36)\n/// RFC 7519 section 2 (R26)\n// RFC 1";
    let read: Vec<_> = citations(text)
        .into_iter()
        .map(|it| (it.requirement, it.document, it.section, it.quotation))
        .collect();
    let expected = [(10, "RFC 7515", "4.1.11", "If any of the listed"), (36, "RFC 9110", "", "")]
        .map(|(number, document, section, quotation)| {
            (number, document.to_owned(), section.to_owned(), quotation.to_owned())
        });
    assert_eq!(read, expected);
    for (section, clauses, expected) in [
        ("4.2", "RFC 7517 4.2-4.4; RFC 8725 3.1", true),
        ("4.1", "RFC 7517 4.2-4.4; RFC 8725 3.1", false),
        ("3.1", "RFC 7517 4.2-4.4; RFC 8725 3.1", false),
        ("4.1", "Fetch; RFC 7517 4.1", true),
        ("3.1", "RFC 75170 3.1", false),
    ] {
        let citation = Citation {
            requirement: 8,
            document: "RFC 7517".to_owned(),
            section: section.to_owned(),
            quotation: String::new(),
        };
        assert_eq!(citation.is_of(clauses), expected, "{section} of {clauses}");
    }
}
