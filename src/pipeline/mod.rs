//! Decides requests, one step at a time.
//!
//! [`Pipeline`] owns the state that requests share: sessions, user info, key sets and
//! the callouts in flight. It returns the next [`Step`] of a request;
//! [`Gateway`](crate::gateway::Gateway) keeps the requests that wait.
//!
//! - `decide` is the path of a request, with `authenticate`, `bind`, `identify`, `login`,
//!   `replace`, `revoke` and `signals` as parts of it; `attempt` is one run of it, and
//!   `unread` answers for bodies that are not read.
//! - `published` answers requests for the gateway's own documents.
//! - `replies` processes the replies to callouts, `tick` does periodic work, and
//!   `streams` ends requests that outlive their token.
//! - `inspect` tells what a request was decided by.
//! - `state` is their shared state, `settings` the parsed configuration, `step` the
//!   next step of a request.

mod attempt;
mod authenticate;
mod bind;
mod decide;
mod identify;
mod inspect;
mod login;
mod published;
mod replace;
mod replies;
mod revoke;
mod settings;
mod signals;
mod state;
mod step;
mod streams;
mod tick;
mod tracked;
mod unread;

pub use self::revoke::AnnouncementOutcome;
pub use self::settings::{Limits, Settings, SharedData};
pub use self::state::Pipeline;
pub use self::step::{Step, Submission, Tick, Waiting};
pub use crate::in_flight::{CalloutId, CalloutOutcome, CalloutPurpose, Dispatch};
