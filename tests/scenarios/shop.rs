//! The shop that every scenario is about: its issuer, its services, its
//! configuration, and an upstream that checks what it is told.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::host::{Head, Host, Profile, Reply, Request};

pub const ISSUER: &str = "https://auth.shop.example";
pub const GATEWAY: &str = "https://gateway.shop.internal";
pub const JWKS_PATH: &str = "/.well-known/gatepass/jwks.json";
pub const API_KEY: &str = "scenario-api-key-0123456789";

/// The clock of the fake host when it starts.
pub const START: u64 = 1_767_225_600;

/// The private key of RFC 7515 appendix A.3.1 as PKCS#8.
pub const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";

/// Who signs public tokens.
pub struct Issuer {
    private: EncodingKey,
    public: Jwk,
}

impl Issuer {
    fn generate(kid: &str) -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let private = EncodingKey::from_ec_der(der.unwrap().as_ref());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
        public.common.key_id = Some(kid.to_owned());
        Self { private, public }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&Header::new(Algorithm::ES256), claims)
    }

    /// Signs with any other header.
    pub fn sign_as(&self, header: &Header, claims: &Value) -> String {
        let mut header = header.clone();
        header.kid.clone_from(&self.public.common.key_id);
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    pub fn jwk(&self) -> Value {
        serde_json::to_value(&self.public).unwrap()
    }

    /// What its JWKS endpoint answers.
    pub fn jwks(&self) -> Reply {
        Reply::ok(json!({ "keys": [self.jwk()] }).to_string())
    }
}

/// The issuer with its key `k1`.
pub fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer::generate("k1"))
}

/// The issuer after it changed to its key `k2`.
pub fn next_issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer::generate("k2"))
}

/// The claims of a valid token.
pub fn claims(sub: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": "shop-api", "sub": sub, "azp": "web", "scope": "orders",
        "iat": START, "exp": START + 3600,
    })
}

/// `Bearer` and a valid token.
pub fn bearer(sub: &str) -> String {
    format!("Bearer {}", token(sub))
}

pub fn token(sub: &str) -> String {
    issuer().sign(&claims(sub))
}

/// What the user-info service knows.
pub fn user(sub: &str) -> Value {
    json!({ "sub": sub, "type": "gold", "address": { "country": "NL" } })
}

pub fn user_reply(sub: &str) -> Reply {
    Reply::ok(user(sub).to_string())
}

pub fn configuration(profile: Profile) -> Value {
    let upstream = |name: &str| match profile {
        Profile::Envoy => name.to_owned(),
        Profile::Kong => format!("{name}.internal:8080"),
    };
    json!({
        "services": {
            "auth": { "upstream": upstream("auth"), "authority": "auth.internal" },
            "users": {
                "upstream": upstream("users"), "authority": "users.internal",
                "scheme": "https", "timeout_ms": 500,
            },
        },
        "providers": {
            "shop": {
                "issuer": ISSUER, "audiences": ["shop-api"],
                "local_jwks": { "keys": [issuer().jwk()] },
            },
        },
        "consumers": {
            "entries": [{
                "key": "web", "id": "5c0c", "username": "web-app", "custom_id": "web-1",
                "groups": ["first-party", "eu"],
            }],
            "anonymous": "guest",
        },
        "user_info": {
            "service": "users", "path": "/users/{sub}",
            "headers": { "x-api-key": { "env": "SCENARIO_API_KEY" } },
            "claims": { "country": "/address/country", "customer_type": "/type" },
            "required": ["country"],
            "cache": { "ttl_seconds": 60, "negative_ttl_seconds": 5, "stale_if_error_seconds": 300 },
        },
        "identity_token": {
            "issuer": GATEWAY, "audiences": ["shop-services"], "ttl_seconds": 300,
            "claims": { "copy": ["azp"], "set": { "env": "prod" } },
            "signing_keys": [
                { "algorithm": "ES256", "private_key": { "env": "SCENARIO_SIGNING_KEY" } },
            ],
        },
        "claim_to_headers": [{ "header": "x-user-country", "claim": ["country"] }],
        "rules": [
            { "match": { "path_prefix": "/login" }, "bypass": true },
            { "match": { "path_prefix": "/catalog" }, "requires": { "allow_missing": true } },
            { "match": { "path_prefix": "/admin" }, "requires": { "scopes_all": ["admin"] } },
        ],
        "errors": { "realm": "shop" },
        "limits": { "max_reply_bytes": 4096, "max_login_bytes": 4096 },
    })
}

/// The provider's keys from its JWKS endpoint instead of the configuration.
pub fn remote_keys() -> Value {
    let remote = json!({
        "service": "auth", "path": "/jwks.json", "cache_seconds": 600,
        "max_stale_seconds": 3600, "unknown_kid_cooldown_seconds": 30,
    });
    json!({ "providers": { "shop": { "local_jwks": null, "remote_jwks": remote } } })
}

/// Starts the filter with the shop's configuration, changed by `patch` (RFC 7396).
pub fn open(host: &Host, patch: Value) {
    set_environment(host);
    assert!(host.configure(patched(host, patch)), "{:#?}", host.logs());
}

pub fn set_environment(host: &Host) {
    host.env("SCENARIO_API_KEY", API_KEY);
    host.env("SCENARIO_SIGNING_KEY", SIGNING_KEY);
}

pub fn patched(host: &Host, patch: Value) -> Value {
    let mut configuration = configuration(host.profile());
    merge(&mut configuration, patch);
    configuration
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                match value {
                    Value::Null => drop(target.remove(&name)),
                    value => merge(target.entry(name).or_insert(Value::Null), value),
                }
            }
        }
        (target, patch) => {
            *target = match patch {
                Value::Object(_) => {
                    let mut empty = json!({});
                    merge(&mut empty, patch);
                    empty
                }
                patch => patch,
            }
        }
    }
}

/// A request with a token.
pub fn ask(host: &Host, token: &str) -> Request {
    host.request([("authorization", &format!("Bearer {token}"))])
}

/// A request of a user that got through, user info and all.
#[track_caller]
pub fn served(host: &Host, sub: &str) -> Request {
    let request = ask(host, &token(sub));
    if request.is_paused() {
        request.answer(user_reply(sub));
    }
    assert!(request.is_forwarded(), "{:?} {:#?}", request.outcome(), host.logs());
    request
}

/// What the upstream makes of the identity token, knowing only the gateway's
/// JWKS: another implementation checks the signature and the claims.
#[track_caller]
pub fn identity(host: &Host, request: &Request) -> Value {
    let tokens = request.upstream_headers("x-identity-token");
    let [token] = tokens.as_slice() else { panic!("{} identity tokens", tokens.len()) };
    let served = host.send(Head::get(JWKS_PATH)).reply();
    let keys: JwkSet = serde_json::from_slice(&served.body).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("identity+jwt"));
    let key = keys.find(header.kid.as_deref().unwrap()).expect("a published key");
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[GATEWAY]);
    validation.set_audience(&["shop-services"]);
    // The fake host has a clock of its own.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    let at = |name: &str| claims[name].as_u64().unwrap();
    assert!(at("nbf") <= host.now() && host.now() < at("exp"), "{claims:#}");
    claims
}

/// The filter's denial, with what every one of them must have.
#[track_caller]
pub fn denial(request: &Request) -> (u16, String) {
    let reply = request.reply();
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["status"], reply.status);
    (reply.status, body["code"].as_str().unwrap().to_owned())
}

#[track_caller]
pub fn assert_denied(request: &Request, status: u16, code: &str) {
    assert_eq!(denial(request), (status, code.to_owned()));
}

/// A denial because of a callout that had a body, and whose reply had none: Kong's runtime
/// would lose the body of this one too.
#[track_caller]
pub fn assert_denied_in_silence(host: &Host, request: &Request, status: u16, code: &str) {
    if !host.is_kong() {
        return assert_denied(request, status, code);
    }
    let reply = request.reply();
    assert_eq!((reply.status, reply.body.len()), (status, 0), "{reply:?}");
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(reply.header("content-type"), None, "of what is not there");
    assert!(host.logged(&format!(r#""code":"{code}""#)));
}

/// The last denial's line says that nothing held back the request's head until its body was
/// there.
#[track_caller]
pub fn assert_not_awaited(host: &Host, method: &str, path: &str) {
    let line = host.logs().into_iter().rfind(|line| line.text.contains("\"denied\"")).unwrap();
    let line: Value = serde_json::from_str(&line.text).unwrap();
    assert_eq!((&line["method"], &line["path"]), (&json!(method), &json!(path)), "{line}");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.ends_with("the path needs the buffer filter behind this one"), "{detail}");
}

/// Whether the host keeps this request from passing by itself: on Kong by the
/// variable that a trap leaves behind, on Envoy nothing is needed.
pub fn is_guarded(host: &Host, request: &Request) -> bool {
    !host.is_kong() || request.property("ngx.upstream_scheme").as_deref() == Some("denied")
}
