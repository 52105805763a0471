//! What the generators leave out, since the gateway is known to be wrong there.
//!
//! Each of these is `true` once the gateway is right; `false` says why not yet.

/// Claims and accepted values that a floating-point number cannot hold, and
/// decimals. They are compared after rounding.
pub const EXACT_NUMBERS: bool = false;

/// Names of user-info claims with a dot in them. Rules seek them in the token.
pub const DOTTED_USER_CLAIMS: bool = false;

/// Members that are `null`. They count as wrong values.
pub const NULLS: bool = false;

/// Replies of the user service without the subject. They are accepted.
pub const REPLIES_WITHOUT_SUBJECT: bool = false;

/// Tokens that ended within the clock skew. They get an identity.
pub const ENDED_WITHIN_SKEW: bool = false;

/// A token and user info that both name the user.
pub const TWO_USERNAMES: bool = false;

/// Two providers that must be told apart: `consumers.entries[].providers` and
/// `identity_token.subject`, which the configuration does not know.
pub const PROVIDERS_TOLD_APART: bool = false;
