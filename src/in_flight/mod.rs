//! The callouts in flight and what their outcomes mean for those who wait.

mod answers;
mod callouts;
mod purpose;

pub use self::answers::Landing;
pub(crate) use self::answers::{Answers, Outcome};
pub(crate) use self::callouts::{Callouts, Flight, Requested};
pub use self::callouts::{FlightId, Sent};
pub(crate) use self::purpose::Purpose;
