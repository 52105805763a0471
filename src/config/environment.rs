//! Which variables of a proxy's own environment a configuration may read.
//!
//! The author of a configuration could send a variable's value to a service of their own,
//! and a proxy's environment holds other parties' secrets. So the operator must permit
//! variables: by a prefix of their names, or by a list in a variable that only the owner
//! of the process can set.

use crate::secret::Secret;

/// The result of looking up an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Its value.
    Set(Secret<String>),
    /// It is not set.
    Unset,
    /// Configurations may not read it, whether it is set or not.
    Withheld {
        /// The names that may be read.
        permitted: &'static str,
    },
}

impl From<Option<String>> for Variable {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Unset, |value| Self::Set(Secret::new(value)))
    }
}

/// The prefix of names that configurations may always read.
const PREFIX: &str = "GATEPASS_";

/// The variable that lists more names, separated by commas.
const LIST: &str = "GATEPASS_ENV";

/// The message for any other variable.
const PERMITTED: &str = "a name that begins with GATEPASS_, or one that the variable GATEPASS_ENV \
                         of the proxy's process lists (with commas; in Kong, nginx_main_env must \
                         name GATEPASS_ENV too)";

/// Looks up a variable in the environment of a process, which `read` reads, for a
/// configuration.
pub fn process_variable(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Variable {
    let is_listed = |list: String| list.split(',').any(|listed| listed.trim() == name);
    if name.starts_with(PREFIX) || read(LIST).is_some_and(is_listed) {
        read(name).into()
    } else {
        Variable::Withheld { permitted: PERMITTED }
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(process_variable(name, &read), expected, "{case}");
        }
    }
}
