//! The callouts in flight, and their outcomes for waiting requests.

mod answers;
mod callouts;
mod purpose;

pub use self::answers::CalloutOutcome;
pub(crate) use self::answers::{Answers, Outcome};
pub use self::callouts::{CalloutId, Dispatch};
pub(crate) use self::callouts::{Callouts, InFlight, Requested, TooManyCallouts};
pub use self::purpose::CalloutPurpose;
pub(crate) use self::purpose::Purpose;
