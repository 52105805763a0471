//! `JwtProvider` of Envoy.

use gatepass::config::reader::{Fields, Node};
use gatepass::token::MAX_CLOCK_SKEW_SECONDS;
use serde_json::{Map, Value, json};

use crate::convert::Notes;
use crate::convert::assemble::SourceHeader;
use crate::convert::issuers::{Issuer, Issuers, Keys, algorithms, inline_keys};
use crate::convert::url::Url;

/// A provider as the filter has it.
pub(in crate::convert) struct Provider {
    issuer: Option<String>,
    audiences: Vec<String>,
    pub(in crate::convert) keys: Result<Keys, String>,
    /// Why none of its tokens can be told.
    untold: Option<&'static str>,
    options: Map<String, Value>,
    forward: bool,
    sources: Sources,
    /// The headers that it writes, and the claims in them.
    headers: Vec<(String, Option<Value>)>,
    /// Notes on the fields that are not supported.
    others: Vec<String>,
}

/// Where tokens are.
#[derive(Clone, PartialEq, Eq)]
struct Sources {
    headers: Vec<Value>,
    cookies: Vec<Value>,
    params: Vec<Value>,
}

/// Fields that are not supported, with what takes their place, if that needs to be said.
const OTHERS: [(&str, &str); 6] = [
    ("pad_forward_payload_header", ""),
    (
        "payload_in_metadata",
        "other filters do not see the claims, and what they deny by them passes",
    ),
    ("normalize_payload_in_metadata", ""),
    ("header_in_metadata", "other filters do not see the token's header"),
    ("failed_status_in_metadata", "the log has the code"),
    ("clear_route_cache", "routes are not chosen by claims"),
];

pub(in crate::convert) fn provider(node: &Node<'_>) -> Option<Provider> {
    let mut fields = node.fields()?;
    let issuer = fields.optional("issuer", |node| node.value().as_str().map(str::to_owned));
    let audiences = fields.or("audiences", Vec::new(), Node::texts);
    let subjects = fields.optional("subjects", |node| Some(node.clone()));
    let require_expiration = fields.or("require_expiration", false, Node::flag);
    let max_lifetime = fields.optional("max_lifetime", seconds);
    let forward = fields.or("forward", false, Node::flag);
    let skew = fields.optional("clock_skew_seconds", |node| node.integer(0..=u32::MAX));
    fields.ignored("jwt_cache_config");
    let mut others = Vec::new();
    let headers = headers(&mut fields, &mut others);
    for (name, instead) in OTHERS {
        let says = |node: Node<'_>| {
            !matches!(node.value(), Value::Bool(false)) && node.value().as_str() != Some("")
        };
        if fields.node_of(name).is_some_and(says) && !instead.is_empty() {
            others.push(format!("{name} is not supported: {instead}"));
        }
    }
    let sources = sources(&mut fields);
    let keys = keys(&mut fields);
    fields.finish()?;
    require_expiration?;
    let keys = keys?;
    let subject = match subjects? {
        None => Ok(None),
        Some(node) => match node.member("exact").map(|it| it.value().clone()) {
            Some(Value::String(sub)) => Ok(Some(json!({ "sub": [sub] }))),
            _ => Err("subjects by a pattern, which no provider can have"),
        },
    };
    let skew = skew?.filter(|skew| *skew != 0).map(|skew| skew.min(MAX_CLOCK_SKEW_SECONDS));
    let lifetime = max_lifetime?.map(|it| it.min(31_536_000));
    let too_short = (lifetime == Some(0))
        .then_some("a max_lifetime below one second, which no provider can have");
    let options = text_map(&[
        ("algorithms", keys.as_ref().ok().and_then(algorithms)),
        ("clock_skew_seconds", skew.map(Value::from)),
        ("max_lifetime_seconds", lifetime.map(Value::from)),
        ("required_claims", subject.clone().unwrap_or_default()),
    ]);
    Some(Provider {
        issuer: issuer?,
        audiences: audiences?,
        keys,
        untold: subject.err().or(too_short),
        options,
        forward: forward?,
        sources: sources?,
        headers: headers?,
        others,
    })
}

/// The headers that it writes, and the claims in them.
fn headers(
    fields: &mut Fields<'_>,
    others: &mut Vec<String>,
) -> Option<Vec<(String, Option<Value>)>> {
    let headers = fields.or("claim_to_headers", Vec::new(), |node| node.list(claim_header));
    let payload = fields.optional("forward_payload_header", |node| {
        node.value().as_str().map(str::to_ascii_lowercase).or_else(|| node.reject("a header"))
    });
    let (mut headers, payload) = (headers?, payload?.filter(|header| !header.is_empty()));
    if let Some(header) = payload {
        let text = "forward_payload_header is not supported: services verify the identity token";
        others.push(text.to_owned());
        headers.push((header, None));
    }
    Some(headers)
}

/// A duration, as text or in its parts, in whole seconds.
fn seconds(node: &Node<'_>) -> Option<u64> {
    let text = match node.value() {
        Value::String(text) => text.strip_suffix('s').and_then(|it| it.parse::<f64>().ok()),
        Value::Object(parts) => parts.get("seconds").map_or(Some(0.0), |it| match it {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        }),
        _ => None,
    };
    let whole = text.filter(|it| (0.0..1e12).contains(it));
    // The fraction is of no use in seconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    whole.map(|it| it as u64).or_else(|| node.reject("a duration such as 5s"))
}

pub(in crate::convert) fn millis(node: &Node<'_>) -> Option<u64> {
    let text = node.value().as_str().and_then(|it| it.strip_suffix('s'));
    let fraction = text.and_then(|it| it.parse::<f64>().ok()).filter(|it| (0.0..1e6).contains(it));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match fraction {
        Some(seconds) => Some((seconds * 1000.0) as u64),
        None => seconds(node).map(|it| it.saturating_mul(1000)),
    }
}

fn claim_header(node: &Node<'_>) -> Option<(String, Option<Value>)> {
    let mut fields = node.fields()?;
    let header = fields.required("header_name", "a header", Node::text);
    let claim = fields.required("claim_name", "a claim", Node::text);
    fields.finish()?;
    Some((header?.to_ascii_lowercase(), Some(Value::from(claim?))))
}

/// A claim whose name is taken as it stands.
pub(in crate::convert) fn claim_path(names: &[&str]) -> String {
    let is_plain = |name: &str| !name.contains(['.', '/', '~', '[']);
    match names {
        [name] if is_plain(name) => (*name).to_owned(),
        names => names
            .iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect(),
    }
}

/// A header in which tokens are.
pub(in crate::convert) fn header_source(name: &str, prefix: &str) -> Value {
    let name = name.to_ascii_lowercase();
    match prefix {
        "" => json!({ "name": name }),
        // Envoy skips what is between the two.
        "Bearer" => json!({ "name": name, "value_prefix": "Bearer " }),
        prefix => json!({ "name": name, "value_prefix": prefix }),
    }
}

/// `from_headers` of Envoy, from what another gateway has it have.
pub(in crate::convert) fn source_of(node: &Node<'_>, prefix: &'static str) -> Option<Value> {
    let mut fields = node.fields()?;
    let name = fields.required("name", "a header", Node::text);
    let prefix = fields.or(prefix, "", |node| node.value().as_str());
    fields.finish()?;
    Some(json!({ "name": name?, "value_prefix": prefix? }))
}

/// `claim_to_headers` of Envoy, from what another gateway has it have.
pub(in crate::convert) fn claim_of(node: &Node<'_>) -> Option<Value> {
    let mut fields = node.fields()?;
    let header = fields.required("header", "a header", Node::text);
    let claim = fields.required("claim", "a claim", Node::text);
    fields.finish()?;
    Some(json!({ "header_name": header?, "claim_name": claim? }))
}

fn sources(fields: &mut Fields<'_>) -> Option<Sources> {
    let headers = fields.optional("from_headers", |node| {
        node.list(|item| {
            let mut fields = item.fields()?;
            let name = fields.required("name", "a header", Node::text);
            let prefix = fields.or("value_prefix", "", |node| node.value().as_str());
            fields.finish()?;
            Some(header_source(name?, prefix?))
        })
    });
    let texts = |node: &Node<'_>| node.list(|item| item.text().map(Value::from));
    let cookies = fields.or("from_cookies", Vec::new(), texts);
    let params = fields.or("from_params", Vec::new(), texts);
    let (headers, cookies, params) = (headers?.unwrap_or_default(), cookies?, params?);
    if headers.is_empty() && cookies.is_empty() && params.is_empty() {
        return Some(Sources::default());
    }
    Some(Sources { headers, cookies, params })
}

impl Default for Sources {
    /// Where Envoy looks if nothing is said.
    fn default() -> Self {
        Self {
            headers: vec![json!({ "name": "authorization", "value_prefix": "Bearer " })],
            cookies: Vec::new(),
            params: vec![json!("access_token")],
        }
    }
}

fn keys(fields: &mut Fields<'_>) -> Option<Result<Keys, String>> {
    let remote = fields.optional("remote_jwks", remote);
    let local = fields.optional("local_jwks", |node| {
        let inline = node.member("inline_string").and_then(|it| it.value().as_str());
        Some(match inline {
            Some(text) => inline_keys(text),
            None => Err("its keys are not in this file: paste them as inline_string".to_owned()),
        })
    });
    match (remote?, local?) {
        (Some(keys), None) | (None, Some(keys)) => Some(keys),
        (None, None) => Some(Err("it has no keys".to_owned())),
        (Some(_), Some(_)) => fields.node().reject_as("two sources of keys", "one"),
    }
}

fn remote(node: &Node<'_>) -> Option<Result<Keys, String>> {
    let mut fields = node.fields()?;
    let uri = fields.required("http_uri", "where keys are", |node| {
        let mut fields = node.fields()?;
        let uri = fields.required("uri", "a URL", Node::text);
        let cluster = fields.required("cluster", "a cluster", Node::text);
        let timeout = fields.optional("timeout", millis);
        fields.finish()?;
        Some((uri?.to_owned(), cluster?.to_owned(), timeout?))
    });
    let cache = fields.optional("cache_duration", seconds);
    fields.ignored("async_fetch");
    fields.ignored("retry_policy");
    fields.finish()?;
    let ((uri, cluster, timeout_ms), cache) = (uri?, cache?);
    // Envoy takes the path of whatever stands there.
    let url = Url::parse(&uri).or_else(|| Url::parse(&format!("http://{uri}")));
    let Some(url) = url else { return Some(Err(format!("its key set has the URL {uri:?}"))) };
    let cache_seconds = cache.map(|seconds| seconds.clamp(1, 86_400));
    Some(Ok(Keys::Fetched { upstream: Some(cluster), url, timeout_ms, cache_seconds }))
}

/// The members that are given.
fn text_map(pairs: &[(&str, Option<Value>)]) -> Map<String, Value> {
    let given = pairs.iter().filter_map(|(name, value)| Some((*name, value.clone()?)));
    given.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Why a token in a cookie is not forwarded.
pub(in crate::convert) const FORWARDED_COOKIES: &str = "forward is false: a cookie whose token has expired is ignored beside another token, and \
     services would get it unverified. Set it to true if services verify every token that they read";

/// What all providers have in common.
#[derive(Default)]
pub(in crate::convert) struct Tokens {
    sources: Option<Sources>,
    forward: Option<bool>,
    differs: bool,
    pub(in crate::convert) headers: Vec<SourceHeader>,
}

impl Tokens {
    pub(in crate::convert) fn add(
        &mut self,
        name: &str,
        provider: Provider,
        issuers: &mut Issuers,
        notes: &mut Notes,
    ) {
        let place = format!("provider {name}");
        let Provider { issuer, audiences, keys, untold, options, forward, .. } = provider;
        let mut keys = match untold {
            Some(why) => Err(why.to_owned()),
            None => keys,
        };
        match &self.sources {
            Some(known) if *known != provider.sources => {
                keys = Err("its tokens are elsewhere than those of the first provider, and the \
                            filter looks in the same places for all"
                    .to_owned());
            }
            Some(_) => {}
            None => self.sources = keys.is_ok().then(|| provider.sources.clone()),
        }
        if keys.is_ok() {
            self.differs |= self.forward.is_some_and(|known| known != forward);
            self.forward = Some(self.forward.unwrap_or(true) && forward);
            for text in provider.others {
                notes.add(&place, text);
            }
            let is_url = |it: &String| it.contains("://") || it.ends_with('/');
            if audiences.iter().any(is_url) {
                let text = "audiences are compared as they stand, and Envoy ignores http://, https:// \
                            and a slash at the end: list each as tokens have it";
                notes.add_info(&place, text);
            }
        }
        // The headers of one that is left out were closed to clients, too.
        for (header, claim) in provider.headers {
            let claim = claim.filter(|_| keys.is_ok());
            let issuers = issuer.iter().cloned().collect();
            self.headers.push(SourceHeader { place: place.clone(), header, claim, issuers });
        }
        let audiences = (!audiences.is_empty()).then(|| audiences.into_iter().collect());
        let name = name.to_owned();
        issuers.add(Issuer { name, place, issuer, audiences, keys, options }, notes);
    }

    /// `token`.
    pub(in crate::convert) fn sources(&self, notes: &mut Notes) -> Map<String, Value> {
        let mut token = Map::new();
        let Some(Sources { headers, cookies, params }) = &self.sources else { return token };
        let default = Sources::default();
        if *headers != default.headers {
            token.insert("from_headers".to_owned(), json!(headers));
        }
        for (name, list) in [("from_cookies", cookies), ("from_params", params)] {
            if !list.is_empty() {
                token.insert(name.to_owned(), json!(list));
            }
        }
        if self.forward == Some(true) && cookies.is_empty() {
            token.insert("forward".to_owned(), json!(true));
        } else if self.forward == Some(true) {
            notes.add("token", FORWARDED_COOKIES);
        }
        if self.differs {
            notes.add("token", "forward is false, since it is for one of the providers");
        }
        token
    }
}
