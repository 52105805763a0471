//! Connects the log to a door.

use std::panic;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Writes one line to the host's log.
type Write = fn(Level, &str);

struct HostLog(Write);

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= log::max_level() {
            (self.0)(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Sends log lines, from `info` on, and panics to `write`. The first call in a process
/// counts: the logger is global.
pub fn send_to(write: Write) {
    static LOG: OnceLock<HostLog> = OnceLock::new();
    let mut is_first = false;
    let log = LOG.get_or_init(|| {
        is_first = true;
        HostLog(write)
    });
    if !is_first {
        return;
    }
    if log::set_logger(log).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    panic::set_hook(Box::new(move |panic| write(Level::Error, &panic.to_string())));
}
