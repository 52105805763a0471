//! The environment variables that a configuration may read.
//!
//! The author of a configuration could send a variable's value to a service of their own,
//! and a proxy's environment holds other parties' secrets. So the operator must permit
//! variables: by a prefix of their names, or by a list in a variable that only the owner
//! of the process can set.

use gatepass::config::Variable;

/// The prefix of names that configurations may always read.
const PREFIX: &str = "GATEPASS_";

/// The variable that lists more names, separated by commas.
const LIST: &str = "GATEPASS_ENV";

/// The message for any other variable.
const PERMITTED: &str = "a name that begins with GATEPASS_, or one that the variable GATEPASS_ENV \
                         of the proxy's process lists (with commas)";

/// Looks up a variable for a configuration.
pub fn environment(name: &str) -> Variable {
    variable(name, &read)
}

/// A variable of the process; `None` if it is not text.
#[allow(clippy::disallowed_methods, reason = "a door is where the environment is read")]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn variable(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Variable {
    let is_listed = |list: String| list.split(',').any(|listed| listed.trim() == name);
    if name.starts_with(PREFIX) || read(LIST).is_some_and(is_listed) {
        read(name).into()
    } else {
        Variable::Withheld { permitted: PERMITTED }
    }
}

#[cfg(test)]
mod tests {
    use gatepass::secret::Secret;

    use super::*;

    #[test]
    fn only_what_the_operator_names_is_read() {
        let set = |value: &str| Variable::Set(Secret::new(value.to_owned()));
        let withheld = || Variable::Withheld { permitted: PERMITTED };
        for (case, list, name, expected) in [
            ("ours", None, "GATEPASS_KEY", set("value of GATEPASS_KEY")),
            ("ours, not set", None, "GATEPASS_OTHER", Variable::Unset),
            ("another's", None, "AWS_SECRET", withheld()),
            ("another's that is not set", None, "NOTHING", withheld()),
            ("in lower case", None, "gatepass_key", withheld()),
            ("ours in the middle", None, "MY_GATEPASS_KEY", withheld()),
            ("listed", Some("A, AWS_SECRET ,B"), "AWS_SECRET", set("value of AWS_SECRET")),
            ("listed, not set", Some("NOTHING"), "NOTHING", Variable::Unset),
            ("the beginning of a listed one", Some("AWS_SECRET"), "AWS", withheld()),
            ("more than a listed one", Some("AWS"), "AWS_SECRET", withheld()),
            ("a star is no pattern", Some("*"), "AWS_SECRET", withheld()),
            ("two names at once", Some("A,AWS_SECRET"), "A,AWS_SECRET", withheld()),
            ("no name", Some("A,,B"), "", Variable::Unset),
        ] {
            let read = |name: &str| match name {
                LIST => list.map(str::to_owned),
                "GATEPASS_KEY" | "AWS_SECRET" => Some(format!("value of {name}")),
                _ => None,
            };
            assert_eq!(variable(name, &read), expected, "{case}");
        }
    }

    #[test]
    fn the_process_is_read() {
        // Set wherever cargo runs a test.
        let (_, own) = std::env::vars().find(|(name, _)| name == "CARGO_PKG_NAME").unwrap();
        assert_eq!(read("CARGO_PKG_NAME"), Some(own));
        assert!(matches!(environment("CARGO_PKG_NAME"), Variable::Withheld { .. }));
        assert_eq!(environment("GATEPASS_IS_NOT_SET_HERE"), Variable::Unset);
        for name in ["GATEPASS_\0", "GATEPASS_=", "GATEPASS_A=B"] {
            assert_eq!(environment(name), Variable::Unset, "{name:?}");
        }
    }
}
