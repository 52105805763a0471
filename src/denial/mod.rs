//! Why a request is denied, and how that looks from outside.
//!
//! The only place that turns a reason into a status, a challenge and a body.
//! Texts name what was wrong with the request, never what a token, a key or a
//! service's reply held.

mod code;
mod reason;
mod response;
mod settings;

pub use self::code::Code;
pub use self::reason::Denial;
pub use self::settings::{ErrorFormat, ErrorSettings, LoginRedirect, ResourceHint};
