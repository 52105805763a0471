//! Reading a configuration in a native door.

use std::rc::Rc;

use gatepass::config::{self, Problems};
use gatepass::pipeline::Settings;

use crate::{AwsLc, environment};

/// Reads a configuration, with the variables of the process that it may know and
/// with the cryptography here, which is tried first.
///
/// For each thread anew: settings do not leave theirs.
pub fn load(text: &[u8]) -> Result<Settings, Problems> {
    config::load(text, &environment, Some(Rc::new(AwsLc)))
}
