//! `verify`: a public token as the gateway takes it, or an identity token as a
//! service behind it should.

use gatepass::http::RequestHead;
use gatepass::keys::{Algorithm, Crypto, KeySet, Origin};
use gatepass::time::UnixTime;
use gatepass::token::{IDENTITY_TYPES, Untrusted, numeric_date};
use gatepass::verdict::Verdict;
use serde_json::{Map, Value, json};

use crate::arguments::{KeyAlgorithm, Replies, Verify};
use crate::configuration::Configuration;
use crate::document::{Unreadable, texts};
use crate::explanation::{Explanation, Outcome};
use crate::failure::Failure;
use crate::keygen::NewKey;
use crate::text::Escaped;
use crate::time::{date, moment};
use crate::{Ending, Output, explain, system};

/// The findings.
enum Finding {
    Valid {
        provider: Option<String>,
        claims: Map<String, Value>,
        unchecked: Unchecked,
    },
    Invalid {
        code: &'static str,
        reason: String,
    },
    /// The option that is missing.
    Undecided(&'static str),
}

/// What was left out, by its name.
#[derive(Default)]
struct Unchecked {
    names: Vec<&'static str>,
    /// What to do about it, a line each.
    notes: Vec<String>,
}

impl Unchecked {
    /// Claims that nothing says what to expect of.
    fn claims(issuer: Option<&str>, audiences: &[String]) -> Self {
        let mut unchecked = Self::default();
        let claims =
            [(issuer.is_none(), "iss", "--issuer"), (audiences.is_empty(), "aud", "--audience")];
        for (_, claim, option) in claims.into_iter().filter(|(is_open, ..)| *is_open) {
            unchecked.names.push(claim);
            let note = format!("{claim} was not checked: {option} says what to expect");
            unchecked.notes.push(note);
        }
        unchecked
    }

    /// Sections by which the gateway may deny a request with a valid token.
    fn sections(document: &Value) -> Self {
        let deciding = ["revocation", "consumers", "rules", "user_info"];
        let names: Vec<_> =
            deciding.into_iter().filter(|name| document.get(name).is_some()).collect();
        let note = format!("not checked: {}; gatepass explain does", names.join(", "));
        let notes = if names.is_empty() { Vec::new() } else { vec![note] };
        Self { names, notes }
    }
}

/// `verify`.
pub fn run(arguments: &Verify) -> Result<Output, Failure> {
    let now = arguments.at.as_deref().map_or_else(|| Ok(system::now()), moment)?;
    let is_file = !arguments.token.starts_with(['@', '-']) && system::exists(&arguments.token);
    let token = match arguments.token.strip_prefix('@') {
        Some(file) => system::read(file)?,
        None if arguments.token == "-" => system::read("-")?,
        None => arguments.token.clone(),
    };
    let token = token.trim();
    let is_identity = arguments.identity || arguments.config.is_none();
    let finding =
        if is_identity { identity(arguments, token, now)? } else { public(arguments, token, now)? };
    let notes: String = match &finding {
        Finding::Valid { unchecked, .. } => {
            unchecked.notes.iter().map(|note| format!("gatepass: {note}\n")).collect()
        }
        _ => String::new(),
    };
    let mut output =
        finding.output(arguments.json, if is_identity { "identity" } else { "public" });
    output.notes += &notes;
    if is_file {
        let file = Escaped(&arguments.token);
        output.notes += &format!("gatepass: {file} is a file too: @{file} reads the token in it\n");
    }
    Ok(output)
}

impl Finding {
    fn output(&self, as_json: bool, kind: &str) -> Output {
        let (ending, text, report) = match self {
            Self::Valid { provider, claims, unchecked } => {
                let of = provider.as_ref().map(|name| format!(", provider {name}"));
                let text =
                    |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
                let until = numeric_date(claims, "exp").ok().flatten().map(date);
                (
                    Ending::Good,
                    format!(
                        "valid: {} token{}, sub {:?}, until {}",
                        if kind == "public" { "access" } else { kind },
                        of.unwrap_or_default(),
                        text("sub"),
                        until.unwrap_or_else(|| "ever".to_owned()),
                    ),
                    json!({
                        "valid": true, "kind": kind, "provider": provider, "claims": claims,
                        "unchecked": unchecked.names,
                    }),
                )
            }
            Self::Invalid { code, reason } => bad(code, reason, kind),
            Self::Undecided(option) => (
                Ending::Partial,
                format!("undecided: depends on a reply, to be given with {option}"),
                json!({ "valid": null, "kind": kind, "missing": option }),
            ),
        };
        if as_json {
            Output::new(report.to_string(), ending)
        } else {
            Output::new(Escaped(&text).to_string(), ending)
        }
    }
}

fn bad(code: &str, reason: &str, kind: &str) -> (Ending, String, Value) {
    let text = format!("not valid: {code}: {reason}");
    let report = json!({ "valid": false, "kind": kind, "code": code, "reason": reason });
    (Ending::Bad, text, report)
}

/// Nobody says at which resource a token is used: it may be for any of them.
fn accept_for_resources(members: &mut Map<String, Value>) {
    let resources = members.remove("resources");
    let resources = resources.as_ref().and_then(Value::as_array).into_iter().flatten();
    let audiences: Vec<Value> = resources
        .flat_map(|resource| match (resource.get("audiences"), resource.get("resource")) {
            (Some(Value::Array(audiences)), _) => audiences.clone(),
            (_, Some(Value::String(own))) => {
                let without = own.strip_suffix('/').unwrap_or(own);
                vec![without.into(), format!("{without}/").into()]
            }
            _ => Vec::new(),
        })
        .collect();
    let providers = members.get_mut("providers").and_then(Value::as_object_mut);
    for provider in providers.into_iter().flat_map(|providers| providers.values_mut()) {
        if let Some(Value::Array(own)) = provider.get_mut("audiences") {
            own.extend(audiences.clone());
        }
    }
}

/// By a gateway with this configuration's providers and nothing else that could
/// deny.
fn public(arguments: &Verify, token: &str, now: UnixTime) -> Result<Finding, Failure> {
    let file = arguments.config.as_deref().unwrap_or_default();
    let configuration = Configuration::one(file, &arguments.reading)?;
    let key = NewKey::generate(KeyAlgorithm::EdDsa)?.jwk(None);
    let settings = configuration.changed(|document| {
        let Value::Object(members) = document else { return };
        const OTHERS: [&str; 7] =
            ["token", "rules", "user_info", "claim_to_headers", "revocation", "mode", "errors"];
        for section in OTHERS {
            members.remove(section);
        }
        // They end sessions by `revocation`, and are refused without it.
        for provider in
            members.get_mut("providers").and_then(Value::as_object_mut).into_iter().flatten()
        {
            if let (_, Value::Object(provider)) = provider {
                provider.remove("logout");
            }
        }
        accept_for_resources(members);
        // Its consumers may have keys; a token without a consumer is accepted here.
        if let Some(Value::Object(consumers)) = members.get_mut("consumers") {
            consumers.insert("optional".to_owned(), true.into());
        }
        if let Some(Value::Object(identity)) = members.get_mut("identity_token") {
            let key = json!([{ "algorithm": "EdDSA", "private_key": key }]);
            identity.retain(|name, _| ["issuer", "audiences", "subject"].contains(&&**name));
            identity.insert("signing_keys".to_owned(), key);
        }
    })?;
    let head = [(":method", "GET"), (":path", "/"), (":authority", "localhost")];
    let bearer = ("authorization".to_owned(), format!("Bearer {token}").into_bytes());
    let head = head.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let head = RequestHead::new(head.into_iter().chain([bearer]));
    let replies = Replies {
        jwks: arguments.jwks.clone(),
        introspection: arguments.introspection.clone(),
        ..Replies::default()
    };
    let explanation = explain::decide(&configuration, settings, head, &replies, now)?;
    Ok(match &explanation.outcome {
        Outcome::Decided(Verdict::Forward(_)) => {
            let claims = claims(token, &explanation);
            let provider = explanation.trace.provider.as_ref().map(|own| own.name.clone());
            let unchecked = Unchecked::sections(&configuration.document);
            Finding::Valid { provider, claims, unchecked }
        }
        Outcome::Decided(Verdict::Deny(denial, _)) => {
            Finding::Invalid { code: denial.code().name(), reason: denial.to_string() }
        }
        Outcome::NeedsReply(Some(option)) => Finding::Undecided(option),
        _ => Finding::Undecided("an option"),
    })
}

/// The claims of an accepted token: its own, or what its issuer says of it.
fn claims(token: &str, explanation: &Explanation) -> Map<String, Value> {
    if let Ok(token) = Untrusted::parse(token.as_bytes(), usize::MAX) {
        return token.into_claims().members().to_map();
    }
    let answers = explanation.callouts.iter().filter_map(|exchange| exchange.reply.as_ref());
    let mut bodies = answers.filter_map(|(reply, _)| match reply {
        gatepass::callout::CalloutReply::Answer(answer) => Some(answer.body.as_slice()),
        gatepass::callout::CalloutReply::Failed(_) => None,
    });
    bodies.next_back().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
}

/// Verifies as a service should, with the gateway's key set: `typ`, the key by `kid`,
/// its algorithm, the signature, the times, `iss` and `aud`.
fn identity(arguments: &Verify, token: &str, now: UnixTime) -> Result<Finding, Failure> {
    let configuration = match &arguments.config {
        Some(file) => Some(Configuration::one(file, &arguments.reading)?),
        None => None,
    };
    let (keys, issuer, audiences) = match (&configuration, arguments.jwks.first()) {
        (configuration, Some(file)) => {
            let text = system::read(file)?;
            let jwks = gatepass::json::parse(text.as_bytes()).map_err(|cause| Failure::Format {
                file: file.clone(),
                cause: Unreadable::Json(cause),
            })?;
            let identity = configuration.as_ref().and_then(|it| it.document.get("identity_token"));
            let issuer = identity.and_then(|it| it.get("issuer")).and_then(Value::as_str);
            let audiences = texts(identity.and_then(|it| it.get("audiences")));
            (jwks, issuer.map(str::to_owned), audiences)
        }
        (Some(configuration), None) => {
            let minter = configuration.settings()?.minter;
            let jwks = serde_json::from_str(minter.keys.jwks(now).body()).unwrap_or_default();
            (jwks, Some(minter.issuer), minter.audiences)
        }
        (None, None) => {
            return Err(Failure::Missing { name: "--jwks", why: "there is no --config" });
        }
    };
    let (keys, _) =
        KeySet::from_jwks(&keys, Origin::Remote).map_err(|cause| Failure::Argument {
            name: "--jwks",
            found: cause.to_string(),
            accepted: "a key set (RFC 7517 section 5)",
        })?;
    let issuer = arguments.issuer.clone().or(issuer);
    let audiences = arguments.audience.clone().map_or(audiences, |audience| vec![audience]);
    let unchecked = Unchecked::claims(issuer.as_deref(), &audiences);
    Ok(match checked(token, &keys, issuer.as_deref(), &audiences, now) {
        Ok(claims) => Finding::Valid { provider: None, claims, unchecked },
        Err((code, reason)) => Finding::Invalid { code, reason },
    })
}

fn checked(
    token: &str,
    keys: &KeySet,
    issuer: Option<&str>,
    audiences: &[String],
    now: UnixTime,
) -> Result<Map<String, Value>, (&'static str, String)> {
    let malformed = |error: gatepass::token::TokenError| ("token_malformed", error.to_string());
    let token = Untrusted::parse(token.as_bytes(), usize::MAX).map_err(malformed)?;
    if !token.typ().is_some_and(|typ| IDENTITY_TYPES.contains(&typ)) {
        let reason = format!("typ is {:?}, not identity+jwt", token.typ().unwrap_or_default());
        return Err(("token_type_mismatch", reason));
    }
    let algorithm = Algorithm::from_name(token.algorithm_name())
        .ok_or_else(|| ("algorithm_not_allowed", "alg is not one of the gateway's".to_owned()))?;
    let (input, signature) = (token.signing_input(), token.signature());
    let mut candidates = keys.candidates(token.key_id(), algorithm, signature).peekable();
    if candidates.peek().is_none() {
        return Err(("key_unknown", "no key of the set fits kid and alg".to_owned()));
    }
    if !candidates.any(|key| key.verify(&Crypto::module(), algorithm, input, signature)) {
        return Err(("signature_invalid", "no key of the set made the signature".to_owned()));
    }
    drop(candidates);
    let claims = token.into_claims().members().to_map();
    let moment = |name: &'static str| match numeric_date(&claims, name) {
        Ok(Some(moment)) => Ok(moment),
        _ => Err(("claim_missing", format!("{name} is missing or no date"))),
    };
    let (from, until) = (moment("nbf")?, moment("exp")?);
    if now >= until {
        let reason = format!("ended at {}, it is {}", date(until), date(now));
        return Err(("token_expired", reason));
    }
    if now < from {
        let reason = format!("valid from {}, it is {}", date(from), date(now));
        return Err(("token_not_yet_valid", reason));
    }
    let named = claims.get("iss").and_then(Value::as_str);
    if let Some(issuer) = issuer.filter(|issuer| named != Some(issuer)) {
        let reason = format!("iss is {:?}, not {issuer:?}", named.unwrap_or_default());
        return Err(("issuer_unknown", reason));
    }
    let mut meant = texts(claims.get("aud"));
    meant.extend(claims.get("aud").and_then(Value::as_str).map(str::to_owned));
    if !audiences.is_empty() && !meant.iter().any(|own| audiences.contains(own)) {
        let reason = format!("aud is {meant:?}, none of {audiences:?}");
        return Err(("audience_mismatch", reason));
    }
    Ok(claims)
}
