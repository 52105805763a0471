//! `mint`: an access token, for tests.

use gatepass::keys::{Crypto, SigningKey};
use gatepass::token::IDENTITY_TYPES;
use jwt_compact::alg::{Hs256, Hs256Key, Hs384, Hs384Key, Hs512, Hs512Key};
use jwt_compact::{AlgorithmExt as _, Claims, Header};
use serde_json::{Map, Value, json};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::arguments::Mint;
use crate::configuration::Configuration;
use crate::document::texts;
use crate::failure::Failure;
use crate::time::moment;
use crate::{Output, keygen, system};

/// The signing key.
enum Signer {
    Pair { key: Box<SigningKey>, crypto: Crypto, kid: String },
    Secret { jwk: Map<String, Value>, secret: Vec<u8> },
}

const NO_KEY: Failure =
    Failure::Missing { name: "--key", why: "the configuration has no secret to sign with" };

const DEFAULT_LIFETIME: u32 = 300;

/// `mint`.
pub fn run(arguments: &Mint) -> Result<Output, Failure> {
    let now = arguments.at.as_deref().map_or_else(|| Ok(system::now()), moment)?;
    let (provider, signer) = chosen(arguments)?;
    let limit = provider.get("max_lifetime_seconds").and_then(Value::as_u64);
    let usual =
        limit.map_or(u64::from(DEFAULT_LIFETIME), |limit| limit.min(DEFAULT_LIFETIME.into()));
    let lifetime = arguments.lifetime.map_or(usual, u64::from);
    let issued = now.as_secs();
    let mut claims = Map::new();
    claims
        .insert("iss".to_owned(), provider.get("issuer").cloned().unwrap_or_else(|| "test".into()));
    if let Some(audience) = provider.get("audiences").and_then(|it| it.get(0)) {
        claims.insert("aud".to_owned(), audience.clone());
    }
    claims.insert("sub".to_owned(), arguments.sub.as_str().into());
    claims.insert("iat".to_owned(), issued.into());
    claims.insert("exp".to_owned(), issued.saturating_add_unsigned(lifetime).into());
    let required = provider.get("required_claims").and_then(Value::as_object);
    for (path, accepted) in required.into_iter().flatten() {
        let value = accepted.get(0).cloned().unwrap_or_else(|| "test".into());
        nested(&mut claims, path, value);
    }
    for text in &arguments.claims {
        let (name, value) = text.split_once('=').ok_or_else(|| Failure::Argument {
            name: "--claim",
            found: text.clone(),
            accepted: "NAME=VALUE",
        })?;
        if value.is_empty() {
            claims.remove(name);
        } else {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            claims.insert(name.to_owned(), value);
        }
    }
    let types = texts(provider.get("token_types"));
    let usual = types.into_iter().find(|typ| !typ.eq_ignore_ascii_case("none"));
    let typ = arguments.typ.clone().or(usual).unwrap_or_else(|| "at+jwt".to_owned());
    if IDENTITY_TYPES.contains(&typ.as_str()) {
        return Err(Failure::Argument {
            name: "--typ",
            found: typ,
            accepted: "types of access tokens; this one is the gateway's own",
        });
    }
    signer.sign(arguments.kid.as_deref(), &typ, claims).map(Output::good)
}

/// The provider that is to accept the token, or `null`, and the key that signs it.
fn chosen(arguments: &Mint) -> Result<(Value, Signer), Failure> {
    let configuration = match &arguments.config {
        Some(file) => Some(Configuration::one(file, &arguments.reading)?),
        None => None,
    };
    let provider = match &configuration {
        Some(configuration) => provider(configuration, arguments.provider.as_deref()).cloned(),
        None => Ok(Value::Null),
    };
    let provider = match provider {
        // Whichever provider it is, there is no key.
        Err(failure)
            if arguments.key.is_none() && !configuration.as_ref().is_some_and(has_secrets) =>
        {
            return Err(Failure::Several(vec![failure, NO_KEY]));
        }
        provider => provider?,
    };
    let signer = match (&arguments.key, &configuration) {
        (Some(file), _) => Signer::of_file(file)?,
        (None, Some(configuration)) => Signer::of_provider(&provider, configuration)?,
        (None, None) => return Err(NO_KEY),
    };
    Ok((provider, signer))
}

/// The provider named, or the only one.
fn provider<'a>(
    configuration: &'a Configuration,
    name: Option<&str>,
) -> Result<&'a Value, Failure> {
    let providers = configuration.document.get("providers").and_then(Value::as_object);
    let known: Vec<_> = providers.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let name = match (name, known.as_slice()) {
        (Some(name), _) => Some(name),
        (None, [only]) => Some(only.as_str()),
        (None, _) => None,
    };
    let provider = name.and_then(|name| providers?.get(name));
    let found = name.map(str::to_owned);
    provider.ok_or(Failure::Provider { found, known })
}

/// The first secret of a provider's own key set.
fn own_secret(provider: &Value) -> Option<&Map<String, Value>> {
    let keys = provider.pointer("/local_jwks/keys").and_then(Value::as_array)?;
    let is_secret = |key: &&Value| key.get("kty").is_some_and(|kty| kty == "oct");
    keys.iter().find(is_secret).and_then(Value::as_object)
}

/// Whether any provider has a secret to sign with.
fn has_secrets(configuration: &Configuration) -> bool {
    let providers = configuration.document.get("providers").and_then(Value::as_object);
    providers.into_iter().flatten().any(|(_, provider)| own_secret(provider).is_some())
}

/// Puts a claim where its path leads.
fn nested(claims: &mut Map<String, Value>, path: &str, value: Value) {
    // A name that is a URL is one name, dots or not.
    match path.split_once('.').filter(|_| !path.contains("://")) {
        None => drop(claims.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = claims.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                nested(inner, rest, value);
            }
        }
    }
}

impl Signer {
    fn of_file(file: &str) -> Result<Self, Failure> {
        let text = system::read(file)?;
        if let Ok(jwk) = serde_json::from_str::<Map<String, Value>>(&text)
            && jwk.get("kty").is_some_and(|kty| kty == "oct")
        {
            return Self::of_secret(jwk, file);
        }
        let key = Box::new(keygen::signing_key(file, &text)?);
        let kid = keygen::own_kid(&text).unwrap_or_else(|| key.thumbprint().to_owned());
        Ok(Self::Pair { crypto: keygen::crypto(&key), key, kid })
    }

    fn of_provider(provider: &Value, configuration: &Configuration) -> Result<Self, Failure> {
        let mut jwk = own_secret(provider).cloned().ok_or(NO_KEY)?;
        let secret = jwk.get("k").and_then(|secret| configuration.secret(secret));
        jwk.insert("k".to_owned(), secret.unwrap_or_default().into());
        Self::of_secret(jwk, &configuration.file)
    }

    fn of_secret(jwk: Map<String, Value>, file: &str) -> Result<Self, Failure> {
        let encoded = jwk.get("k").and_then(Value::as_str).unwrap_or_default();
        let secret = BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
        if secret.is_empty() {
            let cause = gatepass::keys::SigningKeyError::Malformed;
            return Err(Failure::Key { file: file.to_owned(), cause });
        }
        Ok(Self::Secret { jwk, secret })
    }

    fn sign(
        &self,
        kid: Option<&str>,
        typ: &str,
        claims: Map<String, Value>,
    ) -> Result<String, Failure> {
        let claims = Claims::new(claims);
        match self {
            Self::Pair { key, crypto, kid: own } => key
                .mint(crypto, kid.unwrap_or(own), typ, &claims)
                .map_err(|error| Failure::Sign(error.to_string())),
            Self::Secret { jwk, secret } => {
                let text = |name: &str| jwk.get(name).and_then(Value::as_str);
                let header = Header::empty().with_token_type(typ);
                let header = match kid.or_else(|| text("kid")) {
                    Some(kid) => header.with_key_id(kid),
                    None => header,
                };
                let signed = match text("alg").unwrap_or("HS256") {
                    "HS384" => Hs384.token(&header, &claims, &Hs384Key::new(secret)),
                    "HS512" => Hs512.token(&header, &claims, &Hs512Key::new(secret)),
                    _ => Hs256.token(&header, &claims, &Hs256Key::new(secret)),
                };
                signed.map_err(|error| Failure::Sign(error.to_string()))
            }
        }
    }
}
