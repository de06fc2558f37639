//! How a run is told to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn_train::Interrupter;

/// Ends a run after the step under way, once there is a run that can be saved.
#[derive(Default)]
pub struct Stop {
    interrupter: Interrupter,
    has_begun: Mutex<bool>,
}

/// Nothing has been made yet that could be saved. As long as it is held nothing is.
#[derive(Debug)]
pub struct NotBegun<'a> {
    _has_begun: MutexGuard<'a, bool>,
}

impl Stop {
    /// Asks the run to save after the step under way and to end there.
    ///
    /// # Errors
    /// [`NotBegun`] while data is fetched and checked: there is nothing to wait for.
    pub fn ask(&self) -> Result<(), NotBegun<'_>> {
        let has_begun = self
            .has_begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !*has_begun {
            return Err(NotBegun {
                _has_begun: has_begun,
            });
        }
        self.interrupter.stop(Some("interrupted"));
        Ok(())
    }

    /// Says that from here on there is a run to save.
    pub(super) fn begin(&self) {
        *self
            .has_begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// What Burn's loop and dashboard look at.
    pub(super) fn interrupter(&self) -> &Interrupter {
        &self.interrupter
    }
}
