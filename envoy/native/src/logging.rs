//! Envoy's log, as the place for what the core logs.

use std::panic;
use std::sync::Once;

use crate::abi;

struct EnvoyLog;

impl log::Log for EnvoyLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::max_level() {
            abi::log(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Has lines of the log, and panics, written to Envoy's.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&EnvoyLog).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
        panic::set_hook(Box::new(|panic| abi::log(log::Level::Error, &panic.to_string())));
    });
}
