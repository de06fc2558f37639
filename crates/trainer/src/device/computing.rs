//! How a device computes.

use serde::{Deserialize, Serialize};

/// How a device computes, for the record of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computing {
    /// `fast` or `exact`.
    pub precision: String,
    /// The instruction set of the CPU kernels, where they compute.
    pub isa: Option<String>,
    /// Threads of the CPU kernels.
    pub threads: usize,
}
