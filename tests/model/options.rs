//! What the generators leave out, since the gateway is known to be wrong there.
//!
//! Each of these is `true` once the gateway is right; `false` says why not yet.

/// Claims and accepted values that a floating-point number cannot hold, and
/// decimals.
pub const EXACT_NUMBERS: bool = true;

/// Names of user-info claims with a dot in them.
pub const DOTTED_USER_CLAIMS: bool = true;

/// Members that are `null`.
pub const NULLS: bool = true;

/// Replies of the user service without the subject.
pub const REPLIES_WITHOUT_SUBJECT: bool = true;

/// Tokens that ended within the clock skew.
pub const ENDED_WITHIN_SKEW: bool = true;

/// A token and user info that both name the user.
pub const TWO_USERNAMES: bool = true;

/// Two providers that must be told apart: `consumers.entries[].providers` and
/// `identity_token.subject`.
pub const PROVIDERS_TOLD_APART: bool = true;
