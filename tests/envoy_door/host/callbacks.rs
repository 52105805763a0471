//! The functions that the module looks up.

use std::ffi::c_void;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::hooks::envoy_dynamic_module_on_http_filter_request_body;
use super::{
    Answer, Buffer, Callout, Config, Event, Header, LOG, Pairs, Queue, Scheduler, Stream, destroy,
    pairs,
};

macro_rules! callbacks {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) $(-> $result)? $body
    )*};
}

fn stream<'a>(ptr: *mut c_void) -> &'a Stream {
    // SAFETY: the module passes on what a hook gave it.
    let stream = unsafe { &*ptr.cast::<Stream>() };
    assert!(!stream.destroyed.get(), "a stream is used after its end");
    stream
}

fn config<'a>(ptr: *mut c_void) -> &'a Config {
    // SAFETY: the module passes on what a hook gave it.
    unsafe { &*ptr.cast::<Config>() }
}

fn map(stream: &Stream, map: u32) -> Option<Pairs> {
    if map == 0 { Some(stream.head.borrow().clone()) } else { stream.trailers.borrow().clone() }
}

fn tell(told: Option<&'static str>, value: *mut Buffer) -> bool {
    if let Some(told) = told {
        // SAFETY: the module lends a place for it.
        unsafe { *value = Buffer::of(told.as_bytes()) };
    }
    told.is_some()
}

fn define(ptr: *mut c_void, name: Buffer, labels: usize, id: *mut usize) -> u32 {
    let config = config(ptr);
    if config.frozen.get() {
        return 3;
    }
    config.metrics.borrow_mut().push((name.text(), labels));
    // SAFETY: the module lends a place for the number.
    unsafe { *id = config.metrics.borrow().len() - 1 };
    0
}

fn feed(
    ptr: *mut c_void,
    id: usize,
    labels: *const Buffer,
    length: usize,
    change: impl FnOnce(u64) -> u64,
) -> u32 {
    let config = config(ptr);
    let (mut name, count) = config.metrics.borrow()[id].clone();
    assert_eq!(length, count, "labels of {name}");
    if config.refuses.get() == Some(name.as_str()) {
        return 2;
    }
    // SAFETY: the module lends so many labels.
    let labels = if length == 0 { &[] } else { unsafe { slice::from_raw_parts(labels, length) } };
    labels.iter().for_each(|label| name += &format!(" {}", label.text()));
    let mut counts = config.counts.borrow_mut();
    let count = counts.entry(name).or_default();
    *count = change(*count);
    0
}

fn scheduler(queue: &Queue, count: &Arc<AtomicI32>, event: Event) -> *mut c_void {
    count.fetch_add(1, Ordering::Relaxed);
    let (queue, count) = (Arc::clone(queue), Arc::clone(count));
    Box::into_raw(Box::new(Scheduler { queue, event, count })).cast()
}

fn commit(ptr: *mut c_void) {
    // SAFETY: made by `scheduler`, deleted by `delete` only.
    let scheduler = unsafe { &*ptr.cast::<Scheduler>() };
    scheduler.queue.lock().unwrap().push_back(scheduler.event);
}

fn delete(ptr: *mut c_void) {
    // SAFETY: made by `scheduler`; the module gives it back once.
    let scheduler = unsafe { Box::from_raw(ptr.cast::<Scheduler>()) };
    scheduler.count.fetch_sub(1, Ordering::Relaxed);
}

callbacks! {
    fn envoy_dynamic_module_callback_log(_level: u32, message: Buffer) {
        // A failed test too panics into Envoy's log.
        eprintln!("{}", message.text());
        let _ = LOG.try_with(|log| log.borrow_mut().push(message.text()));
    }
    fn envoy_dynamic_module_callback_http_get_headers_size(ptr: *mut c_void, which: u32) -> usize {
        let stream = stream(ptr);
        stream.lies.get().unwrap_or_else(|| map(stream, which).map_or(0, |pairs| pairs.len()))
    }
    fn envoy_dynamic_module_callback_http_get_headers(
        ptr: *mut c_void, which: u32, fields: *mut Header,
    ) -> bool {
        let stream = stream(ptr);
        let head = stream.head.borrow();
        let trailers = stream.trailers.borrow();
        if stream.is_unread.get() {
            return false;
        }
        let Some(map) = (if which == 0 { Some(&*head) } else { trailers.as_ref() }) else {
            return false;
        };
        for (position, (name, value)) in map.iter().enumerate() {
            let header = Header { key: Buffer::of(name.as_bytes()), value: Buffer::of(value) };
            // SAFETY: the module lends room for as many as there are.
            unsafe { fields.add(position).write(header) };
        }
        true
    }
    fn envoy_dynamic_module_callback_http_set_header(
        ptr: *mut c_void, which: u32, name: Buffer, value: Buffer,
    ) -> bool {
        let stream = stream(ptr);
        let (name, value) = (name.text(), value.to_vec());
        let mut head = stream.head.borrow_mut();
        let mut trailers = stream.trailers.borrow_mut();
        let Some(map) = (if which == 0 { Some(&mut *head) } else { trailers.as_mut() }) else {
            return false;
        };
        map.retain(|(own, _)| *own != name);
        if !value.is_empty() {
            map.push((name, value));
        }
        true
    }
    fn envoy_dynamic_module_callback_http_send_response(
        ptr: *mut c_void, status: u32, fields: *const Header, length: usize, body: Buffer,
        details: Buffer,
    ) {
        let answered = stream(ptr);
        let (headers, body) = (pairs(fields, length), body.to_vec());
        let answer = Answer { status, details: details.text(), headers, body };
        assert!(answered.answer.replace(Some(answer)).is_none(), "answered twice");
        let goes_on = answered.continued.get() > 0;
        assert!(!goes_on || status == 500, "answered after it went on");
        if answered.ends_when_answered.get() {
            destroy(answered);
        }
    }
    fn envoy_dynamic_module_callback_http_filter_continue_decoding(ptr: *mut c_void) {
        let stream = stream(ptr);
        assert!(stream.answer.borrow().is_none(), "went on after an answer");
        stream.continued.set(stream.continued.get() + 1);
        // What was held back comes inside of this call.
        if !stream.chunk.borrow().is_empty() {
            let passed = unsafe {
                // SAFETY: both are of this stream.
                envoy_dynamic_module_on_http_filter_request_body(ptr, stream.module.get(), true)
            };
            assert_eq!(passed, 0, "the body of a request that passes");
        }
    }
    fn envoy_dynamic_module_callback_http_get_body_chunks_size(ptr: *mut c_void, which: u32) -> usize {
        assert_eq!(which, 0);
        usize::from(!stream(ptr).chunk.borrow().is_empty())
    }
    fn envoy_dynamic_module_callback_http_get_body_chunks(
        ptr: *mut c_void, _which: u32, chunks: *mut Buffer,
    ) -> bool {
        // SAFETY: the module lends room for one.
        unsafe { chunks.write(Buffer::of(&stream(ptr).chunk.borrow())) };
        true
    }
    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        ptr: *mut c_void, name: Buffer, value: Buffer,
    ) -> bool {
        stream(ptr).state.borrow_mut().insert(name.text(), value.text());
        true
    }
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        ptr: *mut c_void, attribute: u32, value: *mut Buffer,
    ) -> bool {
        let told = match attribute {
            24 => Some("192.0.2.7:4711"),
            38 => stream(ptr).certificate.get(),
            other => panic!("attribute {other}"),
        };
        tell(told, value)
    }
    fn envoy_dynamic_module_callback_http_get_metadata_string(
        ptr: *mut c_void, source: u32, namespace: Buffer, key: Buffer, value: *mut Buffer,
    ) -> bool {
        assert_eq!((source, namespace.text().as_str()), (0, "envoy.filters.http.mcp"));
        let key = key.text();
        let found = stream(ptr).call.get().texts.iter().find(|(own, _)| *own == key);
        tell(found.map(|(_, text)| *text), value)
    }
    fn envoy_dynamic_module_callback_http_get_metadata_bool(
        ptr: *mut c_void, source: u32, namespace: Buffer, key: Buffer, value: *mut bool,
    ) -> bool {
        assert_eq!((source, namespace.text().as_str()), (0, "envoy.filters.http.mcp"));
        let is_there = stream(ptr).call.get().flags.contains(&key.text().as_str());
        if is_there {
            // SAFETY: the module lends a place for it.
            unsafe { *value = true };
        }
        is_there
    }
    fn envoy_dynamic_module_callback_http_get_filter_state_typed(
        ptr: *mut c_void, name: Buffer, value: *mut Buffer,
    ) -> bool {
        assert_eq!(name.text(), "envoy.filters.http.mcp.request");
        tell(stream(ptr).call.get().state, value)
    }
    fn envoy_dynamic_module_callback_get_most_specific_route_config(
        ptr: *mut c_void,
    ) -> *const c_void {
        stream(ptr).route.get()
    }
    fn envoy_dynamic_module_callback_http_filter_scheduler_new(ptr: *mut c_void) -> *mut c_void {
        let stream = stream(ptr);
        scheduler(&stream.queue, &stream.schedulers, Event::Stream(stream.number))
    }
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(ptr: *mut c_void, _event: u64) {
        commit(ptr);
    }
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(ptr: *mut c_void) {
        delete(ptr);
    }
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        ptr: *mut c_void,
    ) -> *mut c_void {
        let config = config(ptr);
        scheduler(&config.queue, &config.schedulers, Event::Main)
    }
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        ptr: *mut c_void, _event: u64,
    ) {
        commit(ptr);
    }
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(ptr: *mut c_void) {
        delete(ptr);
    }
    fn envoy_dynamic_module_callback_http_filter_config_http_callout(
        ptr: *mut c_void, callout: *mut u64, cluster: Buffer, fields: *const Header, length: usize,
        body: Buffer, _timeout: u64,
    ) -> u32 {
        let config = config(ptr);
        let sent = Callout { head: pairs(fields, length) };
        let _ = body.to_vec();
        if cluster.text() == "nowhere" {
            return 2;
        }
        config.next.set(config.next.get() + 1);
        // SAFETY: the module lends a place for it.
        unsafe { *callout = config.next.get() };
        config.callouts.borrow_mut().insert(config.next.get(), sent);
        0
    }
    fn envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(
        ptr: *mut c_void, name: Buffer, source: Buffer,
    ) -> usize {
        let config = config(ptr);
        assert!(!config.frozen.get(), "asked for too late");
        if name.text() == "refused" {
            return 0;
        }
        let mut secrets = config.secrets.borrow_mut();
        // What the bootstrap has is there at once.
        let value = if name.text() == "static" { super::SECRET } else { "" };
        secrets.push((name.text(), source.text(), value.as_bytes().to_vec()));
        secrets.len()
    }
    fn envoy_dynamic_module_callback_http_filter_config_get_generic_secret(
        ptr: *mut c_void, id: usize, value: *mut Buffer,
    ) -> bool {
        let secrets = config(ptr).secrets.borrow();
        let Some((_, _, secret)) = id.checked_sub(1).and_then(|id| secrets.get(id)) else {
            return false;
        };
        // SAFETY: the module lends a place for it, and reads it before the hook ends.
        unsafe { *value = Buffer::of(secret) };
        true
    }
    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        ptr: *mut c_void, name: Buffer, _labels: *const Buffer, length: usize, id: *mut usize,
    ) -> u32 {
        define(ptr, name, length, id)
    }
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        ptr: *mut c_void, name: Buffer, _labels: *const Buffer, length: usize, id: *mut usize,
    ) -> u32 {
        define(ptr, name, length, id)
    }
    fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        ptr: *mut c_void, name: Buffer, _labels: *const Buffer, length: usize, id: *mut usize,
    ) -> u32 {
        define(ptr, name, length, id)
    }
    fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        ptr: *mut c_void, id: usize, labels: *const Buffer, length: usize, value: u64,
    ) -> u32 {
        feed(ptr, id, labels, length, |count| count + value)
    }
    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        ptr: *mut c_void, id: usize, labels: *const Buffer, length: usize, value: u64,
    ) -> u32 {
        feed(ptr, id, labels, length, |_| value)
    }
    fn envoy_dynamic_module_callback_http_filter_config_record_histogram_value(
        ptr: *mut c_void, id: usize, labels: *const Buffer, length: usize, _value: u64,
    ) -> u32 {
        feed(ptr, id, labels, length, |count| count + 1)
    }
}
