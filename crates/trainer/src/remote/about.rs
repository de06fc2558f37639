//! What a worker says of itself before the first tensor.

use serde::{Deserialize, Serialize};

use crate::device::computing::Computing;

/// A worker's versions and device. Two sides that differ in a version may disagree on what an operation
/// is, so that both are compared before anything else is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// This program's version, and the commit that it was built from.
    pub program: String,
    /// Burn's version.
    pub burn: String,
    /// The backend that computes, such as `ndarray`.
    pub backend: String,
    /// The device or adapter, as the backend names it.
    pub device: String,
    /// How it computes.
    pub computing: Computing,
}

impl About {
    /// This program with a device.
    #[must_use]
    pub fn new(backend: &str, device: String, computing: Computing) -> Self {
        let commit = option_env!("TRAINER_GIT_COMMIT").unwrap_or("unknown");
        Self {
            program: format!("{} of commit {commit}", env!("CARGO_PKG_VERSION")),
            burn: crate::run::BURN.to_owned(),
            backend: backend.to_owned(),
            device,
            computing,
        }
    }

    /// The versions in words.
    #[must_use]
    pub fn versions(&self) -> String {
        format!("version {} with Burn {}", self.program, self.burn)
    }

    /// The versions of this program.
    #[must_use]
    pub fn our_versions() -> String {
        let nothing = Computing {
            precision: String::new(),
            isa: None,
            threads: 0,
        };
        Self::new("", String::new(), nothing).versions()
    }
}
