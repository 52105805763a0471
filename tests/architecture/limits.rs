//! Files and functions stay short enough to be read in one go.
//!
//! Lines of code count: not those of comments, blank ones, or tests.

use std::path::PathBuf;

use crate::{CORE, PACKAGES, sources};

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 60;

/// The lines of a file that are code, outside of its tests.
fn code(text: &str) -> Vec<&str> {
    let without_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    without_tests.lines().filter(is_code).collect()
}

/// The name of a function that begins here, and its indentation.
fn begins(line: &str) -> Option<(&str, &str)> {
    let (indentation, rest) = line.split_at(line.len() - line.trim_start().len());
    let (before, after) = rest.split_once("fn ")?;
    let is_declared = before.split_whitespace().all(|word| {
        word.starts_with("pub")
            || ["const", "unsafe", "async", "extern", "\"C\""].contains(&word)
            || word.ends_with(')')
    });
    let name = after.split(['(', '<']).next()?;
    is_declared.then_some((name, indentation))
}

/// Each function with its lines, by the form that rustfmt gives it: the brace at its end
/// stands below its first word.
fn functions<'t>(code: &[&'t str]) -> Vec<(&'t str, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let Some((name, indentation)) = begins(line) else { continue };
        let mut rest = code[at..].iter().enumerate();
        let end = rest.find(|(_, line)| {
            let own = line.strip_prefix(indentation).filter(|own| !own.starts_with(' '));
            // Without a body, or at the end of one.
            own.is_some_and(|own| own == "}" || own.ends_with(';'))
        });
        if let Some((end, _)) = end {
            found.push((name, end + 1));
        }
    }
    found
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    let mut count = 0;
    for package in [CORE].into_iter().chain(PACKAGES) {
        for (path, text) in sources(package) {
            if path.ends_with("tests.rs") {
                continue;
            }
            let path = PathBuf::from(package).join(path);
            let code = code(&text);
            if code.len() > MAX_FILE {
                long.push(format!("{}: {} lines", path.display(), code.len()));
            }
            for (name, lines) in functions(&code) {
                count += 1;
                let place = format!("{}: {name}", path.display());
                if lines > MAX_FUNCTION {
                    long.push(format!("{place}: {lines} lines"));
                }
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
    assert!(count > 1000, "{count} functions");
}

#[test]
fn lines_of_functions_are_counted() {
    let text = "/// Docs.\nfn a() {\n    // Why.\n    b();\n\n    c();\n}\n\n\
                trait T {\n    fn d(&self);\n    fn e(\n        &self,\n    ) -> u8 {\n        1\n    }\n}\n\
                #[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    assert_eq!(functions(&code(text)), [("a", 4), ("d", 1), ("e", 5)]);
}
