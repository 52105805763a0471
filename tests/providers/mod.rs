//! Identity providers that answer as they are documented, for the examples of
//! `examples/providers`: to the core alone, and to a real Envoy.

mod issuers;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub use issuers::all;

/// What kube-apiserver wants to see before it tells its keys.
pub const KUBERNETES_AUTHORIZATION: &str = "Bearer of-the-cluster-0123456789";

/// What Keycloak wants to see before it tells of tokens.
pub const INTROSPECTION_SECRET: &str = "keycloak-secret-0123456789";

/// The time of this machine, in seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

const BEARER: (&str, &str) = ("authorization", "Bearer ");

/// An issuer as it is documented, and tokens of it.
pub struct Provider {
    /// The example, without `.yaml`.
    pub file: &'static str,
    /// Where its keys are.
    pub authority: &'static str,
    pub keys_path: &'static str,
    pub algorithm: Algorithm,
    /// `typ` of its tokens.
    pub typ: Option<&'static str>,
    /// The header in which tokens are, and what is before them.
    pub header: (&'static str, &'static str),
    /// Members that its keys have beside; `null` takes one away.
    pub key_members: Value,
    pub claims: Value,
    pub cases: Vec<Case>,
}

/// A request: what it is about, its path, changes of the claims, and what becomes of it:
/// 200, or the code of the denial.
pub type Case = (&'static str, &'static str, Value, &'static str);

/// What the gateway asks a provider.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a str,
    /// By name; `host` is there too.
    pub fields: &'a [(&'a str, &'a str)],
}

impl Asked<'_> {
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|it| it.0 == name).map_or("", |it| it.1)
    }
}

/// The provider's key.
pub struct Key(EncodingKey, Algorithm);

impl Key {
    pub fn generate(algorithm: Algorithm) -> Self {
        let key = if algorithm == Algorithm::ES256 {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
        } else {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
            // The PKCS#1 key within the PKCS#8 one.
            EncodingKey::from_rsa_der(&der.as_ref()[26..])
        };
        Self(key, algorithm)
    }

    fn published(&self, members: &Value) -> Value {
        let jwk = Jwk::from_encoding_key(&self.0, self.1).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!("k1");
        jwk["use"] = json!("sig");
        // As good as none, as some libraries write what is not there.
        jwk["x5t"] = Value::Null;
        for (name, value) in members.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        let other = json!({"kty": "OKP", "crv": "X25519", "x": "AAAA", "use": "enc", "kid": "e"});
        json!({"keys": [other, jwk]})
    }

    fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.1);
        header.typ = typ.map(str::to_owned);
        header.kid = Some("k1".to_owned());
        jsonwebtoken::encode(&header, claims, &self.0).unwrap()
    }
}

impl Provider {
    fn with(self, cases: &[Case]) -> Self {
        Self { cases: cases.to_vec(), ..self }
    }

    /// The example, with values for what it takes from the environment beside the key to
    /// sign with.
    pub fn configuration(&self) -> Value {
        let name = format!("examples/providers/{}.yaml", self.file);
        let path = Path::new(env!("CARGO_WORKSPACE_DIR")).join(name);
        let text = fs::read_to_string(path).unwrap();
        let mut configuration: Value = serde_norway::from_str(&text).unwrap();
        fill(&mut configuration);
        configuration
    }

    /// The claims of a case's token.
    pub fn claims(&self, changes: &Value, now: i64) -> Value {
        let mut claims = self.claims.clone();
        claims["iat"] = json!(now - 10);
        claims["exp"] = json!(now + 290);
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    /// The field with a case's token, if it has one.
    pub fn field(&self, case: &Case, claims: &Value, key: &Key) -> Option<(&str, String)> {
        let (name, prefix) = self.header;
        let value = || format!("{prefix}{}", key.sign(self.typ, claims));
        (case.0 != "no token").then(|| (name, value()))
    }

    /// What the service says: status and body. It likes neither clients without a name
    /// (as firewalls do) nor those that do not take key sets (as kube-apiserver does).
    pub fn answer(&self, asked: &Asked<'_>, key: &Key) -> (u16, String) {
        if !asked.field("user-agent").starts_with("gatepass/") {
            return (403, "<html>Forbidden</html>".to_owned());
        }
        let is_document = asked.path.ends_with("/.well-known/openid-configuration");
        if !(self.file == "google" && is_document) && asked.field("host") != self.authority {
            return (421, format!("{} is not {}", asked.field("host"), self.authority));
        }
        if asked.path.ends_with("/introspect") {
            return self.introspection(asked);
        }
        if !asked.field("accept").contains("application/jwk-set+json") {
            return (406, r#"{"kind":"Status","status":"Failure","code":406}"#.to_owned());
        }
        if self.file == "kubernetes" && asked.field("authorization") != KUBERNETES_AUTHORIZATION {
            return (401, r#"{"kind":"Status","status":"Failure","code":401}"#.to_owned());
        }
        if is_document {
            let keys = format!("https://{}{}", self.authority, self.keys_path);
            let document = json!({
                "issuer": self.claims["iss"], "jwks_uri": keys, "userinfo_endpoint": null,
                "id_token_signing_alg_values_supported": ["RS256"],
            });
            return (200, document.to_string());
        }
        match asked.path == self.keys_path {
            true => (200, key.published(&self.key_members).to_string()),
            false => (404, "no such page".to_owned()),
        }
    }

    /// Keycloak tells what the token itself does not have.
    fn introspection(&self, asked: &Asked<'_>) -> (u16, String) {
        let (client, secret) = ("gatepass", INTROSPECTION_SECRET);
        let basic = BASE64_STANDARD.encode(format!("{client}:{secret}"));
        if asked.method != "POST" || asked.field("authorization") != format!("Basic {basic}") {
            return (401, r#"{"error":"invalid_request"}"#.to_owned());
        }
        let mut form = asked.body.split('&');
        let token = form.find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
        let payload = token.split('.').nth(1).unwrap_or_default();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let Ok(mut whole) = serde_json::from_slice::<Value>(&claims) else {
            return (200, r#"{"active":false}"#.to_owned());
        };
        if whole["sid"] == "ended" {
            return (200, r#"{"active":false}"#.to_owned());
        }
        let roles = json!({"roles": [whole["azp"].clone(), "admin"]});
        let audiences = match whole["azp"] == "partner" {
            true => json!("account"),
            false => json!(["shop-api", "account"]),
        };
        for (name, value) in [
            ("active", json!(true)),
            ("token_type", json!("Bearer")),
            ("sub", json!("f:5b1c:alice")),
            ("aud", audiences),
            ("username", json!("alice")),
            ("realm_access", roles),
            ("nbf", Value::Null),
        ] {
            whole[name] = value;
        }
        (200, whole.to_string())
    }
}

fn fill(value: &mut Value) {
    match value.get("env").and_then(Value::as_str) {
        // The host has it.
        Some("GATEPASS_SIGNING_KEY") => {}
        Some("GATEPASS_KUBERNETES_AUTHORIZATION") => *value = json!(KUBERNETES_AUTHORIZATION),
        Some("GATEPASS_KEYCLOAK_SECRET") => *value = json!(INTROSPECTION_SECRET),
        Some(other) => panic!("{other} is not known here"),
        None => match value {
            Value::Object(members) => members.values_mut().for_each(fill),
            Value::Array(items) => items.iter_mut().for_each(fill),
            _ => {}
        },
    }
}
