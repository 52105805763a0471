//! Callouts, which must go through the SDK: it stores each token with the context in
//! whose callback the callout was sent, and gives the reply to that context.
#![allow(unsafe_code, reason = "the SDK's callbacks, called as a host would")]

use std::time::Duration;

use proxy_wasm::hostcalls;

use super::Status;

// The SDK's callbacks.
unsafe extern "C" {
    safe fn proxy_on_context_create(context_id: u32, root_id: u32);
    safe fn proxy_on_http_call_response(
        context_id: u32,
        token: u32,
        fields: usize,
        body_bytes: usize,
        trailers: usize,
    );
    safe fn proxy_on_delete(context_id: u32);
    safe fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
}

/// Returns the token that identifies the reply.
///
/// The SDK accepts `BadArgument` and `InternalFailure` as failures, and hosts return no
/// others: Envoy the first for an unknown cluster or an incomplete head, the second for
/// what it cannot send or is restricted from; ngx_wasm_module the second. Any other
/// status, and a token that is still awaited, is a panic.
pub(crate) fn dispatch(
    upstream: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Status> {
    let body = Some(body).filter(|body| !body.is_empty());
    hostcalls::dispatch_http_call(upstream, headers, body, Vec::new(), timeout)
        .map_err(|status| Status(status as u32))
}

/// Calls `on_queue_ready` of a root context. Must not be called from a callback of a root
/// context: the SDK runs one at a time.
pub(crate) fn call_root(root_id: u32) {
    proxy_on_queue_ready(root_id, 0);
}

/// Makes the SDK forget a callout that ended with its context, in the only possible way:
/// with a reply, to a context that is created for it. The root context must create that
/// one, so this may be called only where it is asked for another context, when the SDK
/// has no context of a request at hand; and only where entering any context succeeds. The
/// root context is asked for that one within this call, and what it makes does nothing: the
/// callout is none that anybody awaits.
pub(crate) fn release(root_id: u32, context_id: u32, token: u32) {
    proxy_on_context_create(context_id, root_id);
    proxy_on_http_call_response(root_id, token, 0, 0, 0);
    proxy_on_delete(context_id);
}
