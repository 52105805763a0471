//! What becomes of a request, from the contract's text alone: each step says all
//! the reasons to deny that it has, and the first step with any ends the request.
//! No index, no cache, no floating-point number.

use super::super::json::Json;
use super::super::support::START;
use super::Signer;
use super::configuration::PROVIDERS;
use super::identity::scopes;
use super::request::Token;
use super::rules::{self, Owner};
use super::upstream;

/// What is known of a request's end.
#[derive(Debug)]
pub enum Expected {
    /// The status, and the codes of which it must be one.
    Denied(u16, Vec<&'static str>),
    /// The fields that arrive, but for the identity token, what that says, and how many
    /// bytes the gateway's own fields have.
    Forwarded(Vec<(String, String)>, Option<Json>, usize),
    /// To the login page.
    Redirected,
}

/// What the user service answers, by path, and who signs that.
pub type Users<'a> = dyn Fn(&str) -> (u16, Json, Option<Signer>) + 'a;

/// What a step comes to: something, or the codes that it may deny with.
pub type Step<T> = Result<T, Vec<&'static str>>;

/// What the gateway says upstream: fields, and the identity token's claims.
type Said = (Vec<(String, String)>, Option<Json>);

pub struct Model<'a> {
    pub config: &'a Json,
    pub users: &'a Users<'a>,
    /// Seconds since 1970.
    pub now: i64,
}

impl Model<'_> {
    /// What becomes of a request with these `fields`, in which `token` may occur.
    pub fn decide(&self, fields: &[(String, String)], token: &Token) -> Expected {
        match self.pass(fields, token) {
            Ok((set, identity)) => {
                let size = set.iter().map(|(name, value)| name.len() + value.len()).sum();
                Expected::Forwarded(upstream::fields(self.config, fields, &set), identity, size)
            }
            Err(codes) => {
                let statuses: Vec<u16> = codes.iter().map(|code| status(code)).collect();
                assert!(statuses.iter().all(|one| *one == statuses[0]), "{codes:?}");
                if statuses[0] == 401
                    && codes != ["consumer_unknown"]
                    && self.is_sent_to_log_in(fields)
                {
                    return Expected::Redirected;
                }
                Expected::Denied(statuses[0], codes)
            }
        }
    }

    /// Whether a browser that asks for a page goes to the login page, which itself is
    /// none to be sent to.
    fn is_sent_to_log_in(&self, fields: &[(String, String)]) -> bool {
        let head =
            |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, it)| it.as_str());
        let Some(page) = self.config.at(&["errors", "login_redirect", "to"]) else { return false };
        let page = page.text().expect("a page").split('?').next().expect("a path");
        let path =
            head(":path").expect("a path").split('?').next().expect("a path").replace("%61", "a");
        let is_page = match page.strip_prefix("https://shop.example") {
            Some(page) => {
                page == path
                    && head(":authority")
                        .is_some_and(|host| host.eq_ignore_ascii_case("shop.example"))
            }
            None => page == path,
        };
        head(":method") == Some("GET")
            && head("accept").is_some_and(|it| it.contains("text/html"))
            && !is_page
    }

    fn pass(&self, fields: &[(String, String)], token: &Token) -> Step<Said> {
        let head = |name: &str| {
            let mut found = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.clone())
        };
        let method = head(":method").expect("a method");
        let is_upgrade = head("upgrade").is_some();
        if !is_method(&method) || is_upgrade && method != "GET" {
            return Err(vec!["method_ambiguous"]);
        }
        if self.config.flag("bypass_cors_preflight", true)
            && method == "OPTIONS"
            && head("origin").is_some()
            && head("access-control-request-method").is_some_and(|asked| is_method(&asked))
            && head("content-length").is_none_or(|length| length == "0")
            && head("transfer-encoding").is_none()
        {
            return Ok((Vec::new(), None));
        }
        let rules = self.config.list("rules");
        let path = plain_path(&head(":path").expect("a path"));
        let (None | Some(_), false) = (&path, path.is_none() && !rules.is_empty()) else {
            return Err(vec!["path_ambiguous"]);
        };
        let path = path.unwrap_or_default();
        let host = head(":authority").expect("a host");
        let rule = rules::find(rules, &method, &path, &host, head).map_err(|code| vec![code])?;
        if rule.is_some_and(|rule| rule.flag("bypass", false)) {
            return Ok((Vec::new(), None));
        }
        let nothing = Json::Object(Vec::new());
        let requires = rule.map_or(&nothing, |rule| self.requires(rule, &nothing));
        let found = upstream::tokens(self.config, fields);
        match found.as_slice() {
            [] if requires.flag("allow_missing", false) => return Ok((self.anonymous(), None)),
            [] => return Err(vec!["token_missing"]),
            [one] => {
                if *one == upstream::Place::Cookie {
                    self.origin(&method, &host, head)?;
                }
            }
            // What has ended does not count in a cookie.
            [one, other]
                if (*one == upstream::Place::Cookie) != (*other == upstream::Place::Cookie)
                    && self.has_ended(token) => {}
            _ => return Err(vec!["token_multiple"]),
        }
        self.identify(token, requires)
    }

    fn has_ended(&self, token: &Token) -> bool {
        let is_readable = Json::from(&token.header).get("crit").is_none();
        let end = self.exp(&Json::from(&token.claims));
        is_readable && end.is_some_and(|exp| exp <= self.now)
    }

    fn requires<'a>(&'a self, rule: &'a Json, nothing: &'a Json) -> &'a Json {
        let policy = rule.get("policy").and_then(Json::text);
        match policy {
            Some(name) => self.config.at(&["policies", name]).expect("a policy"),
            None => rule.get("requires").unwrap_or(nothing),
        }
    }

    /// Whether a request with a cookie may be from where it is from.
    fn origin(&self, method: &str, host: &str, head: impl Fn(&str) -> Option<String>) -> Step<()> {
        let nothing = Json::Object(Vec::new());
        let csrf = self.config.at(&["token", "csrf"]).unwrap_or(&nothing);
        let only_reads = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&method);
        // What the connection becomes changes what it likes, whatever it is called.
        let is_open = head("upgrade").is_some();
        if !csrf.flag("enforce", true) || only_reads && !is_open {
            return Ok(());
        }
        let origin = head("origin");
        let allowed = csrf.texts("allowed_origins");
        let same = |origin: &String| {
            let authority = origin.split_once("://").expect("an origin").1;
            authority.eq_ignore_ascii_case(host)
        };
        let passes = origin.as_deref().is_some_and(|origin| allowed.contains(&origin))
            || match head("sec-fetch-site").as_deref() {
                Some(site) => site == "same-origin" || site == "none",
                None => origin.as_ref().is_some_and(same),
            };
        if passes { Ok(()) } else { Err(vec!["origin_forbidden"]) }
    }

    fn anonymous(&self) -> Vec<(String, String)> {
        let mut set = vec![("x-anonymous-consumer".to_owned(), "true".to_owned())];
        let name = self.config.at(&["consumers", "anonymous"]).and_then(Json::text);
        set.extend(name.map(|name| ("x-consumer-username".to_owned(), name.to_owned())));
        set
    }

    fn identify(&self, token: &Token, requires: &Json) -> Step<Said> {
        let claims = Json::from(&token.claims).present();
        let name = self.verify(token, &claims)?;
        let consumer = self.consumer(name, &claims)?;
        let scopes = scopes(&claims);
        let owner = Owner {
            provider: name,
            scopes: &scopes,
            consumer: consumer.map(|entry| {
                (entry.get("key").and_then(Json::text).expect("a key"), entry.texts("groups"))
            }),
            claims: &claims,
        };
        let from_user = |path: &str| self.is_user_claim(path);
        let codes = rules::by_token(requires, &owner, from_user);
        if !codes.is_empty() {
            return Err(codes);
        }
        if self.exp(&claims).is_some_and(|exp| exp <= self.now) {
            return Err(vec!["token_expired"]);
        }
        let user = self.user(name, &claims)?;
        match &user {
            User::Known(members) => {
                let codes = rules::by_user(requires, members, from_user);
                if !codes.is_empty() {
                    return Err(codes);
                }
            }
            User::Failed if rules::asks_user(requires, from_user) => {
                return Err(vec!["user_info_unavailable"]);
            }
            User::Failed | User::NotAsked => {}
        }
        let identity = self.identity(&claims, name, consumer, &scopes, &user);
        let set = upstream::identity_fields(self, &claims, consumer, &identity, &user);
        Ok((set, Some(identity)))
    }

    /// Whether rules find this claim in what user info says.
    pub fn is_user_claim(&self, path: &str) -> bool {
        let Some(info) = self.config.get("user_info") else { return false };
        let first = path.split('.').next().expect("a name");
        match info.get("claims") {
            Some(claims) => claims.get(path).is_some() || claims.get(first).is_some(),
            None => first == "user",
        }
    }

    /// Whether the provider of a token is one that this reply may be from.
    fn is_signed(&self, name: &str, signer: Signer) -> bool {
        let (by, issuer) = PROVIDERS[signer.provider];
        let is_own_key = (by == "partner") == (name == "partner");
        let own = self.config.at(&["providers", name, "issuer"]).and_then(Json::text);
        is_own_key && (!signer.is_named || own == Some(issuer))
    }

    fn user(&self, name: &str, claims: &Json) -> Step<User> {
        let Some(info) = self.config.get("user_info") else { return Ok(User::NotAsked) };
        let template = info.get("path").and_then(Json::text).expect("a path");
        let path = upstream::fill(template, claims)?;
        let (status, reply, signer) = (self.users)(&path);
        let reply = reply.present();
        let failed = match info.get("failure_mode").and_then(Json::text) {
            Some("degrade") => Ok(User::Failed),
            _ => Err(vec!["user_info_unavailable"]),
        };
        match status {
            404 | 410 => return Err(vec!["user_unknown"]),
            200..=299 => {}
            _ => return failed,
        }
        if signer.is_some_and(|signer| !self.is_signed(name, signer)) {
            return failed;
        }
        let pointer = info.get("subject_pointer");
        if pointer != Some(&Json::Null) {
            let pointer = pointer.and_then(Json::text).unwrap_or("/sub");
            if follow(&reply, pointer).and_then(Json::text)
                != claims.get("sub").and_then(Json::text)
            {
                return failed;
            }
        }
        let mapped = match info.get("claims") {
            None => vec![("user".to_owned(), reply)],
            Some(names) => {
                let value = |(name, pointer): &(String, Json)| {
                    let value = follow(&reply, pointer.text().expect("a pointer"))?;
                    Some((name.clone(), value.clone()))
                };
                names.members().iter().filter_map(value).collect()
            }
        };
        let is_missing =
            |name: &&str| mapped.iter().all(|(known, value)| known != name || *value == Json::Null);
        if info.texts("required").iter().any(is_missing) {
            return failed;
        }
        Ok(User::Known(Json::Object(mapped)))
    }
}

/// What is known of the user.
pub enum User {
    NotAsked,
    Known(Json),
    Failed,
}

/// What a JSON pointer leads to.
fn follow<'a>(document: &'a Json, pointer: &str) -> Option<&'a Json> {
    document.at(&pointer.split('/').skip(1).collect::<Vec<_>>())
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '-')
}

/// The path that rules compare, or that servers read it differently.
fn plain_path(target: &str) -> Option<String> {
    let path = target.split('?').next().expect("a path");
    let raw = path.to_lowercase();
    let is_plain = !["//", "%2f", "%5c", "\\", ";", "%3b", "%20", " ", "%25", "...", "%c0", "%ef"]
        .iter()
        .any(|bad| raw.contains(bad));
    let decoded = path.replace("%61", "a").replace("%2e", ".");
    let is_plain = is_plain && !decoded.split('/').any(|part| part == "." || part == "..");
    is_plain.then_some(decoded)
}

fn status(code: &str) -> u16 {
    match code {
        "header_repeated" | "path_ambiguous" | "host_ambiguous" | "token_multiple"
        | "method_ambiguous" => 400,
        "insufficient_scope" | "group_forbidden" | "claim_forbidden" | "origin_forbidden"
        | "user_unknown" => 403,
        "user_info_unavailable" => 503,
        _ => 401,
    }
}

/// When the requests are made.
pub const NOW: i64 = START;
