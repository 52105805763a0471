//! A directory with files, and the command run in it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

/// When tokens are made, in seconds since 1970.
pub const START: &str = "1800000000";
/// While they are valid.
pub const LATER: &str = "1800000010";

/// A secret that no output may hold.
pub const API_KEY: &str = "api-key-that-nobody-may-see";

/// A private key for tests only: RFC 7515 appendix A.3.1.
pub const SIGNING_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// A private key of the issuer: RFC 8037 appendix A.1.
pub const ISSUER_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"issuer-1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;

/// How the command ended, and what it printed.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The output, if it ended with `status`.
    #[track_caller]
    pub fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A directory of a test's own.
pub struct Desk(PathBuf);

impl Desk {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatepass-cli-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// With a configuration, the issuer's keys and a token of alice's.
    pub fn furnished(configuration: &Value) -> Self {
        let desk = Self::new();
        desk.put("gatepass.yaml", &configuration.to_string());
        desk.put("issuer.jwk", ISSUER_KEY);
        let jwks = desk.run(&["jwks", "--key", "issuer.jwk"]).ended(0);
        desk.put("issuer.jwks", &jwks.out);
        desk.put("alice.token", &desk.token(&[]));
        desk.put(
            "alice.json",
            r#"{"sub": "alice", "address": {"country": "ES"}, "type": "premium"}"#,
        );
        desk
    }

    /// A token that the configuration asks for, by more arguments.
    pub fn token(&self, more: &[&str]) -> String {
        let fixed = ["mint", "-c", "gatepass.yaml", "--key", "issuer.jwk", "--claim", "azp=web"];
        let at = if more.contains(&"--at") { vec![] } else { vec!["--at", START] };
        let arguments: Vec<_> = fixed.into_iter().chain(at).chain(more.iter().copied()).collect();
        self.run(&arguments).ended(0).out.trim().to_owned()
    }

    pub fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn put_bytes(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the command with the secrets in its environment.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let own = [
            ("SIGNING_KEY", SIGNING_KEY),
            ("API_KEY", API_KEY),
            ("GATEPASS_ENV", "SIGNING_KEY,API_KEY"),
        ];
        self.run_with(arguments, &own, "")
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Run {
        use std::io::Write as _;
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepass"))
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        Run {
            status: status.code().expect("no signal ended it"),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// `explain` with JSON, of a request with alice's token.
    pub fn explain(&self, more: &[&str]) -> Run {
        let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER, "--json"];
        let arguments: Vec<_> = fixed.into_iter().chain(more.iter().copied()).collect();
        self.run(&arguments)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A configuration with everything that `explain` tells of.
pub fn configuration() -> Value {
    json!({
        "services": {
            "auth": {"upstream": "auth", "authority": "auth.internal"},
            "users": {"upstream": "users", "authority": "users.internal"},
        },
        "providers": {"shop": {
            "issuer": "https://auth.shop.example", "audiences": ["shop-api"],
            "remote_jwks": {"service": "auth", "path": "/jwks.json"},
            "max_lifetime_seconds": 3600,
        }},
        "consumers": {
            "claim": ["azp"], "anonymous": "guest",
            "entries": [{"key": "web", "id": "c1", "username": "web-app", "groups": ["first-party"]}],
        },
        "user_info": {
            "service": "users", "path": "/users/{sub}", "headers": {"x-api-key": {"env": "API_KEY"}},
            "claims": {"country": "/address/country", "type": "/type"}, "required": ["country"],
        },
        "identity_token": {
            "issuer": "https://gateway.internal", "audiences": ["services"],
            "claims": {"set": {"env": "test"}},
            "signing_keys": [{"algorithm": "ES256", "private_key": {"env": "SIGNING_KEY"}}],
        },
        "claim_to_headers": [{"header": "x-user-country", "claim": "country"}],
        "rules": [
            {"match": {"path_prefix": "/login"}, "bypass": true},
            {"match": {"path_prefix": "/admin"}, "requires": {"scopes_all": ["admin"]}},
            {"match": {"path_prefix": "/premium"}, "requires": {"claims": {"type": ["premium"]}}},
            {"match": {"path_prefix": "/catalog"}, "requires": {"allow_missing": true}},
        ],
    })
}

/// The same with changes: JSON pointers and what to put there.
pub fn changed<const N: usize>(changes: [(&str, Value); N]) -> Value {
    let mut configuration = configuration();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match configuration.pointer_mut(parent).expect(parent) {
            Value::Object(members) if value.is_null() => drop(members.remove(name)),
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
            parent => parent[name] = value,
        }
    }
    configuration
}

/// The claims of a token, verified with a key set, whatever the time.
pub fn verified(token: &str, jwks: &str) -> Value {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let keys: JwkSet = serde_json::from_str(jwks).unwrap();
    let key = keys.find(header.kid.as_deref().expect("a kid")).expect("a published key");
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}
