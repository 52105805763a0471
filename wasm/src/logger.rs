//! The host's log. The SDK's logger panics where the host does not take a line.

use std::panic;
use std::sync::Once;

use crate::abi;

struct HostLog;

impl log::Log for HostLog {
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

/// Sends what is logged, and why the filter panicked, to the host.
pub(crate) fn install() {
    // Tests have many VMs in one process.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&HostLog).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
        panic::set_hook(Box::new(|panic| abi::log(log::Level::Error, &panic.to_string())));
    });
}
