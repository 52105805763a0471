//! Answers about users that the gateways of one configuration share, so that one callout
//! serves all.
//!
//! The stored value is the reply itself, which each gateway parses as if it had received
//! it: the checks of its user and its claims are never skipped.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::callout::{Answer, Callout};
use crate::http::Fields;
use crate::json;
use crate::shared_data::{SharedStore, Slot};
use crate::time::UnixTime;

/// The slot of a service's answer, shared by all identical callouts.
#[derive(Debug)]
pub(crate) struct SharedAnswer(Slot);

impl SharedAnswer {
    /// The slot for the answer to a callout. An answer depends on the service and on
    /// everything that is sent; a digest of that, since it contains secrets.
    pub(crate) fn to(callout: &Callout) -> Self {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        };
        for (name, value) in callout.head() {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(callout.body());
        let sent = base16ct::lower::encode_string(&digest.finalize());
        Self(Slot::new("user", &json!([callout.service.identity(), sent])))
    }

    /// The answer, and its times.
    pub(crate) fn read(&self, store: &dyn SharedStore) -> Option<(Answer, Times)> {
        let (value, _) = self.0.read(store)?;
        decode(&value)
    }

    /// Stores an answer, replacing the previous one.
    pub(crate) fn publish(&self, store: &dyn SharedStore, answer: &Answer, times: Times) {
        if let Some(value) = encode(answer, times) {
            self.0.replace(store, &value);
        }
    }
}

/// The times of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// When it arrived.
    pub came: UnixTime,
    /// The expiry of the token under which it was requested: no other token makes it last
    /// longer.
    pub token_end: Option<UnixTime>,
}

/// A line of JSON, followed by the body as received. `None` if a header field is not
/// text.
fn encode(answer: &Answer, times: Times) -> Option<Vec<u8>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let fields = answer.fields.iter();
    let fields = fields.map(|field| Some(json!([text(field.name)?, text(field.value)?])));
    let fields: Option<Vec<Value>> = fields.collect();
    let cache_control = match &answer.cache_control {
        Some(value) => Some(text(value)?),
        None => None,
    };
    let Times { came, token_end } = times;
    let (came, token_end) = (came.as_millis(), token_end.map(UnixTime::as_millis));
    let head = json!([came, token_end, answer.status, cache_control, fields?]).to_string();
    Some([head.as_bytes(), b"\n", &answer.body].concat())
}

fn decode(value: &[u8]) -> Option<(Answer, Times)> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let head = json::parse(value.get(..end)?).ok()?;
    let [came, token_end, status, cache_control, fields] = head.as_array()?.as_slice() else {
        return None;
    };
    let time = |value: &Value| value.as_i64().map(UnixTime::from_millis);
    let token_end = if token_end.is_null() { None } else { Some(time(token_end)?) };
    let pair = |field: &Value| {
        Some((field.get(0)?.as_str()?.to_owned(), field.get(1)?.as_str()?.to_owned()))
    };
    let pairs: Option<Vec<(String, String)>> = fields.as_array()?.iter().map(pair).collect();
    let pairs = pairs?;
    let fields: Fields =
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let answer = Answer {
        status: u16::try_from(status.as_u64()?).ok()?,
        cache_control: cache_control.as_str().map(|value| value.as_bytes().to_vec()),
        fields,
        body: value.get(end.checked_add(1)?..)?.to_vec(),
    };
    Some((answer, Times { came: time(came)?, token_end }))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::callout::{Scheme, Service};
    use crate::http::HeaderName;
    use crate::secret::Secret;
    use crate::time::Span;

    fn service(upstream: &str) -> Rc<Service> {
        Rc::new(Service {
            name: "users".into(),
            upstream: upstream.into(),
            authority: "users".into(),
            scheme: Scheme::Http,
            headers: Vec::default(),
            timeout: Span::from_secs(1),
        })
    }

    #[test]
    fn answers_survive_the_way_through_the_store() {
        let came = UnixTime::from_millis(1_700_000_000_123);
        let ends = [None, Some(UnixTime::from_millis(1_700_000_007_000))];
        for (token_end, fields, cache_control, body) in [
            (ends[0], Fields::default(), None, &b""[..]),
            (
                ends[1],
                [("content-type", &b"a/b"[..])].into_iter().collect(),
                Some(b"no-store".to_vec()),
                b"\n{}\xff\n",
            ),
        ] {
            let answer = Answer { status: 200, cache_control, fields, body: body.to_vec() };
            let times = Times { came, token_end };
            let (read, found) = decode(&encode(&answer, times).unwrap()).unwrap();
            assert_eq!(
                (found, read.status, &read.cache_control),
                (times, 200, &answer.cache_control)
            );
            assert_eq!(
                (&read.body, read.fields.iter().count()),
                (&answer.body, answer.fields.iter().count())
            );
        }
        for odd in [
            &b""[..],
            b"[]\n",
            b"[1,null,200,null]\n",
            b"[1,null,99999,null,[]]\n",
            b"[1,null,200,null,[1]]\n",
            b"[1,\"2\",200,null,[]]\n",
            b"[1,null,200,null,[]]",
        ] {
            assert!(decode(odd).is_none(), "{odd:?}");
        }
    }

    #[test]
    fn whatever_is_sent_makes_another_answer() {
        let place = |callout: &Callout| format!("{:?}", SharedAnswer::to(callout));
        let get = |path: &str| Callout::get(&service("users"), path.to_owned());
        let with = |value: &str| Callout {
            headers: vec![(HeaderName::authorization(), Secret::new(value.to_owned()))],
            ..get("/users/a")
        };
        let places = [
            place(&get("/users/a")),
            place(&get("/users/b")),
            place(&with("Bearer a")),
            place(&with("Bearer b")),
            place(&Callout::get(&service("others"), "/users/a".to_owned())),
            place(&Callout { body: Some(Secret::new(b"x".to_vec())), ..get("/users/a") }),
        ];
        for (position, one) in places.iter().enumerate() {
            assert!(!places[..position].contains(one), "{position}");
            assert!(!one.contains("Bearer"), "{one}");
        }
        assert_eq!(place(&with("Bearer a")), places[2]);
    }
}
