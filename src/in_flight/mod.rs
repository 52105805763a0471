//! The callouts in flight, and their outcomes for waiting requests.

mod callouts;
mod memory;
mod purpose;

pub use self::callouts::{CalloutId, Dispatch};
pub(crate) use self::callouts::{Callouts, InFlight, Requested, TooManyCallouts};
pub use self::memory::CalloutOutcome;
pub(crate) use self::memory::{Outcome, RequestMemory};
pub use self::purpose::CalloutPurpose;
pub(crate) use self::purpose::Purpose;
