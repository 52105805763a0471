//! The C interface: turns pointers into slices and references, and contains every
//! failure.
//!
//! All unsafe access to the caller's memory is in this file. `gatepass.h` states the
//! caller's obligations: a gateway comes from [`gatepass_new`] and is not used after
//! [`gatepass_free`], nor by two threads at once; bytes are valid, in the stated number,
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
use gatepass::host::HostCapabilities;
use gatepass::metrics::{Kind, help};
use gatepass::pipeline::AnnouncementOutcome;
use gatepass::time::UnixTime;
use log::Level;

use crate::check;
use crate::door::{Door, Source};
use crate::encode::{Field, RawAction, Text, number};
use crate::frame::{self, Known};
use crate::numbers::{self, Announcement, MetricKind};

/// `GATEPASS_ABI` of `gatepass.h`.
pub const ABI: u32 = 10;

/// A gateway, and what it last lent to the caller.
#[derive(Debug)]
pub struct Gatepass {
    door: Door,
    line: (String, Line),
    announcement: (String, Text),
    labels: Vec<Field>,
    sample: Sample,
}

/// `gatepass_sample`.
#[repr(C)]
#[derive(Debug)]
pub struct Sample {
    kind: MetricKind,
    label_count: u32,
    name: Text,
    labels: *const Field,
    amount: f64,
    help: Text,
}

/// `gatepass_line`.
#[repr(C)]
#[derive(Debug)]
pub struct Line {
    level: u32,
    text: Text,
}

thread_local! {
    /// The problems last lent to this thread.
    static PROBLEMS: RefCell<(String, Text)> = RefCell::new((String::new(), Text::of(&[])));
}

/// The bytes that the caller lends; none for null.
///
/// # Safety
///
/// `data` is null, or points to `size` values that are aligned for `T`, and valid and not
/// written for as long as the result is used.
const unsafe fn lent<'a, T>(data: *const T, size: u32) -> &'a [T] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { std::slice::from_raw_parts(data, size as usize) }
}

/// `gatepass_header`.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    name: Lent,
    value: Lent,
}

/// `gatepass_lent`: bytes of nginx.
#[repr(C)]
#[derive(Debug)]
pub struct Lent {
    size: i32,
    data: *const u8,
}

impl Lent {
    /// The bytes; `None` if the size is negative, which is a bug of the caller.
    ///
    /// # Safety
    ///
    /// As [`lent`].
    unsafe fn bytes<'a>(&self) -> Option<&'a [u8]> {
        let size = u32::try_from(self.size).ok()?;
        // SAFETY: guaranteed by the caller.
        Some(unsafe { lent(self.data, size) })
    }
}

/// The caller's current time, in whole milliseconds.
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

/// Passes `event` to the gateway; `None` after a panic, which ends `request` and all held
/// requests.
fn change<T>(
    door: &mut Door,
    request: Option<u64>,
    event: impl FnOnce(&mut Door) -> T,
) -> Option<T> {
    let changed = catch_unwind(AssertUnwindSafe(|| event(door)));
    if changed.is_err() {
        let _ = catch_unwind(AssertUnwindSafe(|| door.recover(request)));
    }
    changed.ok()
}

/// Passes `event` to the gateway and returns the first action, also after a panic.
///
/// # Safety
///
/// `gateway` is one of the caller's, or null.
unsafe fn act(
    gateway: *mut Gatepass,
    request: Option<u64>,
    event: impl FnOnce(&mut Door),
) -> *const RawAction {
    // SAFETY: guaranteed by the caller; no other reference to it is alive, since none
    // leaves this file.
    let Some(Gatepass { door, .. }) = (unsafe { gateway.as_mut() }) else { return ptr::null() };
    let next = |door: &mut Door| door.next().map_or(ptr::null(), ptr::from_ref);
    let acted = change(door, request, |door| {
        event(door);
        next(door)
    });
    // Without an action the caller lets nothing pass.
    acted.or_else(|| change(door, None, next)).unwrap_or(ptr::null())
}

/// Reads a value from a gateway; `otherwise` if it is null or fails.
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

/// Lends problems to the caller, one per line; null for none.
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

/// A problem in place of a result after a failure; the caller must not mistake it for
/// success.
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
    has_consumers: u32,
    now: f64,
    problems: *mut *const Text,
) -> *mut Gatepass {
    // SAFETY: the caller lends the bytes of both.
    let (configuration, directory) =
        unsafe { (lent(configuration, size), lent(directory, directory_size)) };
    let directory = Some(directory).filter(|it| !it.is_empty());
    let source = Source {
        configuration: configuration.to_vec(),
        directory: directory.map(|it| PathBuf::from(OsStr::from_bytes(it))),
        host: HostCapabilities {
            has_consumers: has_consumers == 1,
            ..HostCapabilities::KONG_PLUGIN
        },
    };
    let found = match catch_unwind(|| Door::open(source, time(now))) {
        Ok(Ok(door)) => {
            let line = (String::new(), Line { level: 0, text: Text::of(&[]) });
            let announcement = (String::new(), Text::of(&[]));
            let (labels, sample) = (Vec::new(), Sample::of(Kind::Counter, "", &[], 0));
            return Box::into_raw(Box::new(Gatepass { door, line, announcement, labels, sample }));
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
#[allow(clippy::too_many_arguments, reason = "C has no slices")]
pub unsafe extern "C" fn gatepass_begin(
    gateway: *mut Gatepass,
    request: f64,
    address: *const u8,
    address_size: u32,
    peer: *const u8,
    peer_size: u32,
    name: *const u8,
    name_size: u32,
    certificate: *const u8,
    certificate_size: u32,
    method: *const u8,
    method_size: u32,
    target: *const u8,
    target_size: u32,
    scheme: *const u8,
    scheme_size: u32,
    fields: *const Header,
    count: u32,
    now: f64,
) -> *const RawAction {
    // SAFETY: the caller lends all of them, and what the fields point to, until this returns. The
    // fields are an array that LuaJIT aligned for lua-resty-core's struct, which has the same
    // members (`fits` in headers.lua).
    let (known, fields) = unsafe {
        let known = Known {
            address: lent(address, address_size),
            peer: lent(peer, peer_size),
            id: lent(name, name_size),
            certificate: lent(certificate, certificate_size),
            method: lent(method, method_size),
            target: lent(target, target_size),
            scheme: lent(scheme, scheme_size),
        };
        let fields = lent(fields, count).iter();
        (known, fields.map(|it| Some((it.name.bytes()?, it.value.bytes()?))))
    };
    let request = id(request);
    let event = |door: &mut Door| {
        let fields: Option<Vec<_>> = fields.collect();
        door.begin(request, fields.map(|fields| frame::begun(&known, &fields)), time(now));
    };
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
    // SAFETY: the caller lends all three until this returns. There are two sizes for each field,
    // in an array that LuaJIT made as `uint32_t[?]`, and so aligned.
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
    failure: u32,
    now: f64,
) -> *const RawAction {
    let event = |door: &mut Door| {
        let failure = numbers::failure(failure, door.max_reply_bytes());
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
pub unsafe extern "C" fn gatepass_announcement(gateway: *mut Gatepass) -> *const Text {
    let take = |Gatepass { door, announcement, .. }: &mut Gatepass| {
        let Some(text) = door.take_announcement() else { return ptr::null() };
        announcement.0 = text;
        announcement.1 = Text::of(announcement.0.as_bytes());
        ptr::from_ref(&announcement.1)
    };
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, ptr::null(), take) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_apply_announcement(
    gateway: *mut Gatepass,
    text: *const u8,
    size: u32,
    now: f64,
) -> Announcement {
    // SAFETY: the caller lends the bytes.
    let text = unsafe { lent(text, size) };
    // SAFETY: as in `act`.
    let door = unsafe { gateway.as_mut() }.map(|it| &mut it.door);
    let outcome = door
        .and_then(|door| change(door, None, |door| door.apply_announcement(text, time(now))))
        .unwrap_or(AnnouncementOutcome::Failed);
    Announcement::of(outcome)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_log(gateway: *mut Gatepass) -> *const Line {
    let take = |Gatepass { door, line, .. }: &mut Gatepass| {
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

impl Sample {
    fn of(kind: Kind, name: &str, labels: &[Field], amount: u64) -> Self {
        let kind = MetricKind::of(kind);
        let label_count = u32::try_from(labels.len()).unwrap_or_default();
        let help = Text::of(help(name).as_bytes());
        let (name, labels) = (Text::of(name.as_bytes()), labels.as_ptr());
        Self { kind, label_count, name, labels, amount: number(amount), help }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_next_sample(gateway: *mut Gatepass) -> *const Sample {
    let take = |Gatepass { door, labels, sample, .. }: &mut Gatepass| {
        let Some((series, amount)) = door.take_sample() else { return ptr::null() };
        labels.clear();
        let pairs = series.labels.iter();
        labels.extend(pairs.map(|(name, value)| Field::of(name.as_bytes(), value.as_bytes())));
        *sample = Sample::of(series.kind, series.name, labels, amount);
        ptr::from_ref(sample)
    };
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, ptr::null(), take) }
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
pub unsafe extern "C" fn gatepass_in_progress(gateway: *mut Gatepass) -> u32 {
    // SAFETY: the caller's gateway.
    let count = unsafe { read(gateway, 0, |it| it.door.in_progress()) };
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gatepass_panics(gateway: *mut Gatepass) -> u32 {
    // SAFETY: the caller's gateway.
    unsafe { read(gateway, 0, |it| it.door.panics()) }
}

#[cfg(test)]
mod tests {
    //! The calls as LuaJIT makes them.

    use super::*;

    const NOW: f64 = 1_700_000_000_000.0;

    /// `/open` is open; anything else asks a service that never answers.
    const CONFIGURATION: &str = r#"{
        "services": {"auth": {"upstream": "auth:8080"}},
        "providers": {"shop": {"issuer": "https://a", "audiences": ["b"],
            "remote_jwks": {"service": "auth", "path": "/jwks"}}},
        "identity_token": {"issuer": "https://c", "audiences": ["d"], "signing_keys": [{
            "algorithm": "EdDSA", "private_key": {"kty": "OKP", "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]},
        "rules": [{"match": {"path": "/open"}, "bypass": true}]
    }"#;

    fn lend(text: &str) -> Lent {
        Lent { size: i32::try_from(text.len()).unwrap(), data: text.as_ptr() }
    }

    fn begin(
        gateway: *mut Gatepass,
        request: f64,
        target: &str,
        fields: &[Header],
    ) -> *const RawAction {
        let size = |text: &str| u32::try_from(text.len()).unwrap();
        let [address, peer, method, scheme] = ["192.0.2.1", "192.0.2.2", "GET", "http"];
        let name = format!("id-{request}");
        let count = u32::try_from(fields.len()).unwrap();
        // SAFETY: the gateway is open or null; the bytes are there during the call.
        unsafe {
            gatepass_begin(
                gateway,
                request,
                address.as_ptr(),
                size(address),
                peer.as_ptr(),
                size(peer),
                name.as_ptr(),
                size(&name),
                ptr::null(),
                0,
                method.as_ptr(),
                size(method),
                target.as_ptr(),
                size(target),
                scheme.as_ptr(),
                size(scheme),
                fields.as_ptr(),
                count,
                NOW,
            )
        }
    }

    struct Owned(*mut Gatepass);

    impl Owned {
        fn open(configuration: &str) -> Result<Self, String> {
            let mut problems = ptr::null();
            let size = u32::try_from(configuration.len()).unwrap();
            // SAFETY: the bytes and the place for problems are there.
            let gateway = unsafe {
                gatepass_new(
                    configuration.as_ptr(),
                    size,
                    ptr::null(),
                    0,
                    0,
                    NOW,
                    &raw mut problems,
                )
            };
            if gateway.is_null() {
                // SAFETY: problems were lent, and nothing was called since.
                return Err(unsafe { problems.as_ref() }.unwrap().to_text());
            }
            Ok(Self(gateway))
        }

        fn begin(&self, request: f64, target: &str, token: &str) -> *const RawAction {
            let fields = [("host", "shop"), ("authorization", token), ("x-consumer-id", "forged")];
            let fields =
                fields.map(|(name, value)| Header { name: lend(name), value: lend(value) });
            begin(self.0, request, target, &fields)
        }

        /// The actions from `first` on.
        fn all(&self, first: *const RawAction) -> Vec<String> {
            let mut texts = Vec::new();
            let mut action = first;
            // SAFETY: each action is read before the next call.
            while let Some(text) = unsafe { action.as_ref() }.map(RawAction::to_text) {
                texts.push(text);
                // SAFETY: the gateway is open.
                action = unsafe { gatepass_next(self.0) };
            }
            texts
        }

        fn lines(&self) -> Vec<String> {
            let mut lines = Vec::new();
            // SAFETY: the gateway is open, and each line is read before the next call.
            while let Some(line) = unsafe { gatepass_log(self.0).as_ref() } {
                lines.push(format!("{} {}", line.level, line.text.to_text()));
            }
            lines
        }

        /// The next sample of this round: its name and its amount.
        fn sample(&self) -> Option<(String, f64)> {
            // SAFETY: the gateway is open, and it is read before the next call.
            let sample = unsafe { gatepass_next_sample(self.0).as_ref() }?;
            Some((sample.name.to_text(), sample.amount))
        }

        /// The amounts under a name in the rest of this round.
        fn samples(&self, name: &str) -> Vec<f64> {
            let all = std::iter::from_fn(|| self.sample());
            all.filter(|(own, _)| own == name).map(|(_, amount)| amount).collect()
        }

        /// Whether there are lines to log, and whether there is nothing more to take.
        fn told_with(&self, action: *const RawAction) -> (bool, bool) {
            // SAFETY: it was lent, and nothing was called since.
            let action = unsafe { action.as_ref() }.unwrap();
            (action.logged == 1, action.is_all == 1)
        }
    }

    impl Drop for Owned {
        fn drop(&mut self) {
            // SAFETY: it is not used again.
            unsafe { gatepass_free(self.0) }
        }
    }

    /// A token of the right form, not signed.
    const TOKEN: &str = "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.\
        eyJpc3MiOiJodHRwczovL2EiLCJhdWQiOiJiIiwic3ViIjoiYyIsImV4cCI6MTgwMDAwMDAwMH0.AAAA";

    #[test]
    fn a_request_passes_is_denied_or_waits() {
        let gateway = Owned::open(CONFIGURATION).unwrap();
        let open = gateway.begin(1.0, "/open", "");
        assert_eq!(gateway.all(open), ["Forward for 1: -x-consumer-id -authorization"]);
        let denied = gateway.all(gateway.begin(2.0, "/other", ""));
        assert_eq!(denied.len(), 1);
        assert!(denied[0].starts_with("Reply for 2: 401 "), "{denied:?}");
        assert!(gateway.lines().iter().any(|line| line.contains("token_missing")));
        // SAFETY: the gateway is open.
        assert_eq!(unsafe { gatepass_panics(gateway.0) }, 0);

        let waiting = gateway.all(gateway.begin(3.0, "/other", TOKEN));
        let [waiting] = waiting.as_slice() else { panic!("{waiting:?}") };
        assert!(waiting.starts_with("Suspend for 3: callout 1 to auth:8080 "), "{waiting}");
        let joined = gateway.all(gateway.begin(4.0, "/other", TOKEN));
        assert_eq!(joined, ["Suspend for 4: "]);
        // SAFETY: the gateway is open.
        assert_eq!(unsafe { gatepass_in_progress(gateway.0) }, 3);
        // SAFETY: the same.
        let gone = unsafe { gatepass_gone(gateway.0, 4.0) };
        assert!(gone.is_null());
        // SAFETY: the same.
        let failed = unsafe { gatepass_failed(gateway.0, 1.0, 2, NOW + 1.0) };
        let failed = gateway.all(failed);
        assert!(matches!(&failed[..], [one] if one.starts_with("Reply for 3: 503 ")), "{failed:?}");
        let named = |line: &String| line.contains(r#""request_id":"id-3""#);
        assert!(gateway.lines().iter().any(named), "under the name that nginx logs");
        // SAFETY: the same; a callout that is not known is nobody's.
        let again = unsafe { gatepass_failed(gateway.0, 1.0, 2, NOW + 2.0) };
        assert!(again.is_null());
        // SAFETY: the same.
        assert_eq!(unsafe { gatepass_in_progress(gateway.0) }, 0);
    }

    #[test]
    fn an_action_says_whether_there_is_more() {
        let gateway = Owned::open(CONFIGURATION).unwrap();
        gateway.all(gateway.begin(1.0, "/open", ""));
        assert!(gateway.lines().iter().any(|line| line.contains("started")));
        let open = gateway.begin(1.0, "/open", "");
        assert_eq!(gateway.told_with(open), (false, true));
        let denied = gateway.begin(2.0, "/other", "");
        assert_eq!(gateway.told_with(denied), (true, false));
        gateway.lines();
        for request in [3.0, 4.0] {
            assert_eq!(gateway.all(gateway.begin(request, "/other", TOKEN)).len(), 1);
        }
        gateway.lines();
        // SAFETY: the gateway is open.
        let first = unsafe { gatepass_failed(gateway.0, 1.0, 2, NOW + 1.0) };
        assert_eq!(gateway.told_with(first), (true, false));
        gateway.lines();
        // SAFETY: the same.
        let second = unsafe { gatepass_next(gateway.0) };
        assert!(!gateway.told_with(second).1, "its line");
    }

    #[test]
    fn a_line_has_the_level_that_nginx_gives_it() {
        let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
        // NGX_LOG_ERR, WARN, INFO and DEBUG.
        assert_eq!(levels.map(nginx_level), [4, 5, 7, 8, 8]);
    }

    #[test]
    fn a_round_of_readings_ends_before_what_is_counted_meanwhile() {
        const REQUESTS: &str = "gatepass_requests_total";
        let gateway = Owned::open(CONFIGURATION).unwrap();
        assert_eq!(gateway.samples(REQUESTS), [] as [f64; 0]);
        gateway.all(gateway.begin(1.0, "/open", ""));
        let (first, _) = gateway.sample().unwrap();
        assert_eq!(first, REQUESTS);
        gateway.all(gateway.begin(2.0, "/open", ""));
        assert_eq!(gateway.samples(REQUESTS), [] as [f64; 0]);
        assert_eq!(gateway.samples(REQUESTS), [1.0]);
        assert_eq!(gateway.sample(), None);
        // SAFETY: the gateway is open.
        unsafe { gatepass_retire(gateway.0) };
        assert_eq!(gateway.samples("gatepass_jwks_age_seconds"), [0.0], "told once more");
    }

    #[test]
    fn a_client_that_left_is_not_answered_after_a_panic() {
        const PANICS: &str = "gatepass_panics_total";
        let gateway = Owned::open(CONFIGURATION).unwrap();
        assert_eq!(gateway.samples(PANICS), [] as [f64; 0], "none yet");
        for request in [1.0, 2.0, 3.0] {
            assert_eq!(gateway.all(gateway.begin(request, "/other", TOKEN)).len(), 1);
        }
        // SAFETY: the gateway is open, and nothing else refers to it now.
        unsafe { (*gateway.0).door.panics_at = Some(4) };
        // The first answer that it has is taken.
        let first = gateway.begin(4.0, "/open", "");
        assert_eq!(gateway.told_with(first), (false, false));
        // SAFETY: the gateway is open.
        let actions = gateway.all(unsafe { gatepass_gone(gateway.0, 2.0) });
        assert_eq!(actions, ["Reply for 3: 500 ", "Reply for 4: 500 "]);
        assert_eq!(gateway.samples(PANICS), [1.0]);
        assert_eq!(gateway.samples(PANICS), [] as [f64; 0], "told once");
    }

    #[test]
    fn a_panic_ends_what_is_held_and_nothing_else() {
        let gateway = Owned::open(CONFIGURATION).unwrap();
        let waiting = gateway.all(gateway.begin(1.0, "/other", TOKEN));
        assert_eq!(waiting.len(), 1);
        // SAFETY: the gateway is open, and nothing else refers to it now.
        unsafe { (*gateway.0).door.panics_at = Some(2) };
        let mut actions = gateway.all(gateway.begin(2.0, "/open", ""));
        actions.sort();
        assert_eq!(actions, ["Reply for 1: 500 ", "Reply for 2: 500 "]);
        let lines = gateway.lines();
        assert!(lines.iter().any(|line| line.contains("was restarted")));
        let failures = lines.iter().filter(|line| line.contains("the gateway panicked"));
        assert_eq!(failures.count(), 2, "one for each request that got 500");
        // SAFETY: the gateway is open.
        assert_eq!(
            unsafe { (gatepass_panics(gateway.0), gatepass_in_progress(gateway.0)) },
            (1, 0)
        );
        // SAFETY: the same; its callout is nobody's any more.
        assert!(unsafe { gatepass_failed(gateway.0, 1.0, 2, NOW) }.is_null());
        let open = gateway.begin(3.0, "/open", "");
        assert_eq!(gateway.all(open), ["Forward for 3: -x-consumer-id -authorization"]);
    }

    #[test]
    fn a_panic_over_an_announcement_is_recovered_from_and_counted() {
        let gateway = Owned::open(CONFIGURATION).unwrap();
        // SAFETY: the gateway is open or null, and the bytes are there during the call.
        let apply =
            |gateway| unsafe { gatepass_apply_announcement(gateway, b"{}".as_ptr(), 2, NOW) };
        assert_eq!(apply(gateway.0), Announcement::Foreign);
        assert_eq!(gateway.all(gateway.begin(1.0, "/other", TOKEN)).len(), 1);
        // SAFETY: the gateway is open, and nothing else refers to it now.
        unsafe { (*gateway.0).door.panics_at = Some(0) };
        assert_eq!(apply(gateway.0), Announcement::Failed);
        // SAFETY: the gateway is open.
        assert_eq!(unsafe { gatepass_panics(gateway.0) }, 1);
        assert!(gateway.lines().iter().any(|line| line.contains("was restarted")));
        // SAFETY: the same.
        assert_eq!(gateway.all(unsafe { gatepass_next(gateway.0) }), ["Reply for 1: 500 "]);
        assert_eq!(apply(ptr::null_mut()), Announcement::Failed);
    }

    #[test]
    fn a_failure_is_a_problem_and_the_library_has_the_packages_version() {
        // SAFETY: what is lent is read at once.
        let text = unsafe { failed().as_ref() }.map(Text::to_text).unwrap_or_default();
        assert!(text.contains("found a failure of the library"), "{text}");
        // SAFETY: it is a text of the library's own.
        let version = unsafe { std::ffi::CStr::from_ptr(gatepass_version()) };
        assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
        assert_eq!(gatepass_abi(), ABI);
    }

    #[test]
    fn what_a_caller_gets_wrong_opens_nothing() {
        assert!(Owned::open("{}").is_err_and(|text| text.contains("$.providers: found nothing")));
        assert!(Owned::open("").is_err());
        let gateway = Owned::open(CONFIGURATION).unwrap();
        // SAFETY: all of this is promised to be harmless: null, and lengths beyond the bytes.
        unsafe {
            assert!(begin(ptr::null_mut(), 1.0, "/", &[]).is_null());
            assert!(gatepass_next(ptr::null_mut()).is_null());
            gatepass_free(ptr::null_mut());
            let negative = Lent { size: -1, data: b"x".as_ptr() };
            let fields = [Header { name: lend("host"), value: negative }];
            let action = begin(gateway.0, 2.0, "/open", &fields);
            assert_eq!(gateway.all(action), ["Reply for 2: 500 "]);
            let nothing = Lent { size: 1, data: ptr::null() };
            let fields = [Header { name: nothing, value: lend("") }];
            let action = begin(gateway.0, 3.0, "/open", &fields);
            assert_eq!(gateway.all(action), ["Forward for 3: "]);
            for odd in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
                assert!(gatepass_body(gateway.0, odd, ptr::null(), 0, odd).is_null());
                assert!(gatepass_gone(gateway.0, odd).is_null());
                assert!(gatepass_failed(gateway.0, odd, 7, odd).is_null());
            }
        }
    }

    #[test]
    fn a_configuration_is_checked_without_its_secrets() {
        let check = |text: &str| {
            // SAFETY: the bytes are there, and what is lent is read at once.
            unsafe { gatepass_check(text.as_ptr(), u32::try_from(text.len()).unwrap()).as_ref() }
                .map(Text::to_text)
        };
        assert_eq!(check(CONFIGURATION), None);
        let (before, rest) = CONFIGURATION.split_once(r#"{"kty""#).unwrap();
        let (_, after) = rest.split_once('}').unwrap();
        let with = |key: &str| [before, key, after].concat();
        for key in [r#"{"env": "AWS_SECRET"}"#, r#"{"vault": "{vault://env/key}"}"#] {
            assert_eq!(check(&with(key)), None, "{key}");
        }
        let wrong = check(&with(r#"{"vault": "key"}"#)).unwrap();
        assert!(wrong.contains("$.identity_token.signing_keys[0].private_key"), "{wrong}");
        let wrong = check(&CONFIGURATION.replace("auth:8080", "outbound|80||auth")).unwrap();
        assert!(wrong.starts_with("$.services.auth.upstream"), "{wrong}");
        assert!(check("").is_some() && check("x").is_some(), "no JSON");
    }
}
