//! Reads a configuration in a native door.

use std::rc::Rc;

use gatepass::config::{self, Problems};
use gatepass::keys::HostCrypto;
use gatepass::pipeline::Settings;

use crate::environment;

/// Reads a configuration, with the permitted environment variables and the door's
/// cryptography, which takes precedence.
///
/// Once per thread: settings cannot move between threads.
pub fn load(text: &[u8], crypto: Rc<dyn HostCrypto>) -> Result<Settings, Problems> {
    config::load(text, &environment, Some(crypto))
}
