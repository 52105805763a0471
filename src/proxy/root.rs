//! The plugin: configured once, asked for a context by every request.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use super::facts::Facts;
use super::filter::{Filter, Plugin};
use super::host::Host;
use super::shared::{Shared, TICK_MS, write_log};
use crate::config::{self, Problem, Problems};
use crate::denial::Denial;
use crate::event::LogLine;
use crate::gateway::Gateway;
use crate::metrics;

/// The root context.
pub(super) struct Root {
    context_id: u32,
    plugin: Plugin,
}

impl Root {
    pub(super) const fn new(context_id: u32) -> Self {
        Self { context_id, plugin: Plugin::Closed(Host::UNKNOWN, None) }
    }

    fn configure(&self, host: Host, bytes: usize) -> Result<Shared, Vec<String>> {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, bytes);
        let text = text.ok().flatten().unwrap_or_default();
        let mut settings = config::load(&text, &environment, host.crypto())
            .map_err(|problems| problems.lines(host.max_log_line()))?;
        if let Some(gap) = settings.minter.keys.gap(host.now()) {
            write_log(&LogLine::nobody_signs(gap));
        }
        settings.access_log_properties.get_or_insert(host.notes_by_default());
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| vec![format!("no randomness: {error}")])?;
        let store = host.shared_store(settings.shared_data);
        if store.is_none() && settings.revocations.endpoint().is_some() {
            return Err(Problems(vec![unshared_endpoint()]).lines(host.max_log_line()));
        }
        let mut gateway = Gateway::new(settings, host.traits(), seed).asking(Box::new(Facts(host)));
        let later = match store {
            Some(store) if host.shares_when_configured() => {
                gateway.share(store);
                None
            }
            store => store,
        };
        Ok(Shared::new(self.context_id, host, gateway, later))
    }
}

/// Whoever revokes is told that every worker knows, which they cannot.
fn unshared_endpoint() -> Problem {
    Problem {
        path: "$.revocation.endpoint".to_owned(),
        found: "workers that share no data".to_owned(),
        accepted: "shared_data: always (in Kong with a zone: nginx_wasm_shm_kv)".to_owned(),
    }
}

/// The VM's environment, which holds only what the host's configuration names.
#[allow(clippy::disallowed_methods)] // the adapter is where the environment is read
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _: usize) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.reply(self.context_id, token, headers, body_bytes);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, bytes: usize) -> bool {
        let host = Host::detect();
        match self.configure(host, bytes) {
            Ok(shared) => self.plugin = Plugin::Ready(Rc::new(shared)),
            Err(problems) => {
                problems.iter().for_each(|line| log::error!("{line}"));
                let denials = metrics::denials(Denial::ConfigurationInvalid.code());
                let denials = host.define(denials.kind, &denials.name);
                self.plugin = Plugin::Closed(host, denials);
                return !host.fails_closed_unconfigured();
            }
        }
        hostcalls::set_tick_period(Duration::from_millis(TICK_MS)).is_ok()
    }

    fn on_tick(&mut self) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.tick();
        }
    }

    /// Called by [`abi::call_root`](super::abi::call_root) only.
    fn on_queue_ready(&mut self, _queue: u32) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.run_errand();
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter::new(context_id, self.plugin.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
