//! Tokens with what clients, issuers and attackers change in them.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://auth.example";
/// An issuer that shares a secret: nobody accepts secrets beside public keys.
pub const SECRET_ISSUER: &str = "https://internal.example";
pub const AUDIENCE: &str = "shop-api";

/// A token, and what was changed in it.
pub struct Case {
    pub name: String,
    pub classes: Vec<&'static str>,
    pub token: String,
}

/// The clock, since `jsonwebtoken` reads no other.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn private(alg: &str) -> Value {
    let fixtures: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).unwrap();
    let keys = fixtures["signing"].as_array().unwrap();
    keys.iter().find(|key| key["alg"] == alg).unwrap().clone()
}

/// Of each kind one, the RSA key as two.
const KEYS: [&str; 6] = ["ES256", "ES384", "RS256", "PS256", "EdDSA", SECRET];
const SECRET: &str = "HS256";

/// Made for each run.
static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap());

/// The key set of the issuer with public keys.
pub fn published() -> Vec<Value> {
    let public = |alg: &&str| {
        let mut jwk = match *alg {
            "ES384" => {
                let encode = |bytes| json!(BASE64_URL_SAFE_NO_PAD.encode(bytes));
                let (x, y) = P384.public_key().as_ref()[1..].split_at(48);
                json!({"kty": "EC", "crv": "P-384", "x": encode(x), "y": encode(y)})
            }
            "PS256" => private("RS256")["jwk"].clone(),
            alg => private(alg)["jwk"].clone(),
        };
        let members = jwk.as_object_mut().unwrap();
        members.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
        members.extend([("kid".into(), json!(alg)), ("alg".into(), json!(alg))]);
        jwk
    };
    KEYS.iter().filter(|alg| **alg != SECRET).map(public).collect()
}

/// That of the other one.
pub fn shared_secrets() -> Vec<Value> {
    let secret = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
    vec![json!({"kty": "oct", "k": secret, "kid": SECRET, "alg": SECRET})]
}

fn der(alg: &str) -> Vec<u8> {
    let pem = private(alg)["pem"].as_str().unwrap().to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    BASE64_STANDARD.decode(body).unwrap()
}

fn sign(alg: &str, input: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match alg {
        "ES256" => {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(alg));
            key.unwrap().sign(&random, input).unwrap().as_ref().to_vec()
        }
        "ES384" => P384.sign(&random, input).unwrap().as_ref().to_vec(),
        "RS256" | "PS256" => {
            let key = RsaKeyPair::from_pkcs8(&der("RS256")).unwrap();
            let encoding: &dyn RsaEncoding =
                if alg == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, input, &mut signature).unwrap();
            signature
        }
        SECRET => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
            hmac::sign(&key, input).as_ref().to_vec()
        }
        "EdDSA" => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(alg)).unwrap();
            key.sign(input).as_ref().to_vec()
        }
        "stranger" => {
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            let der = der.unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref());
            key.unwrap().sign(&random, input).unwrap().as_ref().to_vec()
        }
        // A public key as a shared secret.
        _ => {
            let secret = published()[0].to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hmac::sign(&key, input).as_ref().to_vec()
        }
    }
}

type Edit = Rc<dyn Fn(String) -> String>;
type SignatureEdit = Rc<dyn Fn(Vec<u8>) -> Vec<u8>>;

/// A token before it is signed, and what happens to it then.
#[derive(Clone)]
struct Draft {
    key: &'static str,
    header: Value,
    claims: Value,
    on_header: Vec<Edit>,
    on_claims: Vec<Edit>,
    on_signature: Vec<SignatureEdit>,
    on_token: Vec<Edit>,
}

impl Draft {
    fn good(key: &'static str) -> Self {
        let header = json!({"alg": key, "kid": key, "typ": "JWT"});
        let issuer = if key == SECRET { SECRET_ISSUER } else { ISSUER };
        let claims = json!({
            "iss": issuer, "aud": AUDIENCE, "sub": "alice",
            "iat": now() - 10, "exp": now() + 3600,
        });
        let (on_header, on_claims) = (Vec::new(), Vec::new());
        Self { key, header, claims, on_header, on_claims, on_signature: vec![], on_token: vec![] }
    }

    fn write(&self) -> String {
        let edited =
            |text: String, edits: &[Edit]| edits.iter().fold(text, |text, edit| edit(text));
        let header = edited(self.header.to_string(), &self.on_header);
        let claims = edited(self.claims.to_string(), &self.on_claims);
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let input = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let mut signature = sign(self.key, input.as_bytes());
        for edit in &self.on_signature {
            signature = edit(signature);
        }
        edited(format!("{input}.{}", encode(&signature)), &self.on_token)
    }
}

/// One change of a class, with its name.
struct Change {
    class: &'static str,
    name: String,
    apply: Rc<dyn Fn(&mut Draft)>,
}

fn change(
    class: &'static str,
    name: impl ToString,
    apply: impl Fn(&mut Draft) + 'static,
) -> Change {
    Change { class, name: name.to_string(), apply: Rc::new(apply) }
}

fn header(class: &'static str, member: &'static str, value: Value) -> Change {
    let name = format!("{member}: {value}");
    change(class, name, move |draft| draft.header[member] = value.clone())
}

fn claim(class: &'static str, member: &'static str, value: Value) -> Change {
    let name = format!("{member}: {value}");
    change(class, name, move |draft| draft.claims[member] = value.clone())
}

fn without(class: &'static str, member: &'static str) -> Change {
    change(class, format!("no {member}"), move |draft| {
        draft.header.as_object_mut().unwrap().remove(member);
        draft.claims.as_object_mut().unwrap().remove(member);
    })
}

fn token(class: &'static str, name: &str, edit: impl Fn(String) -> String + 'static) -> Change {
    let edit: Edit = Rc::new(edit);
    change(class, name, move |draft| draft.on_token.push(Rc::clone(&edit)))
}

fn json_text(class: &'static str, name: &str, edit: fn(String) -> String) -> [Change; 2] {
    [
        change(class, format!("header, {name}"), move |draft| draft.on_header.push(Rc::new(edit))),
        change(class, format!("claims, {name}"), move |draft| draft.on_claims.push(Rc::new(edit))),
    ]
}

fn signature(name: &str, edit: fn(Vec<u8>) -> Vec<u8>) -> Change {
    change("forged", name, move |draft| draft.on_signature.push(Rc::new(edit)))
}

/// The part of a token with this position, edited.
fn part(token: &str, position: usize, edit: impl Fn(&str) -> String) -> String {
    let parts = token.split('.').enumerate();
    let parts: Vec<_> =
        parts.map(|(at, part)| if at == position { edit(part) } else { part.to_owned() }).collect();
    parts.join(".")
}

/// A text with another one inside.
fn within(text: &str, inside: &str) -> String {
    let (start, end) = text.split_at(text.len().min(8));
    format!("{start}{inside}{end}")
}

fn changes() -> Vec<Change> {
    let at = now();
    let mut changes = vec![
        change("none", "good", |_| {}),
        // Algorithms.
        header("algorithm", "alg", json!("none")),
        header("algorithm", "alg", json!("HS256")),
        header("algorithm", "alg", json!("ES384")),
        header("algorithm", "alg", json!("PS256")),
        header("algorithm", "alg", json!("es256")),
        header("algorithm", "alg", json!("")),
        header("algorithm", "alg", json!(null)),
        header("algorithm", "alg", json!(["ES256"])),
        header("Ed25519 by its new name", "alg", json!("Ed25519")),
        without("algorithm", "alg"),
        change("forged", "HS256 by the public key", |draft| {
            draft.header["alg"] = json!("HS256");
            draft.key = "the public key";
        }),
        change("algorithm that is not the key's", "PS256 by that of RS256", |draft| {
            draft.header["alg"] = json!("PS256");
            draft.header["kid"] = json!("RS256");
            draft.key = "PS256";
        }),
        change("forged", "with the secret of another issuer", |draft| {
            draft.claims["iss"] = json!(ISSUER);
            draft.header["alg"] = json!(SECRET);
            draft.header["kid"] = json!("ES256");
            draft.key = SECRET;
        }),
        change("forged", "a stranger's signature", |draft| draft.key = "stranger"),
        // Key ids.
        header("key id", "kid", json!("unknown")),
        header("key id", "kid", json!("")),
        header("key id of another type", "kid", json!(["ES256"])),
        header("key id of another key", "kid", json!("ES384")),
        header("a key id of null", "kid", json!(null)),
        header("key id of another type", "kid", json!(1)),
        header("key id", "kid", json!("../ES256")),
        without("no key id", "kid"),
        header("keys in the header", "jwk", published()[0].clone()),
        header("keys in the header", "jku", json!("https://evil.example/jwks")),
        header("keys in the header", "x5c", json!(["AAAA"])),
        // Types.
        header("type", "typ", json!("at+jwt")),
        header("type", "typ", json!("application/at+jwt")),
        header("type", "typ", json!("jwt")),
        header("type of another kind of token", "typ", json!("identity+jwt")),
        header("type of another kind of token", "typ", json!("logout+jwt")),
        header("type of another kind of token", "typ", json!("secevent+jwt")),
        header("type of another type", "typ", json!(1)),
        header("a type of null", "typ", json!(null)),
        without("type", "typ"),
        header("nested or encrypted", "cty", json!("JWT")),
        header("nested or encrypted", "enc", json!("A128GCM")),
        header("nested or encrypted", "zip", json!("DEF")),
        // Extensions.
        header("crit", "crit", json!(["exp"])),
        header("crit", "crit", json!(["b64"])),
        header("crit", "crit", json!([])),
        header("crit", "crit", json!("exp")),
        header("crit", "crit", json!(null)),
        header("b64", "b64", json!(true)),
        header("b64", "b64", json!(false)),
        // Times.
        claim("expired", "exp", json!(at - 100)),
        claim("expired", "exp", json!(0)),
        claim("expired", "exp", json!(-1)),
        claim("ended within the leeway", "exp", json!(at - 20)),
        claim("a date with a fraction", "exp", json!(at as f64 + 100.5)),
        claim("a date in powers of ten", "exp", json!(4e9)),
        claim("a date too far", "exp", json!(1e300)),
        claim("a date of another type", "exp", json!((at + 100).to_string())),
        claim("a date of another type", "exp", json!(true)),
        claim("a date of another type", "exp", json!(null)),
        claim("a date of another type", "exp", json!([at + 100])),
        without("no end", "exp"),
        claim("not yet valid", "nbf", json!(at + 200)),
        claim("within the leeway", "nbf", json!(at + 20)),
        claim("a start long ago", "nbf", json!(0)),
        claim("a start long ago", "nbf", json!(-8_334_601_228_800_i64)),
        claim("a start of another type", "nbf", json!("0")),
        claim("a date of null", "nbf", json!(null)),
        claim("issued in the future", "iat", json!(at + 200)),
        claim("issued before time", "iat", json!(-1)),
        claim("issued at another type", "iat", json!("0")),
        claim("a date of null", "iat", json!(null)),
        without("no issue time", "iat"),
        // Audiences.
        claim("audience", "aud", json!(["x", AUDIENCE])),
        claim("audience", "aud", json!("other")),
        claim("audience", "aud", json!("Shop-API")),
        claim("audience", "aud", json!("shop-ap")),
        claim("audience", "aud", json!("shop-api2")),
        claim("audience", "aud", json!([])),
        claim("audience", "aud", json!("")),
        claim("audience of mixed types", "aud", json!([AUDIENCE, 1])),
        claim("audience of mixed types", "aud", json!([AUDIENCE, null])),
        claim("audience of another type", "aud", json!(null)),
        claim("audience of another type", "aud", json!({"shop-api": true})),
        without("audience", "aud"),
        // Issuers.
        claim("issuer", "iss", json!("https://evil.example")),
        claim("issuer", "iss", json!("https://auth.example/")),
        claim("issuer", "iss", json!("https://AUTH.example")),
        claim("issuer", "iss", json!("")),
        claim("issuer in a list", "iss", json!([ISSUER])),
        claim("issuer of another type", "iss", json!(1)),
        without("issuer", "iss"),
        // Subjects.
        claim("subject that is empty", "sub", json!("")),
        claim("subject of another type", "sub", json!(7)),
        claim("subject of another type", "sub", json!(["alice"])),
        claim("id of another type", "jti", json!(7)),
        claim("id of another type", "sid", json!(["s1"])),
        claim("more claims", "jti", json!("7")),
        claim("subject too long", "sub", json!("a".repeat(600))),
        without("no subject", "sub"),
        claim("bound to a key", "cnf", json!({"jkt": "x"})),
        claim("more claims", "scope", json!("a b")),
        // Signatures.
        signature("a bit", |mut bytes| {
            bytes[7] ^= 1;
            bytes
        }),
        signature("the last bit", |mut bytes| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        }),
        signature("a byte less", |mut bytes| {
            bytes.pop();
            bytes
        }),
        signature("a byte more", |mut bytes| {
            bytes.push(0);
            bytes
        }),
        signature("a zero in front", |bytes| [vec![0], bytes].concat()),
        signature("zeros", |bytes| vec![0; bytes.len()]),
        signature("nothing", |_| Vec::new()),
        token("forged", "another payload", |token| {
            part(&token, 1, |_| BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"root"}"#))
        }),
        // Base64.
        token("padding", "of the signature", |token| format!("{token}==")),
        token("padding", "of the header", |token| part(&token, 0, |part| format!("{part}="))),
        token("white space", "behind", |token| format!("{token} ")),
        token("white space", "a line break inside", |token| {
            part(&token, 2, |part| within(part, "\n"))
        }),
        token("foreign characters", "inside", |token| part(&token, 2, |part| within(part, "!"))),
        token("the other alphabet", "of the signature", |token| {
            part(&token, 2, |part| part.replace('-', "+").replace('_', "/"))
        }),
        token("unused bits", "of the signature", |token| {
            let last = token.chars().last().unwrap();
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let next = alphabet.chars().nth((alphabet.find(last).unwrap() + 1) % 64).unwrap();
            format!("{}{next}", &token[..token.len() - 1])
        }),
        // Form.
        token("form", "two parts", |token| token.rsplit_once('.').unwrap().0.to_owned()),
        token("form", "four parts", |token| format!("{token}.e30")),
        token("form", "no signature", |token| part(&token, 2, |_| String::new())),
        token("form", "a dot behind", |token| format!("{token}.")),
        token("JSON serialization", "flattened", |token| {
            let parts: Vec<_> = token.split('.').collect();
            let [protected, payload, signature] = parts[..] else { panic!("three parts") };
            json!({"protected": protected, "payload": payload, "signature": signature}).to_string()
        }),
    ];
    for (name, edit) in [
        ("a member twice", (|text| text.replacen('{', r#"{"x":1,"x":2,"#, 1)) as fn(String) -> _),
        ("a member twice, escaped", |text| text.replacen('{', r#"{"x":1,"\u0078":2,"#, 1)),
    ] {
        changes.extend(json_text("a member twice", name, edit));
    }
    changes.extend(json_text("white space in JSON", "around", |text| format!(" {text}\n")));
    changes.extend(json_text("a byte order mark", "in front", |text| format!("\u{feff}{text}")));
    changes.extend(json_text("not an object", "a list", |text| format!("[{text}]")));
    changes.extend(json_text("not JSON", "cut", |text| text[..text.len() - 1].to_owned()));
    changes.extend(json_text("not JSON", "more behind", |text| format!("{text}{{}}")));
    changes.extend(json_text("not JSON", "a comma", |text| text.replacen('}', ",}", 1)));
    changes.extend(json_text("a number that JSON lacks", "NaN", |text| {
        text.replacen('{', r#"{"x":NaN,"#, 1)
    }));
    changes.extend(json_text("deep", "100 levels", |text| {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        text.replacen('{', &format!(r#"{{"x":{deep},"#), 1)
    }));
    changes.extend(json_text("a lone surrogate", "in a text", |text| {
        text.replacen('{', r#"{"x":"\ud800","#, 1)
    }));
    changes
}

/// Each change alone with each key, and many pairs.
pub fn cases() -> Vec<Case> {
    let changes = changes();
    let mut cases = Vec::new();
    let mut add = |key: &'static str, several: &[&Change]| {
        let mut draft = Draft::good(key);
        several.iter().for_each(|change| (change.apply)(&mut draft));
        let names: Vec<_> = several.iter().map(|it| format!("{}: {}", it.class, it.name)).collect();
        let classes = several.iter().map(|change| change.class).collect();
        cases.push(Case {
            name: format!("{key}, {}", names.join(", ")),
            classes,
            token: draft.write(),
        });
    };
    for key in KEYS {
        for change in &changes {
            add(key, &[change]);
        }
    }
    // Pairs, a fixed choice of them.
    let mut at = 0;
    for step in 0..1200 {
        at = (at * 31 + step + 7) % (changes.len() * changes.len());
        let (first, second) = (&changes[at / changes.len()], &changes[at % changes.len()]);
        if first.class != second.class && !first.class.contains("JSON ser") {
            add(KEYS[step % KEYS.len()], &[first, second]);
        }
    }
    cases
}
