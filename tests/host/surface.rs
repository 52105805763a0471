//! What a module may import and must export to run on both hosts.

use wasmi::{Engine, Module};

/// Imports that Envoy and Kong's runtime (9136e463) both provide and that the
/// filter may call on both.
///
/// `proxy_get_log_level` must never join either list: its type on Kong differs
/// from the ABI's, so the module would not even load there.
pub const ALLOWED_IMPORTS: &[&str] = &[
    "env.proxy_continue_stream",
    "env.proxy_define_metric",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_property",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_send_local_response",
    // A no-op on Kong.
    "env.proxy_set_effective_context",
    "env.proxy_set_property",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.clock_time_get",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    // A trap on Kong; std imports it for `abort`, which is a trap anyway.
    "wasi_snapshot_preview1.proc_exit",
    "wasi_snapshot_preview1.random_get",
];

/// Imports that both hosts provide and that the filter must not call on Kong, where
/// they trap (shared data without `shm_kv`), which the scenarios on the Kong profile
/// would show.
pub const ENVOY_IMPORTS: &[&str] =
    &["env.proxy_call_foreign_function", "env.proxy_get_shared_data", "env.proxy_set_shared_data"];

/// Imports that both hosts provide and that the filter never calls. Default methods of
/// the SDK's traits refer to them, so the table of methods of each context keeps them
/// in the module.
pub const CARRIED_IMPORTS: &[&str] = &[
    "env.proxy_add_header_map_value",
    "env.proxy_close_stream",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_register_shared_queue",
    "env.proxy_resolve_shared_queue",
    "env.proxy_set_buffer_bytes",
    "env.proxy_set_header_map_pairs",
];

/// Each line: names of which one must be exported. Nothing else may be: Envoy calls
/// every callback that it finds.
///
/// Kong's runtime calls those of a request and a response whether they are there
/// or not, and one that is not is a null pointer: the worker dies at the first
/// response.
pub const REQUIRED_EXPORTS: &[&[&str]] = &[
    &["_initialize"],
    &["memory"],
    &["malloc", "proxy_on_memory_allocate"],
    &["proxy_abi_version_0_2_1"],
    &["proxy_on_configure"],
    &["proxy_on_context_create"],
    &["proxy_on_delete"],
    &["proxy_on_done"],
    &["proxy_on_http_call_response"],
    &["proxy_on_log"],
    &["proxy_on_request_body"],
    &["proxy_on_request_headers"],
    &["proxy_on_request_trailers"],
    &["proxy_on_response_body"],
    &["proxy_on_response_headers"],
    &["proxy_on_tick"],
    &["proxy_on_vm_start"],
];

/// Everything that keeps the module from running on both hosts.
pub fn objections(wasm: &[u8]) -> Vec<String> {
    let module = match Module::new(&Engine::default(), wasm) {
        Ok(module) => module,
        Err(error) => return vec![format!("not a module: {error}")],
    };
    let imports = module.imports().map(|import| format!("{}.{}", import.module(), import.name()));
    let foreign = imports
        .filter(|import| {
            let lists = [ALLOWED_IMPORTS, ENVOY_IMPORTS, CARRIED_IMPORTS].concat();
            !lists.contains(&import.as_str())
        })
        .map(|import| format!("imports {import}, which is on no list"));
    let missing = REQUIRED_EXPORTS
        .iter()
        .filter(|names| names.iter().all(|name| module.get_export(name).is_none()))
        .map(|names| format!("exports no {}", names.join(" or ")));
    let exports: Vec<&str> = module.exports().map(|export| export.name()).collect();
    let needless = exports
        .iter()
        .filter(|name| !REQUIRED_EXPORTS.iter().any(|names| names.contains(name)))
        .map(|name| format!("exports {name}, which a host would call for nothing"));
    foreign.chain(missing).chain(needless).collect()
}
