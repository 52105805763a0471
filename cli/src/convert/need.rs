//! Requirements that a request must meet, whatever format they come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A group that a rule both requires and denies, so that no request passes.
pub(super) const NOBODY: &str = "closed-by-convert";

/// The requirements for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// None: not even a token is needed.
    Open,
    /// A valid token that meets these requirements.
    Token(Box<Access>),
    /// No request passes.
    Nobody,
}

/// Audiences of which a token must have one; `None` for those of its provider.
pub(super) type Audiences = Option<BTreeSet<String>>;

/// The requirements for a token, as those of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// The providers that it may be from, each with its audiences; any provider if `None`.
    pub(super) tokens: Option<BTreeMap<String, Audiences>>,
    /// Scopes, all of which it must have.
    pub(super) scopes_all: BTreeSet<String>,
    /// Scopes, one of which it must have.
    pub(super) scopes_any: Option<BTreeSet<String>>,
    /// Requirements for its claims, by path.
    pub(super) claims: BTreeMap<String, Claim>,
    /// Groups of which its consumer must be in one; any if `None`.
    pub(super) groups_any: Option<BTreeSet<String>>,
    /// Groups of which its consumer must be in none.
    pub(super) groups_none: BTreeSet<String>,
    /// What happens without a valid token.
    pub(super) missing: Missing,
}

/// The requirement for a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Present,
    Absent,
    /// It must have one of these values, in the place that the kind tells.
    Values(Kind, Vec<Value>),
}

/// Where the value of a claim may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The claim is the value, or a list that contains it.
    Either,
    /// The claim is the value.
    Itself,
    /// The claim is a list that contains the value.
    InList,
}

/// Whether a request passes without a valid token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
    #[default]
    Refused,
    /// A token that is sent must be valid.
    Allowed,
    /// A token that cannot be used counts as none.
    EvenIfInvalid,
}

impl Need {
    pub(super) fn of(access: Access) -> Self {
        Self::Token(Box::new(access))
    }

    /// Requirements at least as strict as both together.
    pub(super) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Open, need) | (need, Self::Open) => need.clone(),
            (Self::Nobody, _) | (_, Self::Nobody) => Self::Nobody,
            (Self::Token(one), Self::Token(two)) => one.and(two).map_or(Self::Nobody, Self::of),
        }
    }

    /// Requirements that a request meets if it meets either of them; `None` if a rule cannot
    /// express that.
    pub(super) fn or(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            _ if self.covers(other) => Some(other.clone()),
            _ if other.covers(self) => Some(self.clone()),
            (Self::Token(one), Self::Token(two)) => one.or(two).map(Self::of),
            _ => None,
        }
    }

    /// Whether every request that meets these requirements meets the other ones, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.and(other) == *self
    }

    /// How strict they are: of two that apply, the less strict one is to be tried first.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Open => 0,
            Self::Nobody => usize::MAX,
            Self::Token(access) => {
                let conditions = [
                    access.scopes_all.len(),
                    access.claims.len(),
                    usize::from(access.scopes_any.is_some()),
                    usize::from(access.tokens.is_some()),
                    usize::from(access.groups_any.is_some()),
                    access.groups_none.len(),
                    if access.missing == Missing::Refused { 3 } else { 1 },
                ];
                conditions.into_iter().sum()
            }
        }
    }

    /// A rule for the requests of `matching`.
    pub(super) fn rule(&self, matching: &Value) -> Value {
        let requires = match self {
            Self::Open => return json!({ "match": matching, "bypass": true }),
            Self::Nobody => json!({ "groups_any": [NOBODY], "groups_none": [NOBODY] }),
            Self::Token(access) => access.to_json(),
        };
        json!({ "match": matching, "requires": requires })
    }
}

impl Access {
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let tokens = match (&self.tokens, &other.tokens) {
            (Some(one), Some(two)) => Some(shared_tokens(one, two)).filter(|it| !it.is_empty())?,
            (one, two) => {
                let one_of_them = one.as_ref().or(two.as_ref()).cloned();
                return self.and_conditions(other, one_of_them);
            }
        };
        self.and_conditions(other, Some(tokens))
    }

    fn and_conditions(
        &self,
        other: &Self,
        tokens: Option<BTreeMap<String, Audiences>>,
    ) -> Option<Self> {
        let mut claims = self.claims.clone();
        for (path, claim) in &other.claims {
            let both = match claims.get(path) {
                Some(own) => own.and(claim)?,
                None => claim.clone(),
            };
            claims.insert(path.clone(), both);
        }
        Some(Self {
            tokens,
            scopes_all: self.scopes_all.union(&other.scopes_all).cloned().collect(),
            scopes_any: one_of_both(&self.scopes_any, &other.scopes_any)?,
            claims,
            groups_any: one_of_both(&self.groups_any, &other.groups_any)?,
            groups_none: self.groups_none.union(&other.groups_none).cloned().collect(),
            missing: self.missing.min(other.missing),
        })
    }

    /// The union, if they differ in one respect only.
    fn or(&self, other: &Self) -> Option<Self> {
        if self.missing != other.missing {
            return None;
        }
        let mut both = self.clone();
        if let (Some(one), Some(two)) = (&mut both.tokens, &other.tokens)
            && one != two
            && one.iter().all(|(name, audiences)| two.get(name).is_none_or(|it| it == audiences))
        {
            one.extend(two.clone());
            let is_same =
                Self { tokens: None, ..self.clone() } == Self { tokens: None, ..other.clone() };
            return is_same.then_some(both);
        }
        let differs = |(path, claim): &(&String, &Claim)| other.claims.get(*path) != Some(*claim);
        let mut differing = self.claims.iter().filter(differs);
        let (path, Claim::Values(kind, one)) = differing.next()? else { return None };
        let Some(Claim::Values(own, two)) = other.claims.get(path) else { return None };
        if kind != own {
            return None;
        }
        let mut values = one.clone();
        values.extend(two.iter().filter(|value| !one.contains(value)).cloned());
        both.claims.insert(path.clone(), Claim::Values(*kind, two.clone()));
        if both != *other {
            return None;
        }
        both.claims.insert(path.clone(), Claim::Values(*kind, values));
        Some(both)
    }

    /// The `requires` of a rule with these requirements.
    pub(super) fn to_json(&self) -> Value {
        let mut requires = Map::new();
        let mut put = |name: &str, value: Value| {
            let is_empty = value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(Map::is_empty);
            if !is_empty {
                requires.insert(name.to_owned(), value);
            }
        };
        if let Some(tokens) = &self.tokens {
            put("providers", tokens.keys().map(String::as_str).collect());
            let audiences = tokens.values().flatten().flatten().collect::<BTreeSet<_>>();
            put("audiences", json!(audiences));
        }
        put("scopes_all", json!(self.scopes_all));
        put("scopes_any", json!(self.scopes_any.clone().unwrap_or_default()));
        let claims = self.claims.iter().map(|(path, claim)| {
            let claim = match claim {
                Claim::Present => json!("present"),
                Claim::Absent => json!("absent"),
                Claim::Values(Kind::Either, values) => json!(values),
                Claim::Values(Kind::Itself, values) => json!({ "equals": values }),
                Claim::Values(Kind::InList, values) => json!({ "contains": values }),
            };
            (path.clone(), claim)
        });
        put("claims", Value::Object(claims.collect()));
        put("groups_any", json!(self.groups_any.clone().unwrap_or_default()));
        put("groups_none", json!(self.groups_none));
        if self.missing != Missing::Refused {
            put("allow_missing", json!(true));
        }
        if self.missing == Missing::EvenIfInvalid {
            put("invalid_as_missing", json!(true));
        }
        Value::Object(requires)
    }
}

impl Claim {
    /// A requirement that only values meet that meet both; `None` if there is no such value.
    fn and(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Absent, Self::Absent) => Some(Self::Absent),
            (Self::Absent, _) | (_, Self::Absent) => None,
            (Self::Present, claim) | (claim, Self::Present) => Some(claim.clone()),
            (Self::Values(kind, one), Self::Values(other, two)) => {
                let kind = match (kind, other) {
                    (one, Kind::Either) => *one,
                    (Kind::Either, two) => *two,
                    (one, two) if one == two => *one,
                    // No claim is a value and a list.
                    _ => return None,
                };
                let shared: Vec<_> = one.iter().filter(|it| two.contains(it)).cloned().collect();
                (!shared.is_empty()).then_some(Self::Values(kind, shared))
            }
        }
    }
}

/// The values of which one is enough for both; `None` if no value is.
fn one_of_both(
    one: &Option<BTreeSet<String>>,
    two: &Option<BTreeSet<String>>,
) -> Option<Option<BTreeSet<String>>> {
    match (one, two) {
        (Some(one), Some(two)) => {
            let shared: BTreeSet<_> = one.intersection(two).cloned().collect();
            (!shared.is_empty()).then_some(Some(shared))
        }
        (one, two) => Some(one.as_ref().or(two.as_ref()).cloned()),
    }
}

fn shared_tokens(
    one: &BTreeMap<String, Audiences>,
    two: &BTreeMap<String, Audiences>,
) -> BTreeMap<String, Audiences> {
    let shared = one.iter().filter_map(|(name, audiences)| {
        Some((name.clone(), one_of_both(audiences, two.get(name)?)?))
    });
    shared.collect()
}
