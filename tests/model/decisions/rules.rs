//! Which rule a request is for and whether it may pass, by the definitions in the
//! manual: one rule after the other, one condition after the other.

use super::super::json::Json;

/// The rule that decides, its position, or the codes of a refusal.
pub fn find<'a>(
    rules: &'a [Json],
    method: &str,
    path: &str,
    host: &str,
    header: impl Fn(&str) -> Option<String>,
) -> Result<Option<&'a Json>, &'static str> {
    for rule in rules {
        let matcher = rule.get("match").expect("match");
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let by_path = match matcher.members().iter().find(|(name, _)| name.starts_with("path")) {
            None => true,
            Some((kind, wanted)) => {
                let wanted = wanted.text().expect("a path");
                match kind.as_str() {
                    "path" => path == wanted,
                    "path_prefix" => path == wanted || path.starts_with(&format!("{wanted}/")),
                    _ => template(&wanted.split('/').skip(1).collect::<Vec<_>>(), &segments),
                }
            }
        };
        let methods = matcher.texts("methods");
        let hosts = matcher.texts("hosts");
        let plainly = by_path
            && (methods.is_empty() || methods.contains(&method))
            && (hosts.is_empty() || hosts.iter().any(|wanted| is_host(wanted, host)));
        if !plainly {
            continue;
        }
        let mut holds = true;
        for wanted in matcher.list("headers") {
            let value = header(wanted.get("name").and_then(Json::text).expect("a name"));
            match wanted.get("value").and_then(Json::text) {
                Some(text) => {
                    let is_it = value.as_deref() == Some(text);
                    let parts = value.iter().flat_map(|value| value.split(','));
                    if !is_it && parts.map(str::trim).any(|part| part == text) {
                        return Err("header_repeated");
                    }
                    holds &= is_it;
                }
                None => holds &= value.is_some() == wanted.flag("present", true),
            }
        }
        if holds {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}

fn template(wanted: &[&str], segments: &[&str]) -> bool {
    match (wanted, segments) {
        ([], []) => true,
        // Any number of segments, so none too.
        (["**"], _) => true,
        ([first, wanted @ ..], [segment, segments @ ..]) => {
            let any = *first == "*" || first.starts_with('{');
            let fits = if any { !segment.is_empty() } else { first == segment };
            fits && template(wanted, segments)
        }
        _ => false,
    }
}

fn is_host(wanted: &str, host: &str) -> bool {
    let host = host.split(':').next().expect("a host").to_lowercase();
    let wanted = wanted.to_lowercase();
    match wanted.strip_prefix('*') {
        Some(below) => host.ends_with(below) && host.len() > below.len(),
        None => host == wanted,
    }
}

/// What there is to know of a request's owner, for a rule.
pub struct Owner<'a> {
    pub provider: &'a str,
    pub scopes: &'a [String],
    /// The name of its consumer, and the groups.
    pub consumer: Option<(&'a str, Vec<&'a str>)>,
    pub claims: &'a Json,
}

/// The denials that the token and its consumer give a reason for. Claims that come
/// from user info are left for later.
pub fn by_token(
    requires: &Json,
    owner: &Owner<'_>,
    from_user: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut codes = Vec::new();
    let providers = requires.texts("providers");
    if !providers.is_empty() && !providers.contains(&owner.provider) {
        codes.push("claim_forbidden");
    }
    let has = |scope: &&str| owner.scopes.iter().any(|own| own == scope);
    let any = requires.texts("scopes_any");
    if !requires.texts("scopes_all").iter().all(has) || !any.is_empty() && !any.iter().any(has) {
        codes.push("insufficient_scope");
    }
    let groups = owner.consumer.iter().flat_map(|(_, groups)| groups);
    let groups: Vec<&str> = groups.copied().collect();
    let is_in = |group: &&str| groups.contains(group);
    let any = requires.texts("groups_any");
    let named = requires.texts("consumers");
    let is_named = owner.consumer.iter().any(|(name, _)| named.contains(name));
    if !any.is_empty() && !any.iter().any(is_in)
        || requires.texts("groups_none").iter().any(is_in)
        || !named.is_empty() && !is_named
    {
        codes.push("group_forbidden");
    }
    for (path, wanted) in requires.get("claims").map_or(&[][..], Json::members) {
        if !from_user(path) && !accepts(wanted, lookup(owner.claims, path)) {
            codes.push("claim_forbidden");
        }
    }
    codes
}

/// The same for what user info says.
pub fn by_user(
    requires: &Json,
    user: &Json,
    from_user: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let claims = requires.get("claims").map_or(&[][..], Json::members).iter();
    let denied =
        claims.filter(|(path, wanted)| from_user(path) && !accepts(wanted, lookup(user, path)));
    denied.map(|_| "claim_forbidden").collect()
}

/// Whether a rule asks for something that user info says.
pub fn asks_user(requires: &Json, from_user: impl Fn(&str) -> bool) -> bool {
    requires.get("claims").map_or(&[][..], Json::members).iter().any(|(path, _)| from_user(path))
}

/// A claim by its path: the member of exactly that name, else the members that the
/// dots lead through. `null` is no value.
pub fn lookup<'a>(claims: &'a Json, path: &str) -> Option<&'a Json> {
    let names: Vec<&str> = path.split('.').collect();
    let found = claims.get(path).or_else(|| claims.at(&names));
    found.filter(|value| **value != Json::Null)
}

/// Whether a claim is as it is wanted.
pub fn accepts(wanted: &Json, claim: Option<&Json>) -> bool {
    match wanted {
        Json::Text(word) if word == "present" => claim.is_some(),
        Json::Text(word) if word == "absent" => claim.is_none(),
        Json::Object(only) => claim.is_some_and(|claim| {
            only.iter().all(|(kind, accepted)| {
                let is_accepted = |value: &Json| accepted.items().iter().any(|one| one.is(value));
                match kind.as_str() {
                    "equals" => is_accepted(claim),
                    _ => claim.items().iter().any(is_accepted),
                }
            })
        }),
        accepted => claim.is_some_and(|claim| {
            let is_accepted = |value: &Json| accepted.items().iter().any(|one| one.is(value));
            accepted.items().is_empty()
                || is_accepted(claim)
                || claim.items().iter().any(is_accepted)
        }),
    }
}
