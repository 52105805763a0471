//! What a script of `.ci` installs.

/// A version that it sets, as `name=version` in a line of its own.
pub fn version<'a>(script: &'a str, name: &str) -> &'a str {
    let set = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    let found = script.lines().find_map(set);
    found.unwrap_or_else(|| panic!("the script sets no {name}"))
}
