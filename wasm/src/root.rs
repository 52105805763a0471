//! The plugin: configured once, asked for a context by every request.

use std::cell::RefCell;
use std::rc::Rc;

use gatepass::config::{self, Problem, Problems};
use gatepass::denial::Denial;
use gatepass::event::Event;
use gatepass::gateway::{Gateway, Held};
use gatepass::metrics;
use gatepass::pipeline::SharedData;
use serde_json::Value;

use crate::abi::Status;
use crate::filter::{Filter, Plugin};
use crate::host::Host;
use crate::info::Properties;
use crate::protobuf;
use crate::shared::{Entered, Shared, TICK_MS, write_log};

/// The root context.
pub(crate) struct Root {
    plugin: RefCell<Plugin>,
}

impl Root {
    pub(crate) const fn new() -> Self {
        Self { plugin: RefCell::new(Plugin::Closed(Host::UNKNOWN, None)) }
    }

    /// The context of one request.
    pub(crate) fn request(&self, context_id: u32) -> Filter {
        Filter::new(context_id, self.plugin.borrow().clone())
    }

    pub(crate) fn on_configure(&self, bytes: usize) -> bool {
        let host = Host::detect();
        match Self::configure(host, bytes) {
            Ok(shared) => {
                self.plugin.replace(Plugin::Ready(Rc::new(shared)));
                true
            }
            Err(problems) => {
                problems.iter().for_each(|line| log::error!("{line}"));
                let denials = metrics::denials(Denial::ConfigurationInvalid.code());
                let denials = crate::metrics::define(host, &denials);
                self.plugin.replace(Plugin::Closed(host, denials));
                !host.fails_closed_unconfigured()
            }
        }
    }

    pub(crate) fn on_tick(&self) {
        if let Some(shared) = self.ready() {
            shared.tick();
        }
    }

    /// The configuration is not in use any more.
    pub(crate) fn on_done(&self) {
        if let Some(shared) = self.ready() {
            shared.retire();
        }
    }

    pub(crate) fn on_http_call_response(&self, token: u32, fields: usize, body_bytes: usize) {
        if let Some(shared) = self.ready() {
            shared.reply(token, fields, body_bytes);
        }
    }

    /// What its requests hold.
    pub(crate) fn held(&self) -> (Held, usize) {
        self.ready().map(|shared| shared.held()).unwrap_or_default()
    }

    fn ready(&self) -> Option<Rc<Shared>> {
        match &*self.plugin.borrow() {
            Plugin::Ready(shared) => Some(Rc::clone(shared)),
            Plugin::Closed(..) => None,
        }
    }

    fn configure(host: Host, bytes: usize) -> Result<Shared, Vec<String>> {
        let refused = |problem| Problems(vec![problem]).lines(host.max_log_line());
        let text = host.configuration(bytes).map_err(|status| refused(unread(status)))?;
        let value =
            read_configuration(&text).map_err(|problems| problems.lines(host.max_log_line()))?;
        let mut settings = config::read(&value, &environment, host.crypto())
            .map_err(|problems| problems.lines(host.max_log_line()))?;
        let now = host.now().map_err(|_| refused(no_clock()))?;
        if let Some(gap) = settings.minter.keys.gap(now) {
            write_log(&Event::NobodySigns(gap));
        }
        settings.access_log_properties.get_or_insert(host.notes_by_default());
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| vec![format!("no randomness: {error}")])?;
        let store = host.shared_store(settings.shared_data);
        if store.is_none() {
            if settings.shared_data == SharedData::Always {
                return Err(refused(no_store()));
            }
            config::check_unshared(&settings).map_err(refused)?;
        }
        let entered = Entered::new(host);
        let info = Properties { host, entered: Rc::clone(&entered) };
        let mut gateway = Gateway::new(settings, host.capabilities(), seed).asking(Box::new(info));
        let later = match store {
            Some(store) if host.shares_when_configured() => {
                gateway.share(store);
                None
            }
            store => store,
        };
        // Without it keys would never be fetched, and no callout be overdue.
        host.tick_every(TICK_MS).map_err(|_| refused(no_tick()))?;
        Ok(Shared::new(host, entered, gateway, later))
    }
}

/// Parses a configuration: JSON, or a binary `google.protobuf.Struct`, which is what
/// Envoy makes of one.
fn read_configuration(text: &[u8]) -> Result<Value, Problems> {
    config::parse(text).or_else(|problems| match protobuf::parse_struct(text) {
        Some(members) if !text.is_empty() => Ok(Value::Object(members)),
        _ => Err(problems),
    })
}

/// What the host keeps from the filter. Envoy does so to functions that
/// `capability_restriction_config` does not list.
fn kept_back(found: &str, function: &str) -> Problem {
    Problem::new(
        "$",
        format!("a host that {found}"),
        format!("one that lets the filter call {function}"),
    )
}

fn unread(status: Status) -> Problem {
    let found = format!("does not give the configuration ({status})");
    kept_back(&found, "proxy_get_buffer_bytes")
}

fn no_clock() -> Problem {
    kept_back("does not tell the time", "proxy_get_current_time_nanoseconds")
}

fn no_tick() -> Problem {
    kept_back("sets no timer", "proxy_set_tick_period_milliseconds")
}

fn no_store() -> Problem {
    Problem {
        path: "$.shared_data".to_owned(),
        ..kept_back("gives no shared data", "proxy_get_shared_data and proxy_set_shared_data")
    }
}

/// The VM's environment, which holds only what the host's configuration names.
#[allow(clippy::disallowed_methods)] // the adapter is where the environment is read
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
