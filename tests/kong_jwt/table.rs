//! Rows of behaviour: what is configured and sent, and what comes of it.

use gatepass::host::HostCapabilities;
use gatepass::http::LocalReply;
use serde_json::{Value, json};

use crate::keys::{ASYMMETRIC, SECRET_32, SECRET_64, public_pem, token_of};
use crate::support::*;

/// A line of the tables of Kong's behaviour.
pub struct Row {
    pub number: u8,
    pub name: &'static str,
    pub outcome: Outcome,
}

pub enum Outcome {
    /// It is as it is in Kong.
    Same(Check),
    /// It is not, for this reason; what it is instead.
    Differs(&'static str, Check),
    /// It is none of the filter's business, for this reason.
    NotOurs(&'static str),
}

pub type Check = Box<dyn Fn(HostCapabilities)>;

/// Runs every row on both hosts; the numbers must be these, in order.
pub fn run(rows: Vec<Row>, last: u8) {
    let numbers: Vec<u8> = rows.iter().map(|row| row.number).collect();
    let mut once = numbers.clone();
    once.dedup();
    assert_eq!(once, (1..=last).collect::<Vec<_>>(), "every row of the table");
    for Row { number, name, outcome } in rows {
        println!("row {number}: {name}");
        match outcome {
            Outcome::Same(check) => HOSTS.into_iter().for_each(check),
            Outcome::Differs(why, check) => {
                println!("    differs: {why}");
                HOSTS.into_iter().for_each(check);
            }
            Outcome::NotOurs(why) => println!("    not ours: {why}"),
        }
    }
}

pub fn same(number: u8, name: &'static str, check: impl Fn(HostCapabilities) + 'static) -> Row {
    Row { number, name, outcome: Outcome::Same(Box::new(check)) }
}

pub fn differs(
    number: u8,
    name: &'static str,
    why: &'static str,
    check: impl Fn(HostCapabilities) + 'static,
) -> Row {
    Row { number, name, outcome: Outcome::Differs(why, Box::new(check)) }
}

pub fn not_ours(number: u8, name: &'static str, why: &'static str) -> Row {
    Row { number, name, outcome: Outcome::NotOurs(why) }
}

/// Consumers as a kong.yml has them, `id` and `tags` included.
pub fn consumers() -> Value {
    let asymmetric = ASYMMETRIC.iter().map(|algorithm| {
        json!({
            "key": format!("key-{algorithm}"), "algorithm": algorithm,
            "rsa_public_key": public_pem(algorithm), "secret": "made-up-by-Kong",
        })
    });
    json!([
        {
            "id": "a1", "username": "alice", "custom_id": "alice-1", "tags": ["x"],
            "acls": [{"group": "staff", "tags": []}, {"group": "eu"}],
            "jwt_secrets": [
                {"key": "key-HS256", "secret": SECRET_32, "id": "c1", "tags": ["x"]},
                {"key": "key-HS384", "secret": SECRET_64, "algorithm": "HS384"},
                {"key": "key-HS512", "secret": SECRET_64, "algorithm": "HS512"},
            ],
        },
        {"id": "b1", "username": "bob", "jwt_secrets": asymmetric.collect::<Vec<_>>()},
        {"id": "n1", "username": "no-body"},
    ])
}

/// A configuration as `convert` writes it: the plugin with these options.
pub fn configured(options: Value) -> Value {
    let mut config = local([
        ("/errors", json!({"format": "kong"})),
        ("/token", json!({"forward": true})),
        ("/consumers", json!({"entries": consumers()})),
    ]);
    let mut provider = json!({"kind": "kong_jwt"});
    for (name, value) in options.as_object().unwrap() {
        provider[name] = value.clone();
    }
    config["providers"] = json!({ "legacy": provider });
    config
}

/// A token of alice's with other claims; `null` takes one away.
pub fn hs256(changes: Value) -> String {
    let mut claims = json!({"iss": "key-HS256", "exp": START + 3600});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    token_of(&json!({"alg": "HS256", "typ": "JWT"}), &claims, "HS256", SECRET_32)
}

/// A token of the credential for an algorithm.
pub fn token_for(algorithm: &str) -> String {
    let claims = json!({"iss": format!("key-{algorithm}"), "exp": START + 3600});
    let secret = if algorithm == "HS256" { SECRET_32 } else { SECRET_64 };
    token_of(&json!({"alg": algorithm, "typ": "JWT"}), &claims, algorithm, secret)
}

/// What a denial says: status, body, challenge.
pub type Told = (u16, Value, String);

fn told(reply: &LocalReply) -> Told {
    let challenge = reply_field(reply, "www-authenticate").unwrap_or_default().to_owned();
    (reply.status, serde_json::from_slice(&reply.body).unwrap(), challenge)
}

/// Sends a request to the plugin with `options`.
pub fn send(
    options: &Value,
    fields: &[(&str, &str)],
    host: HostCapabilities,
) -> gatepass::pipeline::Step {
    World::new(&configured(options.clone()), host).begin(head(fields))
}

/// The denial of a request.
#[track_caller]
pub fn denied_with(options: &Value, fields: &[(&str, &str)], host: HostCapabilities) -> Told {
    told(&answered(send(options, fields, host)))
}

/// The denial of a bearer token, by the text of its `message`.
#[track_caller]
pub fn assert_message(options: &Value, token: &str, message: &str, host: HostCapabilities) {
    let got = denied_with(options, &[("authorization", &format!("Bearer {token}"))], host);
    let expected = (401, json!({ "message": message }), r#"Bearer error="invalid_token""#.into());
    assert_eq!(got, expected);
}

/// The fields that go upstream.
#[track_caller]
pub fn passes(
    options: &Value,
    fields: &[(&str, &str)],
    host: HostCapabilities,
) -> Vec<(String, String)> {
    let request = head(fields);
    let edits = forwarded(send(options, fields, host));
    upstream(host, &request, &edits)
}

/// The one value of an upstream header.
pub fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// A bearer token passes, as this consumer and credential.
#[track_caller]
pub fn assert_consumer(
    options: &Value,
    token: &str,
    consumer: &str,
    credential: &str,
    host: HostCapabilities,
) {
    let authorization = format!("Bearer {token}");
    let fields = passes(options, &[("authorization", &authorization)], host);
    assert_eq!(value(&fields, "x-consumer-username"), Some(consumer));
    assert_eq!(value(&fields, "x-credential-identifier"), Some(credential));
    assert_eq!(value(&fields, "x-anonymous-consumer"), None);
    assert_eq!(value(&fields, "x-credential-username"), None);
    assert_eq!(value(&fields, "authorization"), Some(authorization.as_str()));
    assert!(value(&fields, "x-identity-token").is_some());
}

/// The gRPC status of a denial.
pub fn grpc(step: gatepass::pipeline::Step) -> Option<String> {
    reply_field(&answered(step), "grpc-status").map(str::to_owned)
}

/// The problems of a configuration that is refused.
pub fn refused(config: &Value) -> Vec<String> {
    match gatepass::config::load(config.to_string().as_bytes(), &|_| None, None) {
        Ok(_) => panic!("accepted"),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}
