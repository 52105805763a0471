//! How many requests a callback decides.

use gatepass::gateway::{Action, Gateway, RequestId, TICK};
use gatepass::time::Span;

use super::Shared;

/// How many requests a callback of the root context resumes or answers, at most. Envoy does
/// what a callback asks for once it is over, and each answer calls the VM again, within which
/// Envoy does the rest: with some hundreds of them V8 is out of stack, and every request of
/// the worker fails.
const AT_ONCE: usize = 32;

/// The period of ticks while requests are left.
const SOON: Span = Span::from_millis(1);

impl Shared {
    /// Lets ticks come quickly as long as requests are left to be resumed. A host that
    /// refuses has them wait for its usual ticks.
    pub(super) fn pace(&self) {
        // ngx_wasm_module traps when the period is set again. There each request has a
        // callout of its own, so that none is left.
        if !self.host.capabilities().resumes_others {
            return;
        }
        let is_behind = self.gateway.borrow().has_actions();
        if is_behind != self.hurries.get() {
            let period = if is_behind { SOON } else { TICK };
            // Ticks are those of the context that is entered.
            if !self.host.enter(self.root_id) {
                return;
            }
            self.in_callback_of_root();
            if self.host.tick_every(period).is_ok() {
                self.hurries.set(is_behind);
            }
        }
    }

    /// The next action in a callback of `current`, or of the root context, which executes
    /// those of other requests too: up to [`AT_ONCE`].
    pub(super) fn next_action(
        &self,
        current: Option<RequestId>,
        others: &mut usize,
    ) -> Option<Action> {
        let Some(request) = current else {
            if *others >= AT_ONCE {
                return None;
            }
            let action = self.with_gateway(Gateway::poll)?;
            *others = others.saturating_add(usize::from(action.request().is_some()));
            return Some(action);
        };
        self.with_gateway(|gateway| gateway.poll_for(request))
    }
}
