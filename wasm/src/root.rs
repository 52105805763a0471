//! The plugin: configured once; creates a context for each request.

use std::rc::Rc;

use gatepass::config::{self, Problem, Problems};
use gatepass::denial::Denial;
use gatepass::event::Event;
use gatepass::gateway::{Gateway, TICK};
use gatepass::metrics;
use gatepass::pipeline::SharedData;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use serde_json::Value;

use crate::abi::Status;
use crate::filter::{Filter, Plugin};
use crate::host::Host;
use crate::in_progress;
use crate::info::Properties;
use crate::protobuf;
use crate::shared::{Entered, Shared, write_log};

/// The root context.
pub(crate) struct Root {
    context_id: u32,
    plugin: Plugin,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, fields: usize, body_bytes: usize, _: usize) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.reply(self.context_id, token, fields, body_bytes);
        }
    }

    /// The configuration is no longer in use.
    fn on_done(&mut self) -> bool {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.retire();
        }
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, bytes: usize) -> bool {
        let host = Host::detect();
        match self.configure(host, bytes) {
            Ok(shared) => {
                let shared = Rc::new(shared);
                in_progress::watch(&shared);
                self.plugin = Plugin::Ready(shared);
                true
            }
            Err(problems) => {
                let lines = problems.lines(host.max_log_line());
                lines.iter().for_each(|line| log::error!("{line}"));
                let denials = metrics::denials(Denial::ConfigurationInvalid.code());
                let denials = crate::metrics::define(host, &denials);
                self.plugin = Plugin::Closed(host, denials);
                !host.fails_closed_unconfigured()
            }
        }
    }

    fn on_tick(&mut self) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.tick();
        }
    }

    /// Only called by [`abi::call_root`](crate::abi::call_root).
    fn on_queue_ready(&mut self, _queue: u32) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.dispatch_in_root();
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.release_lost(context_id);
        }
        Some(Box::new(Filter::new(context_id, self.plugin.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    pub(crate) const fn new(context_id: u32) -> Self {
        Self { context_id, plugin: Plugin::Closed(Host::UNKNOWN, None) }
    }

    fn configure(&self, host: Host, bytes: usize) -> Result<Shared, Problems> {
        let text = host.configuration(bytes).map_err(unreadable)?;
        // The SDK enters this context before it delivers a reply, and panics if it
        // cannot.
        if !host.enter(self.context_id) {
            return Err(no_context().into());
        }
        let mut settings = config::read(&read_configuration(&text)?, &environment, host.crypto())?;
        let store = host.shared_store(settings.shared_data);
        if store.is_none() {
            if settings.shared_data == SharedData::Always {
                return Err(no_store().into());
            }
            config::check_unshared(&settings)?;
        }
        Problems::check(config::check_host(&settings, host.capabilities()))?;
        let now = host.now().map_err(|_| no_clock())?;
        if let Some(gap) = settings.minter.keys.gap(now) {
            write_log(&Event::NobodySigns(gap));
        }
        settings.access_log_properties.get_or_insert(host.publishes_by_default());
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(no_randomness)?;
        let entered = Entered::new(host);
        let info = Properties { host, entered: Rc::clone(&entered) };
        let mut gateway =
            Gateway::new(settings, host.capabilities(), seed).with_request_info(Box::new(info));
        let later = match store {
            Some(store) if host.shares_when_configured() => {
                gateway.share(Box::new(store));
                // Every worker has a VM of its own.
                if !gateway.record_start() {
                    gateway.take_log();
                }
                None
            }
            store => store,
        };
        // Without ticks, keys would never be fetched and callouts never be overdue.
        host.tick_every(TICK).map_err(|_| no_tick())?;
        Ok(Shared::new(self.context_id, host, entered, gateway, later))
    }
}

/// Parses a configuration: JSON, or a binary `google.protobuf.Struct`, which Envoy may
/// pass.
fn read_configuration(text: &[u8]) -> Result<Value, Problems> {
    config::parse(text).or_else(|problems| match protobuf::parse_struct(text) {
        Some(members) if !text.is_empty() => Ok(Value::Object(members)),
        _ => Err(problems),
    })
}

/// A function withheld by the host. Envoy withholds those that
/// `capability_restriction_config` does not list.
fn withheld(found: &str, function: &str) -> Problem {
    Problem::new(
        "$",
        format!("a host that {found}"),
        format!("one that lets the filter call {function}"),
    )
}

fn unreadable(status: Status) -> Problem {
    let found = format!("does not provide the configuration ({status})");
    withheld(&found, "proxy_get_buffer_bytes")
}

fn no_context() -> Problem {
    withheld("does not let the filter enter a context", "proxy_set_effective_context")
}

fn no_clock() -> Problem {
    withheld("does not tell the time", "proxy_get_current_time_nanoseconds")
}

fn no_tick() -> Problem {
    withheld("does not set a timer", "proxy_set_tick_period_milliseconds")
}

fn no_randomness(error: getrandom::Error) -> Problem {
    Problem::new("$", error.to_string(), "a host with a source of randomness")
}

fn no_store() -> Problem {
    Problem {
        path: "$.shared_data".to_owned(),
        ..withheld(
            "does not provide shared data",
            "proxy_get_shared_data and proxy_set_shared_data",
        )
    }
}

/// The VM's environment, which holds only what the host's configuration lists.
#[allow(clippy::disallowed_methods)] // the adapter is where the environment is read
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
