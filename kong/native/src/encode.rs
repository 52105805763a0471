//! Actions as C structs; `gatepass.h` declares and documents them.
//!
//! The bytes of an action are in one buffer, which the next action reuses: forwarding a
//! request costs no allocation here.

use std::ops::Range;

use gatepass::access_log::AccessLogFields;
use gatepass::callout::Callout;
use gatepass::gateway::Action;
use gatepass::http::{Edit, LocalReply};

use crate::address::Address;
use crate::numbers::ActionKind;

/// Bytes; the pointer is null if there is no value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    data: *const u8,
    size: u32,
}

impl Text {
    const NONE: Self = Self { data: std::ptr::null(), size: 0 };

    /// Points to `bytes`, for as long as they do not move.
    pub fn of(bytes: &[u8]) -> Self {
        // No text here comes near 4 GiB; a longer one would be truncated.
        Self { data: bytes.as_ptr(), size: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }
}

/// A header field.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name: Text,
    value: Text,
}

impl Field {
    /// Points to `name` and `value`.
    pub fn of(name: &[u8], value: &[u8]) -> Self {
        Self { name: Text::of(name), value: Text::of(value) }
    }
}

/// `gatepass_action`.
#[repr(C)]
#[derive(Debug)]
pub struct RawAction {
    kind: ActionKind,
    timeout_ms: u32,
    number: u32,
    port: u32,
    request: f64,
    callout: f64,
    fields: *const Field,
    access_log: *const Field,
    field_count: u32,
    access_log_count: u32,
    body: Text,
    host: Text,
    consumer_id: Text,
    consumer_username: Text,
    consumer_custom_id: Text,
    consumer_groups: Text,
    credential: Text,
    anonymous: u32,
    /// 1 if there are lines to log.
    pub logged: u32,
    identity: *const u8,
    identity_size: u32,
    /// 1 if no action follows, and there is nothing to log.
    pub is_all: u32,
    may_repeat: u32,
}

impl RawAction {
    const NONE: Self = Self {
        kind: ActionKind::None,
        timeout_ms: 0,
        number: 0,
        port: 0,
        request: 0.0,
        callout: 0.0,
        fields: std::ptr::null(),
        access_log: std::ptr::null(),
        field_count: 0,
        access_log_count: 0,
        body: Text::NONE,
        host: Text::NONE,
        consumer_id: Text::NONE,
        consumer_username: Text::NONE,
        consumer_custom_id: Text::NONE,
        consumer_groups: Text::NONE,
        credential: Text::NONE,
        anonymous: 0,
        logged: 0,
        identity: std::ptr::null(),
        identity_size: 0,
        is_all: 0,
        may_repeat: 0,
    };
}

/// The header fields that announce the consumer.
const CONSUMER: [&[u8]; 6] = [
    b"x-consumer-id",
    b"x-consumer-username",
    b"x-consumer-custom-id",
    b"x-consumer-groups",
    b"x-credential-identifier",
    b"x-anonymous-consumer",
];

/// The range of a text in the buffer; `None` without a value.
type Place = Option<Range<usize>>;

/// Converts actions to C structs, one at a time.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    identity: Vec<u8>,
    places: Vec<(Place, Place)>,
    fields: Vec<Field>,
    action: RawAction,
}

impl Default for Encoder {
    fn default() -> Self {
        let (bytes, identity) = (Vec::new(), Vec::new());
        let (places, fields) = (Vec::new(), Vec::new());
        Self { bytes, identity, places, fields, action: RawAction::NONE }
    }
}

/// Lua represents these numbers exactly; ids are counted up from one.
#[allow(clippy::cast_precision_loss, reason = "ids stay far below 2^53")]
pub const fn number(id: u64) -> f64 {
    id as f64
}

impl Encoder {
    /// The struct for `action`. If it has a callout, that gets the number `callout`.
    pub fn encode(&mut self, action: &Action, callout: u64) -> &mut RawAction {
        self.clear();
        let request = action.request().map_or(0.0, |request| number(request.0));
        match action {
            Action::Send(dispatch) => {
                self.callout(ActionKind::Send, request, callout, Some(&dispatch.callout));
            }
            Action::Suspend { dispatch, .. } => {
                let sent = dispatch.as_ref().map(|dispatch| &dispatch.callout);
                self.callout(ActionKind::Suspend, request, callout, sent);
            }
            Action::ReadBody { bytes, .. } => {
                let number = u32::try_from(*bytes).unwrap_or(u32::MAX);
                let kind = ActionKind::ReadBody;
                self.action = RawAction { kind, request, number, ..RawAction::NONE };
            }
            Action::Forward { edits, access_log, .. } => {
                self.forward(request, edits.edits(), access_log)
            }
            Action::Reply { reply, access_log, .. } => self.reply(request, reply, access_log),
        }
        &mut self.action
    }

    /// The struct for an answer without a gateway.
    pub fn failure(&mut self, request: u64) -> &mut RawAction {
        self.clear();
        self.reply(number(request), &LocalReply::new(500), &AccessLogFields::EMPTY);
        &mut self.action
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.identity.clear();
        self.places.clear();
        self.fields.clear();
    }

    fn callout(&mut self, kind: ActionKind, request: f64, callout: u64, sent: Option<&Callout>) {
        let (mut body, mut host, mut port, mut timeout_ms) = (None, None, 0, 0);
        if let Some(sent) = sent {
            for (name, value) in sent.head() {
                self.add(name, Some(value.as_bytes()));
            }
            body = self.keep(sent.body());
            let address = Address::of(&sent.service);
            host = address.as_ref().and_then(|address| self.keep(address.host.as_bytes()));
            port = address.and_then(|address| address.port).unwrap_or_default();
            let timeout = sent.service.timeout.as_millis();
            timeout_ms = u32::try_from(timeout).unwrap_or(u32::MAX);
        }
        let callout = number(callout);
        let port = port.into();
        self.action = RawAction { kind, timeout_ms, port, request, callout, ..self.with_fields(0) };
        self.action.body = self.text(&body);
        self.action.host = self.text(&host);
        self.action.may_repeat = sent.is_some_and(|sent| sent.may_repeat).into();
    }

    fn forward<'a>(
        &mut self,
        request: f64,
        edits: impl Iterator<Item = Edit<'a>>,
        fields: &AccessLogFields,
    ) {
        for edit in edits {
            match edit {
                Edit::Remove(name) => self.add(name, None),
                Edit::Set(name, value) => self.add(name, Some(value)),
                Edit::Path(target) => self.add("", Some(target)),
            }
        }
        let access_log = self.add_access_log(fields);
        let kind = ActionKind::Forward;
        self.action = RawAction { kind, request, ..self.with_fields(access_log) };
        self.tell_consumer();
        self.tell_identity(access_log);
    }

    /// Reads the consumer from the fields for the upstream.
    fn tell_consumer(&mut self) {
        let end = usize::try_from(self.action.field_count).unwrap_or_default();
        for (name, value) in self.places.iter().take(end) {
            let (Some(name), Some(value)) = (name, value) else { continue };
            let value = Text::of(self.bytes.get(value.clone()).unwrap_or_default());
            let [id, username, custom_id, groups, credential, anonymous] = CONSUMER;
            match self.bytes.get(name.clone()).unwrap_or_default() {
                name if name == id => self.action.consumer_id = value,
                name if name == username => self.action.consumer_username = value,
                name if name == custom_id => self.action.consumer_custom_id = value,
                name if name == groups => self.action.consumer_groups = value,
                name if name == credential => self.action.credential = value,
                name if name == anonymous => self.action.anonymous = 1,
                _ => {}
            }
        }
    }

    /// Writes consumer and fields for the access log as one text. Each part comes after its
    /// length: otherwise what a token says could make two identities look the same.
    fn tell_identity(&mut self, access_log: usize) {
        let Self { bytes, identity, places, .. } = self;
        let mut add = |place: &Place| {
            let part = place.as_ref().and_then(|place| bytes.get(place.clone()));
            let length =
                part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or_default());
            identity.extend_from_slice(&length.to_le_bytes());
            identity.extend_from_slice(part.unwrap_or_default());
        };
        let (edits, access_log) = places.split_at(places.len().saturating_sub(access_log));
        let is_told = |place: &Place| {
            let name = place.as_ref().and_then(|place| bytes.get(place.clone()));
            name.is_some_and(|name| CONSUMER.contains(&name))
        };
        for (name, value) in edits.iter().filter(|(name, _)| is_told(name)).chain(access_log) {
            add(name);
            add(value);
        }
        self.action.identity = identity.as_ptr();
        self.action.identity_size = u32::try_from(identity.len()).unwrap_or_default();
    }

    fn reply(&mut self, request: f64, reply: &LocalReply, fields: &AccessLogFields) {
        for (name, value) in &reply.headers {
            self.add(name, Some(value.as_bytes()));
        }
        let access_log = self.add_access_log(fields);
        let body = self.keep(&reply.body);
        let number = reply.status.into();
        let kind = ActionKind::Reply;
        self.action = RawAction { kind, request, number, ..self.with_fields(access_log) };
        self.action.body = self.text(&body);
    }

    fn add_access_log(&mut self, fields: &AccessLogFields) -> usize {
        let before = self.places.len();
        for (name, value) in fields.entries() {
            self.add(name, Some(value.as_bytes()));
        }
        self.places.len().saturating_sub(before)
    }

    /// The action with all added fields; the last `access_log` of them are for the access
    /// log. Must be called when the buffer is complete.
    fn with_fields(&mut self, access_log: usize) -> RawAction {
        let (bytes, fields) = (&self.bytes, &mut self.fields);
        let text = |place: &Place| {
            let bytes = place.as_ref().map(|place| bytes.get(place.clone()).unwrap_or_default());
            bytes.map_or(Text::NONE, Text::of)
        };
        fields.extend(
            self.places.iter().map(|(name, value)| Field { name: text(name), value: text(value) }),
        );
        let count = |fields: &[Field]| u32::try_from(fields.len()).unwrap_or_default();
        let (edits, access_log) = fields.split_at(fields.len().saturating_sub(access_log));
        RawAction {
            fields: edits.as_ptr(),
            field_count: count(edits),
            access_log: access_log.as_ptr(),
            access_log_count: count(access_log),
            ..RawAction::NONE
        }
    }

    fn add(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.keep(name.as_bytes());
        let value = value.and_then(|value| self.keep(value));
        self.places.push((name, value));
    }

    fn keep(&mut self, bytes: &[u8]) -> Place {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Some(start..self.bytes.len())
    }

    fn text(&self, place: &Place) -> Text {
        let place = place.as_ref().and_then(|place| self.bytes.get(place.clone()));
        place.map_or(Text::NONE, Text::of)
    }
}

/// Reads actions as a caller does.
#[cfg(test)]
#[allow(unsafe_code, reason = "as a caller does, before its next call")]
mod reading {
    use super::*;

    impl Text {
        #[allow(clippy::wrong_self_convention, reason = "they are lent")]
        pub fn to_text(&self) -> String {
            if self.data.is_null() {
                return String::new();
            }
            // SAFETY: the library lends as many bytes as it says.
            let bytes = unsafe { std::slice::from_raw_parts(self.data, self.size as usize) };
            String::from_utf8_lossy(bytes).into_owned()
        }
    }

    impl RawAction {
        fn fields(&self) -> Vec<(String, Option<String>)> {
            // SAFETY: the library lends as many fields as it says.
            let fields =
                unsafe { std::slice::from_raw_parts(self.fields, self.field_count as usize) };
            let value = |text: &Text| (!text.data.is_null()).then(|| text.to_text());
            fields.iter().map(|field| (field.name.to_text(), value(&field.value))).collect()
        }

        /// The action in one line: its kind and contents.
        pub fn to_text(&self) -> String {
            let Self { kind, request, number, callout, .. } = self;
            let what = match kind {
                ActionKind::Forward => {
                    let edits = self.fields().into_iter().map(|(name, value)| match value {
                        Some(value) => format!("{name}={value}"),
                        None => format!("-{name}"),
                    });
                    edits.collect::<Vec<_>>().join(" ")
                }
                ActionKind::Reply => format!("{number} {}", self.body.to_text()),
                _ if *callout > 0.0 => {
                    let host = self.host.to_text();
                    format!("callout {callout} to {host}:{} {:?}", self.port, self.fields())
                }
                _ => String::new(),
            };
            format!("{kind:?} for {request}: {what}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(fields: &[(&str, Option<&str>)], access_log: &[(&str, &str)]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for (name, value) in fields {
            encoder.add(name, value.map(str::as_bytes));
        }
        for (name, value) in access_log {
            encoder.add(name, Some(value.as_bytes()));
        }
        encoder.tell_identity(access_log.len());
        encoder.identity
    }

    #[test]
    fn identities_have_the_same_bytes_only_if_they_are_the_same() {
        let (id, name) = ("x-consumer-id", "x-consumer-username");
        let log = [("gatepass.code", "ok")];
        let all = [
            identity(&[], &[]),
            identity(&[(id, None)], &[]),
            identity(&[(id, Some(""))], &[]),
            identity(&[(id, Some("a"))], &[]),
            identity(&[(name, Some("a"))], &[]),
            identity(&[(id, Some("a")), (name, Some("b"))], &[]),
            identity(&[(id, Some("a\u{13}\0\0\0\0\0\0\0x-consumer-username\u{1}b"))], &[]),
            identity(&[(id, Some("ax-consumer-usernameb"))], &[]),
            identity(&[(id, Some("a"))], &log),
            identity(&[], &[(id, "a")]),
            identity(&[], &log),
            identity(&[], &[("gatepass.code", "o"), ("k", "")]),
        ];
        for (at, one) in all.iter().enumerate() {
            let same = all.iter().position(|other| other == one);
            // A field of the access log has a name of its own, which begins with `gatepass.`.
            assert_eq!(same, Some(if at == 9 { 3 } else { at }), "{at}");
        }
        let other = identity(&[("x-trace", Some("1")), (id, Some("a")), ("", Some("/x"))], &[]);
        assert_eq!(other, all[3], "what is not part of an identity");
    }
}
