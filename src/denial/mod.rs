//! The reasons for denials, and their presentation to clients.
//!
//! The only place that turns a reason into a status, a challenge and a body. Texts name
//! the fault of the request, never the contents of a token, a key or a service's reply.

mod code;
mod reason;
mod response;
mod settings;

pub use self::code::Code;
pub use self::reason::Denial;
pub use self::settings::{ErrorFormat, ErrorSettings, LoginRedirect, ResourceHint};
