//! What docs/services.md tells services to do works: each of its snippets verifies the
//! identity tokens of `gatepass`, with the real library, and nothing else.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

#[path = "../../examples/shop/script.rs"]
mod script;
#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "of the tests of the command")]
mod support;

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::UNIX_EPOCH;
use std::{env, fs, thread};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use support::{Desk, SIGNING_KEY};

const PAGE: &str = include_str!("../../docs/services.md");
const FRONT_PAGE: &str = include_str!("../../README.md");
const KEY_SET: &str = "https://gateway.internal/.well-known/gatepass/jwks.json";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_WORKSPACE_DIR"))
}

fn snippet<'a>(page: &'a str, info: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n```{info}\n")).expect(info);
    rest.split("\n```").next().unwrap()
}

/// The directory of the libraries: `$VERIFIERS`, else what `.ci/install-verifiers` installs.
fn libraries() -> PathBuf {
    if let Some(home) = env::var_os("VERIFIERS") {
        return home.into();
    }
    let script = fs::read_to_string(root().join(".ci/install-verifiers")).unwrap();
    let versions = ["pyjwt", "fastmcp", "jose"].map(|name| script::version(&script, name));
    let versions = versions.join("-");
    let home = root().join(format!("target/verifiers-{versions}"));
    let hint = "run `make test`, or `.ci/install-verifiers` before `cargo test`";
    assert!(home.join("complete").exists(), "no libraries: {hint}");
    home
}

/// The front page's configuration, and tokens by it.
struct Gateway {
    desk: Desk,
    jwks: String,
    accepted: String,
    refused: Vec<(&'static str, String)>,
}

impl Gateway {
    fn new() -> Self {
        let desk = Desk::new();
        let configuration = snippet(FRONT_PAGE, "yaml gatepass");
        desk.put("gatepass.yaml", configuration);
        desk.put("other.yaml", &configuration.replace("my-services", "other-services"));
        desk.put("foreign.yaml", &configuration.replace("gateway.internal", "gateway.example"));
        desk.put("signing.jwk", SIGNING_KEY);
        desk.put("issuer.jwk", support::ISSUER_KEY);
        desk.put("issuer.jwks", &run(&desk, &["jwks", "--key", "issuer.jwk"]));
        desk.put("alice.json", r#"{"sub": "alice", "address": {"country": "ES"}, "plan": "free"}"#);
        let jwks = run(&desk, &["jwks", "-c", "gatepass.yaml"]);
        // By a gateway whose clock is ahead of the service's.
        let ahead = UNIX_EPOCH.elapsed().unwrap().as_secs().saturating_add(20).to_string();
        let accepted = identity(&desk, "gatepass.yaml", &["--at", &ahead]);
        let (rest, signature) = accepted.rsplit_once('.').unwrap();
        let changed = if signature.starts_with('A') { "B" } else { "A" };
        let access = [
            "mint",
            "--key",
            "signing.jwk",
            "--claim",
            "iss=https://gateway.internal",
            "--claim",
            "aud=my-services",
            "--claim",
            "sub=alice",
        ];
        let refused = vec![
            ("a changed signature", format!("{rest}.{changed}{}", &signature[1..])),
            ("another audience", identity(&desk, "other.yaml", &[])),
            ("another issuer", identity(&desk, "foreign.yaml", &[])),
            ("an expired one", identity(&desk, "gatepass.yaml", &["--at", "1700000000"])),
            ("another type", run(&desk, &access).trim().to_owned()),
            ("no token", "a.b.c".to_owned()),
        ];
        Self { desk, jwks, accepted, refused }
    }

    /// Serves the key set, and returns its address.
    fn key_set(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{}",
            self.jwks.len(),
            self.jwks
        );
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(reply.as_bytes());
            }
        });
        address
    }

    /// Has a script verify each token; it prints the subject, or `refused`.
    fn assert_verified_by(&self, name: &str, text: &str, command: &mut Command, typ: bool) {
        let text = text.replace(KEY_SET, &self.key_set());
        self.desk.put(name, &text);
        let cases = self.refused.iter().filter(|(case, _)| typ || *case != "another type");
        let tokens: Vec<_> = cases.clone().map(|(_, token)| token.as_str()).collect();
        let output = command
            .arg(self.desk.path(name))
            .arg(&self.accepted)
            .args(tokens)
            .output()
            .expect("the interpreter starts");
        let told = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut verdicts = printed.lines();
        assert_eq!(verdicts.next(), Some("alice"), "{name}: {told}");
        for (case, _) in cases {
            assert_eq!(verdicts.next(), Some("refused"), "{name}: {case}: {told}");
        }
    }
}

fn run(desk: &Desk, arguments: &[&str]) -> String {
    desk.run_with(arguments, &[("GATEPASS_SIGNING_KEY", SIGNING_KEY)], "").ended(0).out
}

/// An identity token of alice's.
fn identity(desk: &Desk, configuration: &str, at: &[&str]) -> String {
    let mint = ["mint", "-c", configuration, "--key", "issuer.jwk", "--claim", "sub=alice"];
    desk.put("alice.token", &run(desk, &[&mint[..], at].concat()));
    let explain = [
        "explain",
        "-c",
        configuration,
        "--json",
        "--show-tokens",
        "--path",
        "/",
        "--token",
        "alice.token",
        "--jwks",
        "issuer.jwks",
        "--user-info",
        "alice.json",
    ];
    let report = run(desk, &[&explain[..], at].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    report["set"]["x-identity-token"].as_str().expect("an identity token").to_owned()
}

const PYTHON: &str = "
import sys
for token in sys.argv[1:]:
    try:
        print(verify(token)['sub'])
    except Exception as error:
        print('refused')
        print(error, file=sys.stderr)
";

#[test]
fn python() {
    let text = format!("{}\n{PYTHON}", snippet(PAGE, "python verify"));
    let mut python = Command::new(libraries().join("python/bin/python"));
    Gateway::new().assert_verified_by("verify.py", &text, &mut python, true);
}

#[test]
fn node() {
    let text = format!(
        "{}\nfor (const token of process.argv.slice(2)) {{\n  \
         try {{ console.log((await verify(token)).sub); }} \
         catch (error) {{ console.log(\"refused\"); console.error(error.message); }}\n}}\n",
        snippet(PAGE, "js verify").replace(
            "from \"jose\"",
            &format!("from \"{}/node_modules/jose/dist/webapi/index.js\"", libraries().display())
        ),
    );
    Gateway::new().assert_verified_by("verify.mjs", &text, &mut Command::new("node"), true);
}

#[test]
fn ruby() {
    let text = format!(
        "{}\nARGV.each do |token|\n  puts verify(token)[\"sub\"]\nrescue JWT::DecodeError => error\n  \
         puts \"refused\"\n  warn error.message\nend\n",
        snippet(PAGE, "ruby verify")
    );
    Gateway::new().assert_verified_by("verify.rb", &text, &mut Command::new("ruby"), true);
}

/// FastMCP has no setting for the type.
#[test]
fn fastmcp() {
    let text = format!(
        "{}\nimport asyncio\n\ndef verify(token):\n    \
         return asyncio.run(mcp.auth.verify_token(token)).claims\n{PYTHON}",
        snippet(PAGE, "python fastmcp")
    );
    let mut python = Command::new(libraries().join("python/bin/python"));
    Gateway::new().assert_verified_by("server.py", &text, &mut python, false);
}

// The snippet of the page, letter for letter.
fn verify(token: &str, keys: &JwkSet) -> Result<Value, Box<dyn Error>> {
    let header = decode_header(token)?;
    if header.typ.as_deref() != Some("identity+jwt") {
        return Err("not an identity token".into());
    }
    let kid = header.kid.ok_or("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown kid: refetch the set")?)?;
    let mut checks = Validation::new(Algorithm::ES256);
    checks.validate_nbf = true;
    checks.set_issuer(&["https://gateway.internal"]);
    checks.set_audience(&["my-services"]);
    checks.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    Ok(decode(token, &key, &checks)?.claims)
}

#[test]
fn rust() {
    assert!(include_str!("main.rs").contains(snippet(PAGE, "rust verify")), "as on the page");
    let gateway = Gateway::new();
    let keys: JwkSet = serde_json::from_str(&gateway.jwks).unwrap();
    assert_eq!(verify(&gateway.accepted, &keys).unwrap()["sub"], "alice");
    for (case, token) in &gateway.refused {
        assert!(verify(token, &keys).is_err(), "{case}");
    }
}
