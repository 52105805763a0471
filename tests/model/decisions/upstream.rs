//! What arrives at a service: the client's fields without what clients may not
//! say, and what the gateway says instead.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::json::Json;
use super::evaluate::{Model, User};
use super::rules::lookup;

/// Where a token stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header,
    Cookie,
    Param,
}

fn sources<'a>(config: &'a Json, kind: &str) -> Vec<&'a Json> {
    let of_token = config.get("token");
    of_token.map_or(&[][..], |token| token.list(kind)).iter().collect()
}

fn headers(config: &Json) -> Vec<(&str, &str)> {
    let given: Vec<(&str, &str)> = sources(config, "from_headers")
        .into_iter()
        .filter_map(|one| {
            let text = |name| one.get(name).and_then(Json::text);
            Some((text("name")?, text("value_prefix").unwrap_or_default()))
        })
        .collect();
    if given.is_empty() { vec![("authorization", "Bearer ")] } else { given }
}

/// The tokens of a request, by where they are.
pub fn tokens(config: &Json, fields: &[(String, String)]) -> Vec<Place> {
    let mut found = Vec::new();
    for (name, value) in fields {
        if is_token_header(config, name, value) {
            found.push(Place::Header);
        }
        if name == "cookie" && !sources(config, "from_cookies").is_empty() {
            let cookies = value.split(';').map(str::trim);
            found.extend(cookies.filter(|one| one.starts_with("session=")).map(|_| Place::Cookie));
        }
        if name == ":path"
            && !sources(config, "from_params").is_empty()
            && value.contains("access_token=")
        {
            found.push(Place::Param);
        }
    }
    found
}

fn is_token_header(config: &Json, name: &str, value: &str) -> bool {
    headers(config).iter().any(|(own, prefix)| {
        let start = value.get(..prefix.len()).unwrap_or_default();
        name == *own && start.eq_ignore_ascii_case(prefix)
    })
}

/// A name as a service behind may read it.
fn spelling(name: &str) -> String {
    let one = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(one).collect()
}

/// The fields that arrive, but for the identity token, sorted.
pub fn fields(
    config: &Json,
    sent: &[(String, String)],
    set: &[(String, String)],
) -> Vec<(String, String)> {
    let kong = [
        "x-consumer-id",
        "x-consumer-username",
        "x-consumer-custom-id",
        "x-consumer-groups",
        "x-credential-identifier",
        "x-anonymous-consumer",
        "x-authenticated-groups",
        "x-identity-token",
        "txn-token",
    ];
    let own = config.list("claim_to_headers").iter();
    let mut owned: Vec<&str> =
        own.filter_map(|one| one.get("header").and_then(Json::text)).collect();
    owned.extend(kong);
    let forward = config.get("token").is_some_and(|token| token.flag("forward", false));
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in sent {
        if owned.contains(&spelling(name).as_str()) && !name.starts_with(':') {
            continue;
        }
        let mut value = value.clone();
        if !forward {
            if is_token_header(config, name, &value) {
                continue;
            }
            if name == "cookie" && !sources(config, "from_cookies").is_empty() {
                let rest = value.split("; ").filter(|one| !one.starts_with("session"));
                value = rest.collect::<Vec<_>>().join("; ");
                // Nothing is left of it.
                if value.is_empty() {
                    continue;
                }
            }
            if [":path", "referer"].contains(&name.as_str())
                && !sources(config, "from_params").is_empty()
            {
                value = value.replace("?access_token={token}&", "?");
                value = value.replace("?access_token={token}", "");
                value = value.replace("&access_token={token}", "");
            }
        }
        fields.push((name.to_ascii_lowercase(), value));
    }
    fields.extend(set.iter().cloned());
    fields.sort();
    fields
}

/// What the gateway says of an identity in plain text.
pub fn identity_fields(
    model: &Model<'_>,
    claims: &Json,
    consumer: Option<&Json>,
    identity: &Json,
    user: &User,
) -> Vec<(String, String)> {
    let config = model.config;
    let nothing = Json::Object(Vec::new());
    let by_user = if let User::Known(said) = user { said } else { &nothing };
    let mut set: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            set.push((name.to_owned(), printable(value)));
        }
    };
    match consumer {
        Some(entry) => {
            let text = |name: &str| entry.get(name).and_then(Json::text);
            put("x-consumer-id", text("id"));
            put("x-consumer-username", text("username"));
            put("x-consumer-custom-id", text("custom_id"));
            put("x-credential-identifier", text("key"));
            let groups: Vec<String> =
                entry.texts("groups").iter().map(|group| printable(group)).collect();
            if !groups.is_empty() {
                set.push(("x-consumer-groups".to_owned(), groups.join(",")));
            }
        }
        None => {
            let names = ["preferred_username", "username"];
            let is_decided = names.iter().any(|name| model.is_user_claim(name));
            let name = names.iter().find_map(|name| {
                let said = if is_decided {
                    lookup(by_user, name)
                } else {
                    lookup(identity, name).or_else(|| lookup(claims, name))
                };
                said.and_then(Json::text)
            });
            // Nobody else bears what names a consumer.
            let entries = config.get("consumers").map_or(&[][..], |it| it.list("entries"));
            let free = |field: &str, name: Option<&'_ str>| {
                let of_entries = entries.iter().filter_map(|entry| entry.get(field)?.text());
                let mut taken = of_entries.map(str::to_lowercase);
                let name = name?.to_owned();
                (!taken.any(|taken| taken == name.to_lowercase())).then_some(name)
            };
            put("x-consumer-username", free("username", name).as_deref());
            let subject = identity.get("sub").and_then(Json::text);
            put("x-consumer-custom-id", free("custom_id", subject).as_deref());
            put("x-credential-identifier", free("key", subject).as_deref());
        }
    }
    for one in config.list("claim_to_headers") {
        let claim = one.get("claim").expect("a claim");
        let value = match claim {
            Json::List(names) => {
                identity.at(&names.iter().filter_map(Json::text).collect::<Vec<_>>())
            }
            name => {
                let name = name.text().expect("a name");
                let said = if model.is_user_claim(name) { by_user } else { identity };
                lookup(said, name)
            }
        };
        let name = one.get("header").and_then(Json::text).expect("a header");
        let format = one.get("format").and_then(Json::text).unwrap_or("text");
        let text = value.and_then(|value| rendered(format, value));
        set.extend(text.map(|text| (name.to_owned(), text)));
    }
    set
}

fn rendered(format: &str, value: &Json) -> Option<String> {
    let text = match (format, value) {
        (_, Json::Null) => return None,
        ("json", value) => printable(&value.to_string()),
        ("json_base64", value) => BASE64_STANDARD.encode(value.to_string()),
        (_, Json::List(items)) => {
            let one = |item: &Json| plain(item).replace(',', "%2C");
            items.iter().map(one).collect::<Vec<_>>().join(",")
        }
        ("csv", value) => plain(value).replace(',', "%2C"),
        (_, value) => plain(value),
    };
    (!text.is_empty()).then_some(text)
}

fn plain(value: &Json) -> String {
    match value {
        Json::Text(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// Visible ASCII and the spaces between; the rest percent-encoded, `%` too.
fn printable(text: &str) -> String {
    let mut printed = String::new();
    for byte in text.bytes() {
        match byte {
            b'%' => printed.push_str("%25"),
            b' ' | b'!'..=b'~' => printed.push(char::from(byte)),
            _ => printed.push_str(&format!("%{byte:02X}")),
        }
    }
    printed
}

/// A path with `{claim}` for claims of the token.
pub fn fill(template: &str, claims: &Json) -> Result<String, Vec<&'static str>> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a brace");
        let text = match lookup(claims, name) {
            None => return Err(vec!["claim_missing"]),
            Some(Json::Text(text)) if !text.is_empty() => text.clone(),
            Some(Json::Number(digits)) => digits.clone(),
            Some(_) => return Err(vec!["claim_mismatch"]),
        };
        path.push_str(before);
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    path.push(char::from(byte));
                }
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
        rest = after;
    }
    path.push_str(rest);
    Ok(path)
}
