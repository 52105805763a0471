//! The same tokens for the gateway and for two implementations of JOSE that share
//! no code with it: `jsonwebtoken`, and `jwcrypto` in Python. Where they differ,
//! `explained.md` says why, class by class.
//!
//! Needs what `.ci/install-jwcrypto` installs, as `make test` does.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

#[path = "../../examples/shop/script.rs"]
mod script;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, panic, thread};

use gatepass::config;
use gatepass::host::{HostCapabilities, RequestId};
use gatepass::http::RequestHead;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use tokens::{AUDIENCE, Case, ISSUER, SECRET_ISSUER, now, published, shared_secrets};

/// The issuers with their keys.
fn issuers() -> [(&'static str, Vec<Value>); 2] {
    [(ISSUER, published()), (SECRET_ISSUER, shared_secrets())]
}

fn configuration() -> Value {
    let signing = tokens::private("ES256")["jwk"].clone();
    let mut own = signing;
    // Another key than the issuer's.
    own["x"] = json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    own["y"] = json!("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    own["d"] = json!("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    json!({
        "providers": {"shop": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"keys": published()},
        }, "internal": {
            "issuer": SECRET_ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "local_jwks": {"keys": shared_secrets()},
        }},
        "identity_token": {
            "issuer": "https://gateway.internal", "audiences": ["services"], "subject": "{sub}",
            "signing_keys": [{"algorithm": "ES256", "private_key": own}],
        },
    })
}

fn gateway_accepts(cases: &[Case]) -> Vec<bool> {
    let settings = config::load(configuration().to_string().as_bytes(), &|_| None, None);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems}"));
    let host = HostCapabilities::ENVOY;
    let mut gateway = Pipeline::new(settings, host, [1; 16]);
    let mut accepts = |case: &Case| {
        let bearer = format!("Bearer {}", case.token).into_bytes();
        let fields = [(":method", b"GET".to_vec()), (":path", b"/".to_vec())];
        let fields = fields.into_iter().chain([("authorization", bearer)]);
        let head = RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value)));
        let step = gateway.begin(RequestId::default(), head, UnixTime::from_secs(now()));
        matches!(step, Step::Done(Verdict::Forward(_), _))
    };
    cases.iter().map(&mut accepts).collect()
}

fn jsonwebtoken_accepts(cases: &[Case]) -> Vec<bool> {
    let issuers = issuers().map(|(issuer, keys)| {
        let keys: JwkSet = serde_json::from_value(json!({ "keys": keys })).unwrap();
        (issuer, keys)
    });
    let accepts = |token: &str, (issuer, keys): &(&str, JwkSet)| {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let is_for = |key: &&jsonwebtoken::jwk::Jwk| {
            let algorithm = key.common.key_algorithm.map(|algorithm| algorithm.to_string());
            algorithm == Some(format!("{:?}", header.alg))
        };
        let key = match &header.kid {
            Some(kid) => keys.find(kid)?,
            None => keys.keys.iter().find(is_for)?,
        };
        let algorithm = key.common.key_algorithm?.to_string().parse().ok()?;
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[*issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.validate_nbf = true;
        validation.leeway = 60;
        let key = DecodingKey::from_jwk(key).ok()?;
        jsonwebtoken::decode::<Value>(token, &key, &validation).ok()
    };
    let safely = |case: &Case| {
        panic::catch_unwind(|| issuers.iter().any(|it| accepts(&case.token, it).is_some()))
    };
    cases.iter().map(|case| safely(case).unwrap_or(false)).collect()
}

/// The Python to ask: `$JOSE_PYTHON`, else what `.ci/install-jwcrypto` installs.
fn python() -> PathBuf {
    if let Some(python) = env::var_os("JOSE_PYTHON") {
        return python.into();
    }
    let root = PathBuf::from(env!("CARGO_WORKSPACE_DIR"));
    let script = fs::read_to_string(root.join(".ci/install-jwcrypto")).unwrap();
    let version = script::version(&script, "version");
    let python = root.join(format!("target/jwcrypto-{version}/bin/python"));
    let hint = "run `make test`, or `.ci/install-jwcrypto` before `cargo test`";
    assert!(python.exists(), "no jwcrypto {version}: {hint}");
    python
}

fn jwcrypto_accepts(cases: &[Case]) -> Vec<bool> {
    let script = concat!(env!("CARGO_WORKSPACE_DIR"), "/tests/differential/jwcrypto_verdicts.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let tokens: Vec<_> = cases.iter().map(|case| &case.token).collect();
    let issuers = issuers().map(|(issuer, keys)| {
        let algorithms: Vec<_> = keys.iter().map(|key| key["alg"].clone()).collect();
        json!({"issuer": issuer, "keys": keys, "algorithms": algorithms})
    });
    let given = json!({"issuers": issuers, "audience": AUDIENCE, "tokens": tokens});
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(given.to_string().as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().expect("all tokens are read");
    assert!(output.status.success(), "{}", output.status);
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

fn verdict(accepts: bool) -> &'static str {
    if accepts { "accepts" } else { "refuses" }
}

/// Who, of which class, what the gateway says, what the other says.
type Disagreement = [String; 4];

fn explained() -> BTreeSet<Disagreement> {
    let rows = include_str!("explained.md").lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [other, class, ours, theirs, why] = cells[..] else { panic!("five cells: {row}") };
        assert!(why.len() > 20 && why.ends_with('.'), "a reason: {row}");
        [other.trim_matches('`'), class, ours, theirs].map(str::to_owned)
    })
    .collect()
}

#[test]
fn verdicts_of_other_implementations() {
    let cases = tokens::cases();
    let ours = gateway_accepts(&cases);
    let others =
        [("jsonwebtoken", jsonwebtoken_accepts(&cases)), ("jwcrypto", jwcrypto_accepts(&cases))];
    let explained = explained();
    let mut met = BTreeSet::new();
    let mut unexplained: BTreeMap<Disagreement, (usize, &Case)> = BTreeMap::new();
    let mut agreed = 0;
    for (other, theirs) in &others {
        for (case, (ours, theirs)) in cases.iter().zip(ours.iter().zip(theirs)) {
            if ours == theirs {
                agreed += 1;
                continue;
            }
            let of =
                |class: &str| [*other, class, verdict(*ours), verdict(*theirs)].map(str::to_owned);
            // Of a token with two changes one of them must explain it.
            let known: Vec<_> = case.classes.iter().map(|class| of(class)).collect();
            match known.iter().find(|it| explained.contains(*it)) {
                Some(it) => drop(met.insert(it.clone())),
                None => {
                    unexplained.entry(of(&case.classes.join(" + "))).or_insert((0, case)).0 += 1
                }
            }
        }
    }
    let accepted = ours.iter().filter(|accepted| **accepted).count();
    assert!(accepted > 50 && agreed > cases.len(), "{accepted} accepted, {agreed} agreed");
    let lines: Vec<_> = unexplained
        .iter()
        .map(|([other, class, ours, theirs], (count, case))| {
            format!("{other} | {class} | {ours} | {theirs}: {count}, such as {}", case.name)
        })
        .collect();
    assert!(lines.is_empty(), "not in explained.md:\n{}", lines.join("\n"));
    let stale: Vec<_> = explained.difference(&met).collect();
    assert!(stale.is_empty(), "explained, but nobody differs: {stale:#?}");
}

/// What nobody disagrees about has to be right as well: a good token passes, one
/// signed by a stranger never.
#[test]
fn all_accept_what_is_good_and_refuse_what_is_forged() {
    let cases = tokens::cases();
    let verdicts =
        [gateway_accepts(&cases), jsonwebtoken_accepts(&cases), jwcrypto_accepts(&cases)];
    let of = |class: &str, expected: bool| {
        let mut count = 0;
        for (at, case) in cases.iter().enumerate().filter(|(_, it)| it.classes == [class]) {
            let got: Vec<_> = verdicts.iter().map(|accepts| accepts[at]).collect();
            assert_eq!(got, [expected; 3], "{}", case.name);
            count += 1;
        }
        assert!(count > 0, "{class}");
    };
    of("none", true);
    of("forged", false);
}
