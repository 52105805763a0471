//! Reads a configuration in a native door.

use std::rc::Rc;

use gatepass::config::{self, Problems};
use gatepass::pipeline::Settings;

use crate::{AwsLc, environment};

/// Reads a configuration, with the permitted environment variables and this crate's
/// cryptography, which takes precedence.
///
/// Once per thread: settings cannot move between threads.
pub fn load(text: &[u8]) -> Result<Settings, Problems> {
    config::load(text, &environment, Some(Rc::new(AwsLc)))
}
