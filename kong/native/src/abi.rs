//! The C interface: pointers become slices and references, and nothing that fails inside
//! gets out.
//!
//! All that is unsafe of the caller's memory is in this file. `gatepass.h` says what a
//! caller promises: a gateway comes from [`gatepass_new`] and is not used after
//! [`gatepass_free`], nor by two threads at once; bytes are there, as many as it says,
//! during the call.

#![allow(unsafe_code, reason = "the door to C; each use says why it holds")]
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "gatepass.h says what each does and asks"
)]

use std::cell::RefCell;
use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::ptr;

use gatepass::callout::{CalloutFailure, CalloutReply};
use gatepass::config::Problem;
use gatepass::time::UnixTime;
use log::Level;

use crate::check;
use crate::door::{Door, Source};
use crate::encode::{RawAction, Text};
use crate::frame;

/// `GATEPASS_ABI` of `gatepass.h`.
pub const ABI: u32 = 1;

/// A gateway, and what was last lent of it to the caller.
#[derive(Debug)]
pub struct Gatepass {
    door: Door,
    line: (String, Line),
}

/// `gatepass_line`.
#[repr(C)]
#[derive(Debug)]
pub struct Line {
    level: u32,
    text: Text,
}

thread_local! {
    /// What was last lent to this thread of problems.
    static PROBLEMS: RefCell<(String, Text)> = RefCell::new((String::new(), Text::of(&[])));
}

/// The bytes that the caller lends; none for null.
///
/// # Safety
///
/// `size` bytes are there for as long as the result is used, unless `data` is null.
const unsafe fn lent<'a, T>(data: *const T, size: u32) -> &'a [T] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise. Numbers have an alignment, which LuaJIT gives to
    // arrays of them.
    unsafe { std::slice::from_raw_parts(data, size as usize) }
}

/// The moment a caller calls now; whole milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates, and NaN is the epoch")]
const fn time(now: f64) -> UnixTime {
    UnixTime::from_millis(now as i64)
}

/// The number of a request or a callout.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and such a number names nothing"
)]
const fn id(number: f64) -> u64 {
    number as u64
}

/// Carries out `event` and gives the first action. A panic ends `request` and all that the
/// gateway holds.
///
/// # Safety
///
/// `gateway` is one of the caller's, or null.
unsafe fn act(
    gateway: *mut Gatepass,
    request: Option<u64>,
    event: impl FnOnce(&mut Door),
) -> *const RawAction {
    // SAFETY: the caller's promise; no other reference to it is alive, since none leaves
    // this file.
    let Some(Gatepass { door, .. }) = (unsafe { gateway.as_mut() }) else { return ptr::null() };
    let next = |door: &mut Door| door.next().map_or(ptr::null(), ptr::from_ref);
    let acted = catch_unwind(AssertUnwindSafe(|| {
        event(door);
        next(door)
    }));
    let action = acted.or_else(|_| {
        catch_unwind(AssertUnwindSafe(|| {
            door.recover(request);
            next(door)
        }))
    });
    // Without an action the caller lets nothing pass.
    action.unwrap_or(ptr::null())
}

/// Reads something of a gateway; `otherwise` if it is null or fails.
///
/// # Safety
///
/// As [`act`].
unsafe fn read<T>(
    gateway: *mut Gatepass,
    otherwise: T,
    read: impl FnOnce(&mut Gatepass) -> T,
) -> T {
    // SAFETY: as in `act`.
    let Some(gateway) = (unsafe { gateway.as_mut() }) else { return otherwise };
    catch_unwind(AssertUnwindSafe(|| read(gateway))).unwrap_or(otherwise)
}

/// Lends problems to the caller, one a line; null for none.
fn lend_problems(problems: &[Problem]) -> *const Text {
    if problems.is_empty() {
        return ptr::null();
    }
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    PROBLEMS.with_borrow_mut(|(text, lent)| {
        *text = lines.join("\n");
        *lent = Text::of(text.as_bytes());
        ptr::from_ref(lent)
    })
}

/// A problem where there should be an answer, which the caller must take for one.
fn failed() -> *const Text {
    lend_problems(&[Problem::new("$", "a failure of the library", "a configuration it can read")])
}

#[unsafe(no_mangle)]
pub const extern "C" fn gatepass_abi() -> u32 {
    ABI
}

#[unsafe(no_mangle)]
pub const extern "C" fn gatepass_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_check(configuration: *const u8, size: u32) -> *const Text {
    // SAFETY: the caller lends the bytes.
    let configuration = unsafe { lent(configuration, size) };
    let problems = catch_unwind(|| lend_problems(&check::problems(configuration)));
    problems.unwrap_or_else(|_| failed())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_new(
    configuration: *const u8,
    size: u32,
    directory: *const u8,
    directory_size: u32,
    problems: *mut *const Text,
) -> *mut Gatepass {
    // SAFETY: the caller lends the bytes of both.
    let (configuration, directory) =
        unsafe { (lent(configuration, size), lent(directory, directory_size)) };
    let directory = Some(directory).filter(|it| !it.is_empty());
    let source = Source {
        configuration: configuration.to_vec(),
        directory: directory.map(|it| PathBuf::from(OsStr::from_bytes(it))),
    };
    let found = match catch_unwind(|| Door::open(source)) {
        Ok(Ok(door)) => {
            let line = (String::new(), Line { level: 0, text: Text::of(&[]) });
            return Box::into_raw(Box::new(Gatepass { door, line }));
        }
        Ok(Err(found)) => lend_problems(&found.0),
        Err(_) => failed(),
    };
    if !problems.is_null() {
        // SAFETY: the caller gave the place of a pointer.
        unsafe { problems.write(found) };
    }
    ptr::null_mut()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_free(gateway: *mut Gatepass) {
    if !gateway.is_null() {
        // SAFETY: it was made by `gatepass_new`, and the caller does not use it again.
        let gateway = unsafe { Box::from_raw(gateway) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(gateway)));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_begin(
    gateway: *mut Gatepass,
    request: f64,
    head: *const u8,
    size: u32,
    sizes: *const u32,
    fields: u32,
    now: f64,
) -> *const RawAction {
    // SAFETY: the caller lends both; there are two sizes for each field.
    let (head, sizes) = unsafe { (lent(head, size), lent(sizes, fields.saturating_mul(2))) };
    let request = id(request);
    let event = |door: &mut Door| door.begin(request, frame::begun(head, sizes), time(now));
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, Some(request), event) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_body(
    gateway: *mut Gatepass,
    request: f64,
    body: *const u8,
    size: u32,
    now: f64,
) -> *const RawAction {
    // SAFETY: the caller lends the bytes.
    let body = (!body.is_null()).then(|| unsafe { lent(body, size) }.to_vec());
    let request = id(request);
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, Some(request), |door| door.body(request, body, time(now))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_gone(gateway: *mut Gatepass, request: f64) -> *const RawAction {
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, None, |door| door.gone(id(request))) }
}

#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "C has no slices")]
pub unsafe extern "C" fn gatepass_reply(
    gateway: *mut Gatepass,
    callout: f64,
    status: u32,
    head: *const u8,
    head_size: u32,
    sizes: *const u32,
    fields: u32,
    body: *const u8,
    size: u32,
    now: f64,
) -> *const RawAction {
    // SAFETY: the caller lends all three; there are two sizes for each field.
    let (head, sizes, body) =
        unsafe { (lent(head, head_size), lent(sizes, fields.saturating_mul(2)), lent(body, size)) };
    let event = |door: &mut Door| {
        let status = u16::try_from(status).ok().filter(|status| (100..1000).contains(status));
        let reply = match frame::fields(head, sizes) {
            Some(fields) => {
                CalloutReply::whole(status, fields, body.to_vec(), door.max_reply_bytes())
            }
            None => CalloutReply::Failed(CalloutFailure::Broken),
        };
        door.reply(id(callout), &reply, time(now));
    };
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, None, event) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_failed(
    gateway: *mut Gatepass,
    callout: f64,
    cause: u32,
    now: f64,
) -> *const RawAction {
    let event = |door: &mut Door| {
        let failure = match cause {
            1 => CalloutFailure::NotSent,
            3 => CalloutFailure::Broken,
            4 => CalloutFailure::TooLarge { limit: door.max_reply_bytes() },
            _ => CalloutFailure::NoReply,
        };
        door.reply(id(callout), &CalloutReply::Failed(failure), time(now));
    };
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, None, event) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_tick(gateway: *mut Gatepass, now: f64) -> *const RawAction {
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, None, |door| door.tick(time(now))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_next(gateway: *mut Gatepass) -> *const RawAction {
    // SAFETY: the caller's gateway.
    unsafe { act(gateway, None, |_| {}) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_log(gateway: *mut Gatepass) -> *const Line {
    let take = |Gatepass { door, line }: &mut Gatepass| {
        let Some((level, text)) = door.take_line() else { return ptr::null() };
        line.0 = text;
        line.1 = Line { level: nginx_level(level), text: Text::of(line.0.as_bytes()) };
        ptr::from_ref(&line.1)
    };
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, ptr::null(), take) }
}

const fn nginx_level(level: Level) -> u32 {
    match level {
        Level::Error => 4,
        Level::Warn => 5,
        Level::Info => 7,
        Level::Debug | Level::Trace => 8,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_max_reply(gateway: *mut Gatepass) -> u32 {
    // SAFETY: the caller's gateway.
    let bytes = unsafe { read(gateway, 0, |it| it.door.max_reply_bytes()) };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_retire(gateway: *mut Gatepass) {
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, (), |it| it.door.retire()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_held(gateway: *mut Gatepass) -> u32 {
    // SAFETY: the caller's gateway.
    let held = unsafe { read(gateway, 0, |it| it.door.under_way()) };
    u32::try_from(held).unwrap_or(u32::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_panics(gateway: *mut Gatepass) -> u32 {
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, 0, |it| it.door.panics()) }
}
