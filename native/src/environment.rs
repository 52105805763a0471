//! The environment of the process, of which [`process_variable`] says what a configuration
//! may read.

use gatepass::config::{Variable, process_variable};

/// Looks up a variable for a configuration.
pub fn environment(name: &str) -> Variable {
    process_variable(name, &read)
}

/// A variable of the process; `None` if it is not text.
#[allow(clippy::disallowed_methods, reason = "a door is where the environment is read")]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
