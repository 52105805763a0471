//! Identity providers as they are documented: where their keys are, what is in their
//! tokens, and what a configuration of `examples/providers` makes of these.
//!
//! Claims and headers are those of the providers' documentation, or of their source where
//! that is public (authentik, Dex, SPIRE, Zitadel).

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{BEARER, Provider};

/// All of them, at this time; a provider whose tokens come in two forms is there twice.
pub fn all(now: i64) -> Vec<Provider> {
    vec![
        auth0(),
        auth0_rfc_9068(),
        authentik(now),
        aws_alb(),
        cognito(),
        dex(),
        entra(now),
        entra_v1(now),
        entra_multi_tenant(),
        entra_key_of_one_tenant(),
        firebase(now),
        github_actions(now),
        google(),
        google_iap(),
        keycloak(),
        keycloak_lightweight(),
        kubernetes(now),
        okta(now),
        // As the bundle endpoint has its keys, and as the OIDC discovery provider has them.
        spiffe(None, json!({"use": "jwt-svid"})),
        spiffe(Some("JOSE"), json!({"use": "jwt-svid", "alg": null})),
        spiffe(Some("JWT"), json!({"use": null, "alg": "ES256"})),
        zitadel(now),
    ]
}

/// Auth0's own profile of tokens.
fn auth0() -> Provider {
    let admin = json!({"scope": "openid admin:shop"});
    auth0_of("JWT", "azp").with(&[
        ("an access token", "/", json!({}), "200"),
        ("a scope", "/admin", admin, "200"),
        ("no scope", "/admin", json!({}), "insufficient_scope"),
        (
            "an ID token",
            "/",
            json!({"aud": "8kM2qZ0cQeWb1nXv4rTs6yUi3oPa5dFg"}),
            "audience_mismatch",
        ),
        (
            "the issuer without its slash",
            "/",
            json!({"iss": "https://SHOP.eu.auth0.com"}),
            "issuer_unknown",
        ),
        ("another application", "/", json!({"azp": "other"}), "consumer_unknown"),
    ])
}

/// The profile of RFC 9068, where the application is in client_id.
fn auth0_rfc_9068() -> Provider {
    auth0_of("at+jwt", "client_id").with(&[
        ("an access token", "/", json!({}), "200"),
        ("no scope", "/admin", json!({}), "insufficient_scope"),
        ("another application", "/", json!({"client_id": "other"}), "consumer_unknown"),
    ])
}

fn auth0_of(typ: &'static str, client: &str) -> Provider {
    Provider {
        file: "auth0",
        authority: "SHOP.eu.auth0.com",
        keys_path: "/.well-known/jwks.json",
        algorithm: Algorithm::RS256,
        typ: Some(typ),
        header: BEARER,
        key_members: json!({"alg": "RS256", "x5t": "AAAA", "x5c": null}),
        claims: json!({
            "iss": "https://SHOP.eu.auth0.com/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://api.shop.example", "https://SHOP.eu.auth0.com/userinfo"],
            client: "8kM2qZ0cQeWb1nXv4rTs6yUi3oPa5dFg", "scope": "openid profile",
            "permissions": ["read:orders"],
        }),
        cases: Vec::new(),
    }
}

fn keycloak() -> Provider {
    Provider {
        file: "keycloak",
        authority: "sso.shop.example",
        keys_path: "/realms/shop/protocol/openid-connect/certs",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://sso.shop.example/realms/shop", "aud": ["shop-api", "account"],
            "sub": "f:5b1c:alice", "typ": "Bearer", "azp": "web", "sid": "9f4c",
            "realm_access": {"roles": ["offline_access", "admin"]}, "scope": "openid email",
            "jti": "onrtac:1",
        }),
        cases: Vec::new(),
    }
    .with(&[
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
    ])
}

fn entra(now: i64) -> Provider {
    let tenant = "11111111-2222-3333-4444-555555555555";
    let claims = json!({
        "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        "aud": "66666666-7777-8888-9999-000000000000", "ver": "2.0", "tid": tenant,
        "azp": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "azpacr": "1", "oid": "0f9e", "sub": "x8s",
        "scp": "Reports.Read User.Read", "nbf": now - 10,
    });
    let path = "/11111111-2222-3333-4444-555555555555/discovery/v2.0/keys";
    entra_of("entra", path, claims).with(&[
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
    ])
}

fn cognito() -> Provider {
    Provider {
        file: "cognito",
        authority: "cognito-idp.eu-west-1.amazonaws.com",
        keys_path: "/eu-west-1_Ab12Cd34E/.well-known/jwks.json",
        algorithm: Algorithm::RS256,
        typ: None,
        header: BEARER,
        key_members: json!({"alg": "RS256", "e": "AQAB"}),
        claims: json!({
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E",
            "sub": "aaaaaaaa-bbbb", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado",
            "token_use": "access", "scope": "aws.cognito.signin.user.admin", "username": "alice",
            "cognito:groups": ["admin"], "jti": "1",
        }),
        cases: Vec::new(),
    }
    .with(&[
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
    ])
}

fn google() -> Provider {
    let client = "123456789012-abc123def456.apps.googleusercontent.com";
    Provider {
        file: "google",
        // The keys; the document is at accounts.google.com.
        authority: "www.googleapis.com",
        keys_path: "/oauth2/v3/certs",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": "RS256"}),
        claims: json!({
            "iss": "https://accounts.google.com", "aud": client, "azp": client,
            "sub": "110169484474386276334", "hd": "shop.example", "email": "alice@shop.example",
            "email_verified": true,
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("an ID token", "/", json!({}), "200"),
        ("a private account", "/", json!({"hd": null}), "claim_missing"),
        ("another organisation", "/", json!({"hd": "other.example"}), "claim_mismatch"),
        (
            "a service account",
            "/",
            json!({"hd": null, "email": "jobs@shop.iam.gserviceaccount.com"}),
            "claim_missing",
        ),
        ("the issuer's other name", "/", json!({"iss": "accounts.google.com"}), "issuer_unknown"),
        ("an address nobody confirmed", "/", json!({"email_verified": false}), "claim_mismatch"),
        (
            "for another application",
            "/",
            json!({"aud": "x.apps.googleusercontent.com"}),
            "audience_mismatch",
        ),
    ])
}

fn okta(now: i64) -> Provider {
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
            "scp": ["openid", "orders.read"], "sub": "alice@shop.example", "auth_time": now - 60,
        }),
        cases: Vec::new(),
    }
    .with(&[
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
    ])
}

fn keycloak_lightweight() -> Provider {
    Provider {
        file: "keycloak-lightweight",
        authority: "sso.shop.example",
        keys_path: "",
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({}),
        claims: json!({
            "jti": "onltac:1", "iss": "https://sso.shop.example/realms/shop", "typ": "Bearer",
            "azp": "web", "sid": "9f4c", "scope": "openid", "auth_time": null,
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("a lightweight token", "/", json!({}), "200"),
        ("a role that only introspection tells", "/admin", json!({}), "200"),
        ("a session that has ended", "/", json!({"sid": "ended", "jti": "2"}), "token_inactive"),
        ("another API's", "/", json!({"azp": "partner", "jti": "3"}), "audience_mismatch"),
        ("a refresh token", "/", json!({"typ": "Refresh", "jti": "4"}), "claim_mismatch"),
    ])
}

fn entra_of(file: &'static str, keys_path: &'static str, claims: Value) -> Provider {
    Provider {
        file,
        authority: "login.microsoftonline.com",
        keys_path,
        algorithm: Algorithm::RS256,
        typ: Some("JWT"),
        header: BEARER,
        key_members: json!({"alg": null, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}),
        claims,
        cases: Vec::new(),
    }
}

fn entra_v1(now: i64) -> Provider {
    let tenant = "11111111-2222-3333-4444-555555555555";
    let claims = json!({
        "aud": "api://66666666-7777-8888-9999-000000000000", "tid": tenant, "ver": "1.0",
        "iss": format!("https://sts.windows.net/{tenant}/"), "nbf": now - 10, "oid": "0f9e",
        "appid": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "appidacr": "1", "sub": "x8s",
        "scp": "Reports.Read User.Read", "acr": "1", "amr": ["pwd"],
    });
    let path = "/11111111-2222-3333-4444-555555555555/discovery/keys";
    entra_of("entra-v1", path, claims).with(&[
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
    ])
}

fn entra_multi_tenant() -> Provider {
    let [one, two] =
        ["11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"];
    let issuer = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let claims = json!({
        "aud": "66666666-7777-8888-9999-000000000000", "iss": issuer(one), "tid": one,
        "azp": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "oid": "0f9e", "sub": "x8s",
        "scp": "Reports.Read", "ver": "2.0", "roles": ["Admin"],
    });
    entra_of("entra-multi-tenant", "/common/discovery/v2.0/keys", claims).with(&[
        ("another application", "/reports", json!({"azp": "b"}), "claim_mismatch"),
        ("an ID token", "/", json!({"azp": null}), "claim_missing"),
        ("a tenant", "/reports", json!({}), "200"),
        ("another tenant", "/reports", json!({"tid": two, "iss": issuer(two)}), "200"),
        ("a stranger", "/", json!({"tid": "3", "iss": issuer("3")}), "claim_mismatch"),
        ("one that says it is another", "/", json!({"tid": two}), "issuer_unknown"),
        ("the first tenant's admin", "/admin", json!({}), "200"),
        ("the other's", "/admin", json!({"tid": two, "iss": issuer(two)}), "claim_forbidden"),
    ])
}

/// The key for Microsoft's own accounts is in the set of all tenants.
fn entra_key_of_one_tenant() -> Provider {
    let two = "99999999-8888-7777-6666-555555555555";
    let issuer = format!("https://login.microsoftonline.com/{two}/v2.0");
    let provider = entra_multi_tenant().with(&[
        ("a tenant, by the other's key", "/reports", json!({}), "key_unknown"),
        ("the other", "/reports", json!({"tid": two, "iss": issuer}), "200"),
    ]);
    Provider { key_members: json!({"alg": null, "issuer": issuer}), ..provider }
}

fn firebase(now: i64) -> Provider {
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
            "auth_time": now - 100, "user_id": "u1", "sub": "u1", "email": "a@shop.example",
            "email_verified": true, "role": "admin",
            "firebase": {"identities": {"email": ["a@shop.example"]}, "sign_in_provider": "password"},
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("an ID token", "/", json!({}), "200"),
        ("a custom claim", "/admin", json!({}), "200"),
        ("none", "/admin", json!({"role": null}), "claim_forbidden"),
        ("someone who never signed in", "/",
            json!({"firebase": {"sign_in_provider": "anonymous"}}), "claim_mismatch"),
        ("another project's", "/", json!({"aud": "other"}), "audience_mismatch"),
        ("a tenant's", "/",
            json!({"firebase": {"sign_in_provider": "password", "tenant": "evil-abcd"}}),
            "claim_forbidden"),
        ("a tenant's admin", "/admin",
            json!({"firebase": {"sign_in_provider": "password", "tenant": "evil-abcd"}}),
            "claim_forbidden"),
    ])
}

fn github_actions(now: i64) -> Provider {
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
            "repository_id": "7654321", "repository_owner": "shop-inc", "nbf": now - 610,
            "repository_owner_id": "1234567", "ref": "refs/heads/main", "environment": "production",
            "job_workflow_ref": "shop-inc/shop/.github/workflows/deploy.yaml@refs/heads/main",
            "workflow_ref": "shop-inc/shop/.github/workflows/deploy.yaml@refs/heads/main",
            "run_id": "1", "actor": "alice", "head_ref": "", "base_ref": "",
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("a job", "/", json!({}), "200"),
        ("a deployment", "/deploy", json!({}), "200"),
        ("a branch's", "/deploy", json!({"ref": "refs/heads/x"}), "claim_forbidden"),
        ("another workflow's", "/deploy", json!({"job_workflow_ref": "x"}), "claim_forbidden"),
        ("without an environment", "/deploy", json!({"environment": null}), "claim_forbidden"),
        ("a stranger's", "/", json!({"repository_owner_id": "9"}), "claim_mismatch"),
        ("one for the cloud", "/", json!({"aud": "sts.amazonaws.com"}), "audience_mismatch"),
    ])
}

fn kubernetes(now: i64) -> Provider {
    let within = |namespace: &str, account: &str| {
        json!({
            "namespace": namespace, "pod": {"name": "web-1", "uid": "p"}, "node": null,
            "serviceaccount": {"name": account, "uid": "s"}, "warnafter": now + 100,
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
            "sub": "system:serviceaccount:shop:web", "jti": "1", "nbf": now - 10,
            "kubernetes.io": within("shop", "web"),
        }),
        cases: Vec::new(),
    }
    .with(&[
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
    ])
}

fn spiffe(typ: Option<&'static str>, members: Value) -> Provider {
    Provider {
        file: "spiffe",
        authority: "oidc.shop.example",
        keys_path: "/keys",
        algorithm: Algorithm::ES256,
        typ,
        header: BEARER,
        key_members: members,
        claims: json!({
            "iss": "https://oidc.shop.example", "aud": ["spiffe://shop.example/gateway"],
            "sub": "spiffe://shop.example/ns/shop/sa/web",
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("a workload", "/", json!({}), "200"),
        ("another group's", "/jobs", json!({}), "group_forbidden"),
        ("a job", "/jobs", json!({"sub": "spiffe://shop.example/ns/jobs/sa/nightly"}), "200"),
        ("one that may not call", "/", json!({"sub": "spiffe://shop.example/x"}), "claim_mismatch"),
        ("for someone else", "/", json!({"aud": ["spiffe://shop.example/x"]}), "audience_mismatch"),
    ])
}

fn zitadel(now: i64) -> Provider {
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
            "aud": ["web@shop", "123456789012345678"], "jti": "1", "nbf": now - 10,
            "urn:zitadel:iam:org:project:123456789012345678:roles": {"admin": {"1": "shop.example"}},
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("an access token", "/", json!({}), "200"),
        ("a role", "/admin", json!({}), "200"),
        (
            "another role",
            "/admin",
            json!({"urn:zitadel:iam:org:project:123456789012345678:roles": {"reader": {}}}),
            "claim_forbidden",
        ),
        (
            "a role in another project, whose client asked for this one",
            "/admin",
            json!({
                "urn:zitadel:iam:org:project:123456789012345678:roles": null,
                "urn:zitadel:iam:org:project:roles": {"admin": {"66": "evil.example"}},
                "aud": ["777@evil", "222", "123456789012345678"], "client_id": "777@evil",
            }),
            "claim_forbidden",
        ),
        // It has the claims of access tokens but the identifier (the table of claims in
        // Zitadel's documentation; its library writes client_id into both).
        ("an ID token", "/", json!({"jti": null, "azp": "web@shop"}), "claim_missing"),
        ("without the project", "/", json!({"aud": ["web@shop"]}), "audience_mismatch"),
    ])
}

fn authentik(now: i64) -> Provider {
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
            "groups": ["authentik Admins"], "sid": "5f3d",
            "acr": "goauthentik.io/providers/oauth2/default", "auth_time": now - 60,
        }),
        cases: Vec::new(),
    }
    .with(&[
        ("an access token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("another group", "/admin", json!({"groups": ["users"]}), "group_forbidden"),
        ("an ID token", "/", json!({"uid": null, "azp": null, "nonce": "n"}), "claim_missing"),
        (
            "another application's",
            "/",
            json!({"iss": "https://auth.shop.example/application/o/wiki/"}),
            "issuer_unknown",
        ),
    ])
}

fn dex() -> Provider {
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
        cases: Vec::new(),
    }
    .with(&[
        ("an ID token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("no group", "/admin", json!({"groups": null}), "group_forbidden"),
        ("an address nobody confirmed", "/", json!({"email_verified": false}), "claim_mismatch"),
        ("another client's", "/", json!({"aud": "wiki"}), "audience_mismatch"),
    ])
}

fn aws_alb() -> Provider {
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
        cases: Vec::new(),
    }
    .with(&[
        ("an access token", "/", json!({}), "200"),
        ("a group", "/admin", json!({}), "200"),
        ("no group", "/admin", json!({"cognito:groups": null}), "claim_forbidden"),
        ("no token", "/", json!({}), "token_missing"),
        ("no token", "/healthz", json!({}), "200"),
        ("another app client's", "/", json!({"client_id": "x"}), "claim_mismatch"),
    ])
}

fn google_iap() -> Provider {
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
        cases: Vec::new(),
    }
    .with(&[
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
    ])
}
