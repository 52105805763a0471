//! A filter that does what it is told, to test the fake host with.
//!
//! The configuration is the script of the root context, the request header
//! `x-do` that of a request, `x-then` that of its next call reply: commands
//! separated by `;`. Built on the SDK's host calls, so what panics there
//! panics here.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { script: String::new() }));
}}

struct Root {
    script: String,
}

struct Probe;

fn log(text: &str) {
    hostcalls::log(LogLevel::Info, text).unwrap();
}

fn request_header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).unwrap();
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

fn text(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn dispatch(upstream: &str, headers: &str) -> Result<u32, Status> {
    let all =
        [(":method", "GET"), (":path", "/"), (":authority", "a.example"), (":scheme", "http")];
    let wanted = all.into_iter().filter(|(name, _)| !headers.contains(name)).collect();
    hostcalls::dispatch_http_call(upstream, wanted, None, vec![], Duration::from_secs(1))
}

/// Runs a script; whether it ended in `pause`.
fn run(script: &str) -> Action {
    let mut action = Action::Continue;
    for command in script.split(';').map(str::trim).filter(|command| !command.is_empty()) {
        let words: Vec<&str> = command.split(' ').collect();
        let word = |n: usize| words.get(n).copied().unwrap_or_default();
        let map = MapType::HttpRequestHeaders;
        match word(0) {
            "set" => hostcalls::set_map_value(map, word(1), Some(word(2))).unwrap(),
            "add" => hostcalls::add_map_value(map, word(1), word(2)).unwrap(),
            "remove" => hostcalls::remove_map_value(map, word(1)).unwrap(),
            "break" => hostcalls::set_map_value(map, "x-a", Some("1\r\nx-b: 2")).unwrap(),
            "get" => {
                log(&format!(
                    "{}={}",
                    word(1),
                    text(hostcalls::get_map_value_bytes(map, word(1)).unwrap())
                ));
            }
            "list" => {
                let pairs = hostcalls::get_map_bytes(map).unwrap();
                let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
                log(&format!("names={}", names.join(",")));
            }
            "property" => {
                let value = hostcalls::get_property(word(1).split('.').collect());
                log(&format!("{}={:?}", word(1), value.map(text)));
            }
            "set-property" => {
                let value = Some(word(2).as_bytes());
                hostcalls::set_property(word(1).split('.').collect(), value).unwrap();
            }
            "dispatch" => log(&format!("dispatched={:?}", dispatch(word(1), word(2)))),
            "reply" => {
                let headers = vec![("www-authenticate", "a"), ("www-authenticate", "b")];
                hostcalls::send_http_response(403, headers, Some(b"no")).unwrap();
                action = Action::Pause;
            }
            "resume" => hostcalls::resume_http_request().unwrap(),
            "pause" => action = Action::Pause,
            "tick" => hostcalls::set_tick_period(Duration::from_secs(1)).unwrap(),
            "share" => hostcalls::set_shared_data(word(1), Some(word(2).as_bytes()), None).unwrap(),
            "shared" => {
                let (value, _) = hostcalls::get_shared_data(word(1)).unwrap();
                log(&format!("{}={}", word(1), text(value)));
            }
            "count" => {
                let id = hostcalls::define_metric(MetricType::Counter, word(1)).unwrap();
                hostcalls::increment_metric(id, 2).unwrap();
            }
            "record" => {
                let id = hostcalls::define_metric(MetricType::Counter, word(1)).unwrap();
                hostcalls::record_metric(id, 2).unwrap();
            }
            "as" => hostcalls::set_effective_context(word(1).parse().unwrap()).unwrap(),
            "status" => {
                let map = MapType::HttpCallResponseHeaders;
                log(&format!(
                    "status={}",
                    text(hostcalls::get_map_value_bytes(map, ":status").unwrap())
                ));
                let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, 100).unwrap();
                log(&format!("body={}", text(body)));
            }
            #[allow(clippy::disallowed_methods, reason = "to show the trap it is on Kong")]
            "foreign" => drop(hostcalls::call_foreign_function("f", None)),
            "done" => hostcalls::done().unwrap(),
            "env" => log(&format!("env={:?}", std::env::var_os(word(1)))),
            "time" => log(&format!("time={:?}", hostcalls::get_current_time().unwrap())),
            "panic" => panic!("told to"),
            other => panic!("the probe knows no {other}"),
        }
    }
    action
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        log(&format!("root heard {token}: {headers} headers, {body} bytes"));
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let script = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        self.script = serde_json::from_slice(&script.unwrap().unwrap_or_default()).unwrap();
        let (start, tick) = self.script.split_once("ticking:").unwrap_or((&self.script, ""));
        if !tick.is_empty() {
            hostcalls::set_tick_period(Duration::from_secs(1)).unwrap();
        }
        if start.contains("refuse") {
            return false;
        }
        let _ = run(start);
        true
    }

    fn on_tick(&mut self) {
        let (_, tick) = self.script.split_once("ticking:").unwrap_or_default();
        let _ = run(tick);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Probe))
    }
}

impl Context for Probe {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, _: usize) {
        log(&format!("heard {headers} headers, {body} bytes"));
        let _ = run(&request_header("x-then").unwrap_or_default());
    }
}

impl HttpContext for Probe {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        log(&format!("count={count} end={end_of_stream}"));
        run(&request_header("x-do").unwrap_or_default())
    }

    fn on_log(&mut self) {
        log("closed");
    }
}
