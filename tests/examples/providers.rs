//! The configurations in `examples/providers`: each accepts the tokens that its
//! provider issues for an API, and refuses those that it issues for other ends.
//!
//! The tokens have the claims that the providers document, signed by a key of
//! the test.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use gatepass::host::HostCapabilities;
use gatepass::http::RequestHead;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{load, read};

const NOW: i64 = 1_767_225_600;

const HOST: HostCapabilities = HostCapabilities::ENVOY;

struct Issuer(EncodingKey);

impl Issuer {
    fn generate() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        // The PKCS#1 key within the PKCS#8 one.
        Self(EncodingKey::from_rsa_der(&der.as_ref()[26..]))
    }

    /// A key as these providers publish it: some leave `alg` out.
    fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.0, Algorithm::RS256).unwrap())
                .unwrap();
        jwk["kid"] = json!("k1");
        jwk["use"] = json!("sig");
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.typ = typ.map(str::to_owned);
        header.kid = Some("k1".to_owned());
        jsonwebtoken::encode(&header, claims, &self.0).unwrap()
    }
}

/// A gateway with an example's configuration and the test's key in the place of
/// the provider's.
fn gateway(name: &str, issuer: &Issuer) -> Pipeline {
    let text = read(&format!("examples/providers/{name}.yaml"));
    let mut configuration: Value = serde_norway::from_str(&text).unwrap();
    load(&configuration);
    let provider = &mut configuration["providers"][name];
    provider["remote_jwks"] = Value::Null;
    provider["discovery"] = Value::Null;
    provider["local_jwks"] = json!({"keys": [issuer.jwk()]});
    Pipeline::new(load(&configuration), HOST, [7; 16])
}

/// 200 for a request that is forwarded, else the denial's code.
fn outcome(gateway: &mut Pipeline, path: &str, token: &str) -> String {
    let head = RequestHead::new([
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), path.as_bytes().to_vec()),
        (":authority".to_owned(), b"api.shop.example".to_vec()),
        ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
    ]);
    match gateway.begin(head, UnixTime::from_secs(NOW)) {
        Step::Done(Verdict::Forward(_), _) => "200".to_owned(),
        Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["code"].as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// `claims` with times, and other members changed; `null` takes one away.
fn with(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    claims["iat"] = json!(NOW - 10);
    claims["exp"] = json!(NOW + 3000);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

#[test]
fn auth0() {
    let issuer = Issuer::generate();
    let mut gateway = gateway("auth0", &issuer);
    let claims = json!({
        "iss": "https://SHOP.eu.auth0.com/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "aud": ["https://api.shop.example", "https://SHOP.eu.auth0.com/userinfo"],
        "azp": "8kM2qZ0cQeWb1nXv4rTs6yUi3oPa5dFg", "scope": "openid profile",
        "permissions": ["read:orders"],
    });
    let admin = json!({"scope": "openid admin:shop"});
    for (case, path, typ, changes, expected) in [
        ("an access token", "/", "JWT", json!({}), "200"),
        ("one of the RFC 9068 profile", "/", "at+jwt", json!({}), "200"),
        ("a scope", "/admin", "JWT", admin, "200"),
        ("no scope", "/admin", "JWT", json!({}), "insufficient_scope"),
        (
            "an ID token",
            "/",
            "JWT",
            json!({"aud": "8kM2qZ0cQeWb1nXv4rTs6yUi3oPa5dFg"}),
            "audience_mismatch",
        ),
        (
            "the issuer without its slash",
            "/",
            "JWT",
            json!({"iss": "https://SHOP.eu.auth0.com"}),
            "issuer_unknown",
        ),
        ("another application", "/", "JWT", json!({"azp": "other"}), "consumer_unknown"),
    ] {
        let token = issuer.sign(Some(typ), &with(&claims, changes));
        assert_eq!(outcome(&mut gateway, path, &token), expected, "{case}");
    }
}

#[test]
fn keycloak() {
    let issuer = Issuer::generate();
    let mut gateway = gateway("keycloak", &issuer);
    let claims = json!({
        "iss": "https://sso.shop.example/realms/shop", "aud": ["shop-api", "account"],
        "sub": "f:5b1c:alice", "typ": "Bearer", "azp": "web", "sid": "9f4c",
        "realm_access": {"roles": ["offline_access", "admin"]}, "scope": "openid email",
        "jti": "onrtac:1",
    });
    for (case, path, changes, expected) in [
        ("an access token", "/", json!({}), "200"),
        ("a role", "/admin", json!({}), "200"),
        ("no role", "/admin", json!({"realm_access": {"roles": []}}), "claim_forbidden"),
        ("an ID token", "/", json!({"typ": "ID", "aud": "shop-api"}), "claim_mismatch"),
        ("a refresh token", "/", json!({"typ": "Refresh"}), "claim_mismatch"),
        (
            "a token without the audience mapper",
            "/",
            json!({"aud": "account"}),
            "audience_mismatch",
        ),
        (
            "another realm",
            "/",
            json!({"iss": "https://sso.shop.example/realms/master"}),
            "issuer_unknown",
        ),
    ] {
        let token = issuer.sign(Some("JWT"), &with(&claims, changes));
        assert_eq!(outcome(&mut gateway, path, &token), expected, "{case}");
    }
}

#[test]
fn entra() {
    let issuer = Issuer::generate();
    let mut gateway = gateway("entra", &issuer);
    let tenant = "11111111-2222-3333-4444-555555555555";
    let claims = json!({
        "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        "aud": "66666666-7777-8888-9999-000000000000", "ver": "2.0", "tid": tenant,
        "azp": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "azpacr": "1", "oid": "0f9e", "sub": "x8s",
        "scp": "Reports.Read User.Read", "nbf": NOW - 10,
    });
    for (case, path, changes, expected) in [
        ("an access token", "/", json!({}), "200"),
        ("a permission", "/reports", json!({}), "200"),
        ("no permission", "/reports", json!({"scp": "User.Read"}), "insufficient_scope"),
        ("a role of an application", "/jobs", json!({"scp": null, "roles": ["Jobs.Run"]}), "200"),
        ("no role", "/jobs", json!({}), "claim_forbidden"),
        ("an ID token", "/", json!({"azp": null}), "claim_missing"),
        ("a guest's tenant", "/", json!({"tid": "22222222"}), "claim_mismatch"),
        (
            "a v1 token",
            "/",
            json!({"iss": format!("https://sts.windows.net/{tenant}/")}),
            "issuer_unknown",
        ),
    ] {
        let token = issuer.sign(Some("JWT"), &with(&claims, changes));
        assert_eq!(outcome(&mut gateway, path, &token), expected, "{case}");
    }
}

#[test]
fn cognito() {
    let issuer = Issuer::generate();
    let mut gateway = gateway("cognito", &issuer);
    let claims = json!({
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E",
        "sub": "aaaaaaaa-bbbb", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado", "token_use": "access",
        "scope": "aws.cognito.signin.user.admin", "username": "alice",
        "cognito:groups": ["admin"], "jti": "1",
    });
    for (case, path, changes, expected) in [
        ("an access token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("no group", "/admin", json!({"cognito:groups": null}), "claim_forbidden"),
        (
            "an ID token",
            "/",
            json!({"token_use": "id", "aud": "3n4b5urk1ft4fl3mg5e62d9ado", "client_id": null}),
            "claim_missing",
        ),
        ("another app client", "/", json!({"client_id": "other"}), "claim_mismatch"),
        (
            "for another resource",
            "/",
            json!({"aud": "https://other.shop.example"}),
            "claim_forbidden",
        ),
        (
            "for another resource, with the group",
            "/admin",
            json!({"aud": "https://other.shop.example", "cognito:groups": ["admin"]}),
            "claim_forbidden",
        ),
        (
            "another pool",
            "/",
            json!({"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zz"}),
            "issuer_unknown",
        ),
    ] {
        let token = issuer.sign(None, &with(&claims, changes));
        assert_eq!(outcome(&mut gateway, path, &token), expected, "{case}");
    }
}

#[test]
fn google() {
    let issuer = Issuer::generate();
    let mut gateway = gateway("google", &issuer);
    let client = "123456789012-abc123def456.apps.googleusercontent.com";
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": client, "azp": client,
        "sub": "110169484474386276334", "hd": "shop.example", "email": "alice@shop.example",
        "email_verified": true,
    });
    for (case, changes, expected) in [
        ("an ID token", json!({}), "200"),
        ("a private account", json!({"hd": null}), "claim_missing"),
        ("another organisation", json!({"hd": "other.example"}), "claim_mismatch"),
        ("an address nobody confirmed", json!({"email_verified": false}), "claim_mismatch"),
        (
            "for another application",
            json!({"aud": "x.apps.googleusercontent.com"}),
            "audience_mismatch",
        ),
    ] {
        let token = issuer.sign(Some("JWT"), &with(&claims, changes));
        assert_eq!(outcome(&mut gateway, "/", &token), expected, "{case}");
    }
}
