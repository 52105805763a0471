//! The examples of providers against services that answer as those providers document:
//! paths, authorities, statuses for what they do not like, and members that are null.
//!
//! Whole configurations, keys fetched; tokens have the claims and headers that the
//! providers document.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use gatepass::callout::{Answer, Callout, CalloutReply};
use gatepass::http::Fields;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{ENVOY, START, World, gateway_key, head};
use crate::{load, read};

/// An issuer as it is documented.
struct Provider {
    file: &'static str,
    /// Where its keys are.
    authority: &'static str,
    keys_path: &'static str,
    algorithm: Algorithm,
    /// `typ` of its tokens.
    typ: Option<&'static str>,
    /// The header in which tokens are, and what is before them.
    header: (&'static str, &'static str),
    /// Members that its keys have beside.
    key_members: Value,
    claims: Value,
}

/// A request: what it is about, its path, changes of the claims, and what becomes of it.
type Case = (&'static str, &'static str, Value, &'static str);

const BEARER: (&str, &str) = ("authorization", "Bearer ");

struct Key(EncodingKey, Algorithm);

impl Key {
    fn generate(algorithm: Algorithm) -> Self {
        use aws_lc_rs::encoding::Pkcs8V1Der;
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

/// The example with values for what it takes from the environment.
fn configuration(file: &str) -> Value {
    fn fill(value: &mut Value) {
        match value.get("env").and_then(Value::as_str) {
            Some("GATEPASS_SIGNING_KEY") => *value = gateway_key("ES256"),
            Some("GATEPASS_KUBERNETES_AUTHORIZATION") => *value = json!("Bearer cluster"),
            Some(_) => *value = json!("a-secret"),
            None => match value {
                Value::Object(members) => members.values_mut().for_each(fill),
                Value::Array(items) => items.iter_mut().for_each(fill),
                _ => {}
            },
        }
    }
    let mut configuration: Value =
        serde_norway::from_str(&read(&format!("examples/providers/{file}.yaml"))).unwrap();
    fill(&mut configuration);
    load(&configuration);
    configuration
}

fn ok(body: &Value) -> CalloutReply {
    status(200, body.to_string())
}

fn status(status: u16, body: String) -> CalloutReply {
    let body = body.into_bytes();
    CalloutReply::Answer(Answer { status, cache_control: None, fields: Fields::default(), body })
}

impl Provider {
    fn run(&self, cases: &[Case]) {
        let configuration = configuration(self.file);
        let key = Key::generate(self.algorithm);
        let mut world = World::new(&configuration, ENVOY);
        world.set_clock(START);
        for (case, path, changes, expected) in cases {
            let mut claims = self.claims.clone();
            claims["iat"] = json!(START - 10);
            claims["exp"] = json!(START + 290);
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let token = key.sign(self.typ, &claims);
            let (name, prefix) = self.header;
            let value = format!("{prefix}{token}");
            let fields = if *case == "no token" { vec![] } else { vec![(name, value.as_str())] };
            let fields: Vec<_> = fields.into_iter().chain([(":path", *path)]).collect();
            let mut step = world.begin(head(&fields));
            for _ in 0..4 {
                let Step::Await(dispatch, _) = &step else { break };
                let reply = self.answer(&dispatch.callout, &key, &claims);
                step = world.answer(step, &reply);
            }
            assert_eq!(outcome(step), *expected, "{}: {case}", self.file);
        }
    }

    /// What the service says, which likes neither clients without a name nor those that
    /// do not take key sets.
    fn answer(&self, callout: &Callout, key: &Key, claims: &Value) -> CalloutReply {
        let head = callout.head();
        let field = |name: &str| head.iter().find(|it| it.0 == name).map_or("", |it| it.1);
        if !field("user-agent").starts_with("gatepass/") {
            return status(403, "<html>Forbidden</html>".to_owned());
        }
        if callout.path.ends_with("/introspect") {
            return self.introspection(callout, claims);
        }
        assert_eq!(field(":authority"), self.authority, "{}", self.file);
        if !field("accept").contains("application/jwk-set+json") {
            return status(406, "{\"kind\":\"Status\",\"code\":406}".to_owned());
        }
        if self.file == "kubernetes" && field("authorization") != "Bearer cluster" {
            return status(401, "{\"kind\":\"Status\",\"code\":401}".to_owned());
        }
        let issuer = self.claims["iss"].as_str().unwrap();
        if callout.path.ends_with("/.well-known/openid-configuration") {
            let document = json!({
                "issuer": issuer, "jwks_uri": format!("https://{}{}", self.authority, self.keys_path),
                "userinfo_endpoint": null, "id_token_signing_alg_values_supported": ["RS256"],
            });
            return ok(&document);
        }
        assert_eq!(callout.path, self.keys_path, "{}", self.file);
        ok(&key.published(&self.key_members))
    }

    /// Keycloak tells what the token itself does not have.
    fn introspection(&self, callout: &Callout, claims: &Value) -> CalloutReply {
        assert_eq!(callout.method, "POST");
        let body = String::from_utf8_lossy(callout.body());
        assert!(body.contains("token=eyJ"), "{body}");
        if claims["sid"] == "ended" {
            return ok(&json!({"active": false}));
        }
        let mut whole = claims.clone();
        for (name, value) in [
            ("active", json!(true)),
            ("token_type", json!("Bearer")),
            ("sub", json!("f:5b1c:alice")),
            ("aud", json!(["shop-api", "account"])),
            ("username", json!("alice")),
            ("realm_access", json!({"roles": [claims["azp"].clone(), "admin"]})),
            ("nbf", Value::Null),
        ] {
            whole[name] = value;
        }
        if claims["azp"] == "partner" {
            whole["aud"] = json!("account");
        }
        ok(&whole)
    }
}

/// 200 for a request that is forwarded, else the denial's code.
fn outcome(step: Step) -> String {
    match step {
        Step::Done(Verdict::Forward(_), _) => "200".to_owned(),
        Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["code"].as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn okta() {
    Provider {
        file: "okta",
        authority: "shop.okta.com",
        keys_path: "/oauth2/default/v1/keys",
        algorithm: Algorithm::RS256,
        typ: None,
        header: BEARER,
        key_members: json!({"alg": "RS256", "e": "AQAB"}),
        claims: json!({
            "ver": 1, "jti": "AT.1", "iss": "https://shop.okta.com/oauth2/default",
            "aud": "api://default", "cid": "0oa1abcd2EFGHijkl3x7", "uid": "00u1",
            "scp": ["openid", "orders.read"], "sub": "alice@shop.example", "auth_time": START - 60,
        }),
    }
    .run(&[
        ("an access token", "/", json!({}), "200"),
        ("a scope", "/orders", json!({}), "200"),
        ("no scope", "/orders", json!({"scp": ["openid"]}), "insufficient_scope"),
        (
            "an ID token",
            "/",
            json!({"cid": null, "aud": "0oa1abcd2EFGHijkl3x7"}),
            "audience_mismatch",
        ),
        (
            "a token of the org server",
            "/",
            json!({"iss": "https://shop.okta.com"}),
            "issuer_unknown",
        ),
        ("another application", "/", json!({"cid": "0oa9"}), "consumer_unknown"),
    ]);
}

#[test]
fn keycloak_lightweight() {
    Provider {
        file: "keycloak-lightweight",
        authority: "sso.shop.example",
        keys_path: "",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({}),
        claims: json!({
            "jti": "onrtac:1", "iss": "https://sso.shop.example/realms/shop", "typ": "Bearer",
            "azp": "web", "sid": "9f4c", "scope": "openid", "auth_time": null,
        }),
    }
    .run(&[
        ("a lightweight token", "/", json!({}), "200"),
        ("a role that only introspection tells", "/admin", json!({}), "200"),
        ("a session that has ended", "/", json!({"sid": "ended", "jti": "2"}), "token_inactive"),
        ("another API's", "/", json!({"azp": "partner", "jti": "3"}), "audience_mismatch"),
        ("a refresh token", "/", json!({"typ": "Refresh", "jti": "4"}), "claim_mismatch"),
    ]);
}

fn entra(file: &'static str, keys_path: &'static str, claims: Value) -> Provider {
    Provider {
        file,
        authority: "login.microsoftonline.com",
        keys_path,
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": null, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}),
        claims,
    }
}

#[test]
fn entra_of_the_first_version() {
    let tenant = "11111111-2222-3333-4444-555555555555";
    let claims = json!({
        "aud": "api://66666666-7777-8888-9999-000000000000", "tid": tenant, "ver": "1.0",
        "iss": format!("https://sts.windows.net/{tenant}/"), "nbf": START - 10, "oid": "0f9e",
        "appid": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "appidacr": "1", "sub": "x8s",
        "scp": "Reports.Read User.Read", "acr": "1", "amr": ["pwd"],
    });
    let path = "/11111111-2222-3333-4444-555555555555/discovery/keys";
    entra("entra-v1", path, claims).run(&[
        ("an access token", "/", json!({}), "200"),
        ("a permission", "/reports", json!({}), "200"),
        ("no role", "/jobs", json!({}), "claim_forbidden"),
        ("an application's role", "/jobs", json!({"scp": null, "roles": ["Jobs.Run"]}), "200"),
        ("an ID token", "/", json!({"appid": null}), "claim_missing"),
        ("another tenant's", "/", json!({"tid": "2"}), "claim_mismatch"),
        (
            "the issuer without its slash",
            "/",
            json!({"iss": format!("https://sts.windows.net/{tenant}")}),
            "issuer_unknown",
        ),
    ]);
}

#[test]
fn entra_of_several_tenants() {
    let [one, two] =
        ["11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"];
    let issuer = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let claims = json!({
        "aud": "66666666-7777-8888-9999-000000000000", "iss": issuer(one), "tid": one,
        "azp": "a", "oid": "0f9e", "sub": "x8s", "scp": "Reports.Read", "ver": "2.0",
        "roles": ["Admin"],
    });
    entra("entra-multi-tenant", "/common/discovery/v2.0/keys", claims).run(&[
        ("a tenant", "/reports", json!({}), "200"),
        ("another tenant", "/reports", json!({"tid": two, "iss": issuer(two)}), "200"),
        ("a stranger", "/", json!({"tid": "3", "iss": issuer("3")}), "claim_mismatch"),
        ("one that says it is another", "/", json!({"tid": two}), "issuer_unknown"),
        ("the first tenant's admin", "/admin", json!({}), "200"),
        ("the other's", "/admin", json!({"tid": two, "iss": issuer(two)}), "claim_forbidden"),
    ]);
}

#[test]
fn firebase() {
    Provider {
        file: "firebase",
        authority: "www.googleapis.com",
        keys_path: "/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://securetoken.google.com/shop-12345", "aud": "shop-12345",
            "auth_time": START - 100, "user_id": "u1", "sub": "u1", "email": "a@shop.example",
            "email_verified": true, "role": "admin",
            "firebase": {"identities": {"email": ["a@shop.example"]}, "sign_in_provider": "password"},
        }),
    }
    .run(&[
        ("an ID token", "/", json!({}), "200"),
        ("a custom claim", "/admin", json!({}), "200"),
        ("none", "/admin", json!({"role": null}), "claim_forbidden"),
        ("someone who never signed in", "/",
            json!({"firebase": {"sign_in_provider": "anonymous"}}), "claim_mismatch"),
        ("another project's", "/", json!({"aud": "other"}), "audience_mismatch"),
    ]);
}

#[test]
fn github_actions() {
    Provider {
        file: "github-actions",
        authority: "token.actions.githubusercontent.com",
        keys_path: "/.well-known/jwks",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://token.actions.githubusercontent.com", "aud": "https://deploy.shop.example",
            "sub": "repo:shop-inc/shop:environment:production", "repository": "shop-inc/shop",
            "repository_id": "7654321", "repository_owner": "shop-inc", "nbf": START - 610,
            "repository_owner_id": "1234567", "ref": "refs/heads/main", "environment": "production",
            "job_workflow_ref": "shop-inc/shop/.github/workflows/deploy.yaml@refs/heads/main",
            "workflow_ref": "shop-inc/shop/.github/workflows/deploy.yaml@refs/heads/main",
            "run_id": "1", "actor": "alice", "head_ref": "", "base_ref": "",
        }),
    }
    .run(&[
        ("a job", "/", json!({}), "200"),
        ("a deployment", "/deploy", json!({}), "200"),
        ("a branch's", "/deploy", json!({"ref": "refs/heads/x"}), "claim_forbidden"),
        ("another workflow's", "/deploy", json!({"job_workflow_ref": "x"}), "claim_forbidden"),
        ("without an environment", "/deploy", json!({"environment": null}), "claim_forbidden"),
        ("a stranger's", "/", json!({"repository_owner_id": "9"}), "claim_mismatch"),
        ("one for the cloud", "/", json!({"aud": "sts.amazonaws.com"}), "audience_mismatch"),
    ]);
}

#[test]
fn kubernetes() {
    let within = |namespace: &str, account: &str| {
        json!({
            "namespace": namespace, "pod": {"name": "web-1", "uid": "p"}, "node": null,
            "serviceaccount": {"name": account, "uid": "s"}, "warnafter": START + 100,
        })
    };
    Provider {
        file: "kubernetes",
        authority: "kubernetes.default.svc",
        keys_path: "/openid/v1/jwks",
        algorithm: Algorithm::RS256,
        typ: None,
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["shop-api"],
            "sub": "system:serviceaccount:shop:web", "jti": "1", "nbf": START - 10,
            "kubernetes.io": within("shop", "web"),
        }),
    }
    .run(&[
        ("a pod", "/", json!({}), "200"),
        ("by its account", "/web", json!({}), "200"),
        ("another group's", "/jobs", json!({}), "group_forbidden"),
        ("a job", "/jobs", json!({
            "sub": "system:serviceaccount:jobs:nightly", "kubernetes.io": within("jobs", "nightly"),
        }), "200"),
        ("another namespace", "/", json!({"kubernetes.io": within("other", "web")}), "claim_mismatch"),
        ("for the API server", "/", json!({"aud": ["https://kubernetes.default.svc.cluster.local"]}),
            "audience_mismatch"),
        ("an unknown account", "/", json!({"sub": "system:serviceaccount:shop:x"}), "consumer_unknown"),
    ]);
}

#[test]
fn spiffe() {
    Provider {
        file: "spiffe",
        authority: "oidc.shop.example",
        keys_path: "/keys",
        algorithm: Algorithm::ES256,
        typ: Some("JOSE"),
        header: BEARER,
        key_members: json!({"use": "jwt-svid", "alg": null}),
        claims: json!({
            "iss": "https://oidc.shop.example", "aud": ["spiffe://shop.example/gateway"],
            "sub": "spiffe://shop.example/ns/shop/sa/web",
        }),
    }
    .run(&[
        ("a workload", "/", json!({}), "200"),
        ("another group's", "/jobs", json!({}), "group_forbidden"),
        ("a job", "/jobs", json!({"sub": "spiffe://shop.example/ns/jobs/sa/nightly"}), "200"),
        ("one that may not call", "/", json!({"sub": "spiffe://shop.example/x"}), "claim_mismatch"),
        ("for someone else", "/", json!({"aud": ["spiffe://shop.example/x"]}), "audience_mismatch"),
    ]);
}

#[test]
fn zitadel() {
    Provider {
        file: "zitadel",
        authority: "shop.zitadel.cloud",
        keys_path: "/oauth/v2/keys",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://shop.zitadel.cloud", "sub": "170086", "client_id": "web@shop",
            "aud": ["web@shop", "123456789012345678"], "jti": "1", "nbf": START - 10,
            "urn:zitadel:iam:org:project:roles": {"admin": {"1": "shop.example"}},
        }),
    }
    .run(&[
        ("an access token", "/", json!({}), "200"),
        ("a role", "/admin", json!({}), "200"),
        (
            "another role",
            "/admin",
            json!({"urn:zitadel:iam:org:project:roles": {"reader": {}}}),
            "claim_forbidden",
        ),
        ("an ID token", "/", json!({"client_id": null, "azp": "web@shop"}), "claim_missing"),
        ("without the project", "/", json!({"aud": ["web@shop"]}), "audience_mismatch"),
    ]);
}

#[test]
fn authentik() {
    Provider {
        file: "authentik",
        authority: "auth.shop.example",
        keys_path: "/application/o/shop/jwks/",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://auth.shop.example/application/o/shop/", "sub": "d3b0",
            "aud": "kV3mQ9xT2bYw7nRz5cLp8sHd", "azp": "kV3mQ9xT2bYw7nRz5cLp8sHd", "uid": "u",
            "scope": "openid email profile", "groups": ["authentik Admins"], "nonce": null,
            "acr": "goauthentik.io/providers/oauth2/default", "auth_time": START - 60,
        }),
    }
    .run(&[
        ("an access token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("another group", "/admin", json!({"groups": ["users"]}), "group_forbidden"),
        ("an ID token", "/", json!({"scope": null}), "claim_missing"),
        (
            "another application's",
            "/",
            json!({"iss": "https://auth.shop.example/application/o/wiki/"}),
            "issuer_unknown",
        ),
    ]);
}

#[test]
fn dex() {
    Provider {
        file: "dex",
        authority: "dex.shop.example",
        keys_path: "/dex/keys",
        algorithm: Algorithm::RS256,
        typ: None,
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://dex.shop.example/dex", "sub": "CgcyMzQyNzQ5EgZnaXRodWI",
            "aud": "shop-web", "at_hash": "x", "email": "a@shop.example", "email_verified": true,
            "groups": ["shop-inc:admins"], "name": "Alice",
        }),
    }
    .run(&[
        ("an ID token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("no group", "/admin", json!({"groups": null}), "group_forbidden"),
        ("an address nobody confirmed", "/", json!({"email_verified": false}), "claim_mismatch"),
        ("another client's", "/", json!({"aud": "wiki"}), "audience_mismatch"),
    ]);
}

#[test]
fn aws_alb() {
    Provider {
        file: "aws-alb",
        authority: "cognito-idp.eu-west-1.amazonaws.com",
        keys_path: "/eu-west-1_Ab12Cd34E/.well-known/jwks.json",
        algorithm: Algorithm::RS256,
        typ: None,
        header: ("x-amzn-oidc-accesstoken", ""),
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E",
            "sub": "aaaaaaaa-bbbb", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado", "token_use": "access",
            "scope": "openid", "username": "alice", "cognito:groups": ["admin"], "version": 2,
        }),
    }
    .run(&[
        ("an access token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("no group", "/admin", json!({"cognito:groups": null}), "claim_forbidden"),
        ("no token", "/", json!({}), "token_missing"),
        ("no token", "/healthz", json!({}), "200"),
        ("another app client's", "/", json!({"client_id": "x"}), "claim_mismatch"),
    ]);
}

#[test]
fn google_iap() {
    let audience = "/projects/123456789012/global/backendServices/1234567890123456789";
    Provider {
        file: "google-iap",
        authority: "www.gstatic.com",
        keys_path: "/iap/verify/public_key-jwk",
        algorithm: Algorithm::ES256,
        typ: Some("JWT"),
        header: ("x-goog-iap-jwt-assertion", ""),
        key_members: json!({"alg": "ES256"}),
        claims: json!({
            "iss": "https://cloud.google.com/iap", "aud": audience, "azp": audience,
            "sub": "accounts.google.com:110169484474386276334", "email": "alice@shop.example",
            "hd": "shop.example", "google": {"access_levels": ["accessPolicies/1/accessLevels/x"]},
        }),
    }
    .run(&[
        ("a user", "/", json!({}), "200"),
        ("no token", "/", json!({}), "token_missing"),
        ("no token", "/healthz", json!({}), "200"),
        ("another domain", "/", json!({"hd": "other.example"}), "claim_mismatch"),
        (
            "another backend's",
            "/",
            json!({"aud": "/projects/1/global/backendServices/2"}),
            "audience_mismatch",
        ),
    ]);
}
