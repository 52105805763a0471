//! Every host function of ABI 0.2.1, once, for both engines.

pub mod callouts;
pub mod maps;
pub mod metrics;
pub mod properties;
pub mod shared;

use super::abi::{Answer, Guest, Status, Trap};
use super::fake::{ActiveReply, FakeHost, LogLine, Step};
use super::faults::Fault;

/// The call's arguments, widened; pointers are addresses in the guest.
pub type Args<'a> = &'a [u64];

/// What Kong binds to its "not yet implemented" function: a trap when called.
///
/// `proxy_get_log_level` is worse, its declared type differs from the ABI's, so
/// a module that imports it is not even instantiated.
pub const KONG_TRAPS: &[&str] = &[
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_done",
    "proxy_get_log_level",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_resolve_shared_queue",
    // These exist, and trap because Kong configures no queue.
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_register_shared_queue",
];

/// Whether a real host may fail so. Where none does, the SDK panics: it calls these
/// two functions, and knows of `proxy_http_call` these two statuses.
fn happens(host: &FakeHost, name: &str, args: Args<'_>, fault: Fault) -> bool {
    match name {
        "proxy_http_call" => {
            matches!(fault, Fault::Fails(Status::BadArgument | Status::InternalFailure))
        }
        // Envoy may lack the context of a request, never one whose callback this is;
        // Kong's runtime does nothing.
        "proxy_set_effective_context" => {
            host.step == Step::Configure || !host.is_kong() && !host.is_root(args[0] as u32)
        }
        _ => true,
    }
}

/// Runs the host function `name`.
pub fn call(host: &mut FakeHost, guest: &mut dyn Guest, name: &str, args: Args<'_>) -> Answer {
    if host.is_kong() && KONG_TRAPS.contains(&name) {
        return Err(Trap::new(format!("{name} is not implemented by Kong's runtime")));
    }
    *host.calls.entry(name.to_owned()).or_default() += 1;
    let fault = host.faults.next(name).filter(|fault| happens(host, name, args, *fault));
    match fault {
        Some(Fault::Fails(status)) => return Ok(status),
        Some(Fault::Empty) if result_at(name).is_some() => {
            return give_less(guest, name, args, None);
        }
        Some(Fault::Short) if has_length(name) => {
            let status = run(host, guest, name, args)?;
            return match status {
                Status::Ok => give_less(guest, name, args, Some(1)),
                status => Ok(status),
            };
        }
        _ => {}
    }
    run(host, guest, name, args)
}

/// Where a function leaves what it gives: address and length.
fn result_at(name: &str) -> Option<usize> {
    match name {
        "proxy_get_buffer_bytes" | "proxy_get_header_map_value" => Some(3),
        "proxy_get_header_map_pairs" => Some(1),
        "proxy_get_property" | "proxy_get_shared_data" => Some(2),
        "proxy_call_foreign_function" => Some(4),
        _ => None,
    }
}

/// Whether the filter knows how much there is.
fn has_length(name: &str) -> bool {
    matches!(name, "proxy_get_buffer_bytes" | "proxy_get_header_map_pairs")
}

/// Makes of what a function gave nothing, or that much less.
fn give_less(guest: &mut dyn Guest, name: &str, args: Args<'_>, by: Option<usize>) -> Answer {
    let Some(at) = result_at(name) else { return Ok(Status::Ok) };
    let width = guest.pointer_width() as u64;
    let mut number = |at: u64| {
        let mut bytes = guest.read(at, width)?;
        bytes.resize(8, 0);
        Ok::<u64, Trap>(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    };
    match by {
        None => guest.give_null(args[at], args[at + 1])?,
        Some(by) => {
            let (address, length) = (number(args[at])?, number(args[at + 1])?);
            let length = length.saturating_sub(by as u64);
            if address > 0 {
                let bytes = guest.read(address, length)?;
                // The memory of the whole is lost: the filter owns as much as it is told of.
                guest.give(&bytes, args[at], args[at + 1])?;
            }
        }
    }
    Ok(Status::Ok)
}

fn run(host: &mut FakeHost, guest: &mut dyn Guest, name: &str, args: Args<'_>) -> Answer {
    match name {
        "proxy_log" => log(host, guest, args),
        "proxy_get_current_time_nanoseconds" => {
            guest.write(args[0], &host.now_ns.to_le_bytes())?;
            Ok(Status::Ok)
        }
        "proxy_set_tick_period_milliseconds" => set_tick_period(host, args),
        "proxy_set_effective_context" => Ok(set_effective_context(host, args)),
        "proxy_get_buffer_bytes" => get_buffer(host, guest, args),
        "proxy_get_header_map_pairs" => maps::list(host, guest, args),
        "proxy_get_header_map_value" => maps::get(host, guest, args),
        "proxy_add_header_map_value" => maps::add(host, guest, args),
        "proxy_replace_header_map_value" => maps::replace(host, guest, args),
        "proxy_remove_header_map_value" => maps::remove(host, guest, args),
        "proxy_get_property" => properties::get(host, guest, args),
        "proxy_set_property" => properties::set(host, guest, args),
        "proxy_http_call" => callouts::dispatch(host, guest, args),
        "proxy_send_local_response" => callouts::send_local_response(host, guest, args),
        "proxy_continue_stream" => callouts::continue_stream(host, args),
        "proxy_get_shared_data" => shared::get(host, guest, args),
        "proxy_set_shared_data" => shared::set(host, guest, args),
        "proxy_define_metric" => metrics::define(host, guest, args),
        "proxy_get_metric" => metrics::get(host, guest, args),
        "proxy_record_metric" => metrics::record(host, args),
        "proxy_increment_metric" => metrics::increment(host, args),
        "proxy_call_foreign_function" => call_foreign_function(host, guest, args),
        // On Envoy only, and harmless there.
        "proxy_done" => Ok(Status::Ok),
        "proxy_get_log_level" => {
            guest.write_u32(args[0], 0)?;
            Ok(Status::Ok)
        }
        other => {
            host.violate(format!("{other} was called, which the fake host does not model"));
            Ok(Status::InternalFailure)
        }
    }
}

fn call_foreign_function(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let name = guest.text(args[0], args[1])?;
    let arguments = guest.read(args[2], args[3])?;
    match (host.foreign)(&name, &arguments) {
        Ok(result) => {
            guest.give(&result, args[4], args[5])?;
            Ok(Status::Ok)
        }
        Err(status) => Ok(status),
    }
}

fn log(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let mut text = guest.text(args[1], args[2])?;
    if host.is_kong() {
        // NGX_MAX_ERROR_STR, less what nginx writes before the message.
        let kept = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= 2048 - 120).last();
        if text.len() > 2048 - 120 {
            text.truncate(kept.unwrap_or_default());
        }
    }
    host.logs.push(LogLine { level: args[0] as u32, text });
    Ok(Status::Ok)
}

fn set_tick_period(host: &mut FakeHost, args: Args<'_>) -> Answer {
    let period = args[0] as u32;
    if host.is_kong() {
        if !host.is_root(host.actual) {
            return Err(Trap::new("can only set tick_period in root context"));
        }
        if period > 0 && host.plugins[&host.actual].tick_period_ms.is_some() {
            return Err(Trap::new("tick_period already set"));
        }
    }
    let (now_ns, context) = (host.now_ns, host.context());
    let Some(plugin) = host.plugins.get_mut(&context) else {
        host.violate("a tick period was set outside of a root context");
        return Ok(Status::BadArgument);
    };
    plugin.tick_period_ms = (period > 0).then_some(period);
    plugin.next_tick_ns = now_ns + u64::from(period) * 1_000_000;
    Ok(Status::Ok)
}

fn set_effective_context(host: &mut FakeHost, args: Args<'_>) -> Status {
    if host.is_kong() {
        return Status::Ok;
    }
    let context = args[0] as u32;
    let known = host.streams.get(&context).is_some_and(|stream| stream.open);
    if !host.is_root(context) && !known {
        return Status::BadArgument;
    }
    host.effective = context;
    Status::Ok
}

fn get_buffer(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let [kind, start, max, address_at, len_at] = args[..5] else {
        return Err(Trap::new("arity"));
    };
    let bytes = match kind {
        0 if host.step == Step::RequestBody => {
            host.streams.get(&host.actual).map(|stream| stream.body_read.clone())
        }
        0 if host.is_kong() => {
            return Err(Trap::new("can only get request body during on_request_body"));
        }
        4 => match (&host.reply, host.step) {
            (Some(ActiveReply { body: None, .. }), Step::CallResponse) => {
                return Ok(Status::BadArgument);
            }
            (Some(reply), Step::CallResponse) => reply.body.clone(),
            _ if host.is_kong() => {
                let why = "can only get dispatch response body during on_http_dispatch_response";
                return Err(Trap::new(why));
            }
            _ => None,
        },
        // The VM configuration is empty on Kong, and nobody needs one here.
        6 => Some(Vec::new()),
        7 => {
            (host.step == Step::Configure).then(|| host.plugins[&host.actual].configuration.clone())
        }
        _ => None,
    };
    let Some(bytes) = bytes else {
        return Ok(Status::NotFound);
    };
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len() - start);
    if max == 0 {
        guest.give_null(address_at, len_at)?;
    } else {
        guest.give(&bytes[start..start + max], address_at, len_at)?;
    }
    Ok(Status::Ok)
}
