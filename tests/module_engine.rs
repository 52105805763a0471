//! The module engine on a hand-written module, so that it is tested without
//! building one.
#![allow(clippy::panic, unsafe_code, reason = "test code may fail loudly")]

mod host;

// What a test binary links natively, and these never run.
use gatepass_wasm as _;

use host::{Engine, Filter, Host, Outcome, Profile, Reply, surface};

/// Logs on configure, dispatches and pauses on request headers, and traps on a
/// reply without headers, else resumes.
const MODULE: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_http_call" (func $call
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $enter (param i32) (result i32)))
    (global $request (mut i32) (i32.const 0))
    (memory (export "memory") 1)
    (data (i32.const 100) "hello")
    (data (i32.const 200) "known:80")
    (data (i32.const 300)
        "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00"
        ":method\00GET\00:path\00/\00:authority\00a\00")
    (func (export "_initialize"))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 100) (i32.const 5)))
        i32.const 1)
    (func (export "proxy_on_tick") (param i32))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) i32.const 0)
    (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) i32.const 0)
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $request (local.get 0))
        (drop (call $call (i32.const 200) (i32.const 8) (i32.const 300) (i32.const 61)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 1000) (i32.const 600)))
        i32.const 1)
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (if (i32.eqz (local.get 2)) (then unreachable))
        (drop (call $enter (global.get $request)))
        (drop (call $continue (i32.const 0))))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) i32.const 0)
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) i32.const 0)
    (func (export "proxy_on_done") (param i32) (result i32) i32.const 1)
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_delete") (param i32))
)"#;

extern "C" fn initialize() {
    panic!("only the module engine runs here")
}

const FILTER: Filter = Filter {
    initialize,
    in_progress: || 0,
    module: || Ok(MODULE.as_bytes().to_vec()),
    configuration: |_| "".into(),
    clusters: &["known:80"],
};

fn host(profile: Profile) -> Host {
    Host::new(FILTER, Engine::Module, profile)
}

#[test]
fn a_request_waits_for_its_callout() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let host = host(profile);
        let request = host.request([]);
        assert!(host.logged("hello"));
        assert_eq!(request.callout().header(":authority").as_deref(), Some("a"));
        request.answer(Reply::ok("{}"));
        assert!(request.is_forwarded());
        host.finish();
    }
}

#[test]
fn a_trap_in_a_call_reply() {
    let envoy = host(Profile::Envoy);
    let request = envoy.request([]);
    request.answer(Reply::failed());
    assert!(request.is_paused());
    assert_eq!(envoy.request([]).status(), 503);
    assert_eq!(envoy.take_violations().len(), 1);

    let kong = host(Profile::Kong);
    let request = kong.request([]);
    request.answer(Reply::failed());
    assert!(matches!(request.outcome(), Outcome::Forwarded { failed_open: Some(_), .. }));
    assert_eq!(kong.take_violations().len(), 1);
}

#[test]
fn the_surface_of_a_module() {
    assert!(surface::objections(MODULE.as_bytes()).is_empty());
    let level = MODULE.replace("proxy_log", "proxy_get_log_level");
    let no_delete = MODULE.replace("proxy_on_delete", "proxy_on_del");
    for (case, module, objection) in [
        ("log level", level, "imports env.proxy_get_log_level"),
        ("no delete", no_delete, "exports no proxy_on_delete"),
        ("no module", String::from("(modul)"), "not a module"),
    ] {
        let objections = surface::objections(module.as_bytes());
        assert!(objections.iter().any(|text| text.contains(objection)), "{case}: {objections:?}");
    }
}
