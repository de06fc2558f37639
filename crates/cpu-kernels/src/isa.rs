//! Instruction sets, of which one is chosen at run time.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The variable that forces an instruction set: `portable`, `avx2` or `avx512`.
pub const ISA_VARIABLE: &str = "CPU_KERNELS_ISA";

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What the target has at least: SSE2 on x86-64, NEON on AArch64. Four lanes.
    Portable,
    /// AVX2 with fused multiply-add. Eight lanes.
    Avx2,
    /// AVX-512 F. Sixteen lanes.
    Avx512,
}

/// Why an instruction set cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// There is no instruction set of this name.
    #[error("`{0}` is no instruction set; there are portable, avx2 and avx512")]
    Unknown(String),
    /// This processor does not have it.
    #[error("this processor has no {0}; the best that it has is {best}", best = Isa::best())]
    Unavailable(Isa),
}

impl Isa {
    /// All instruction sets, the least first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL
            .into_iter()
            .rfind(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// What [`ISA_VARIABLE`] names, or else the best.
    ///
    /// # Errors
    ///
    /// The variable names an instruction set that does not exist or that this processor lacks.
    pub fn chosen() -> Result<Self, IsaError> {
        match std::env::var_os(ISA_VARIABLE) {
            Some(name) if !name.is_empty() => {
                let isa: Self = name.to_string_lossy().parse()?;
                isa.available()
            }
            _ => Ok(Self::best()),
        }
    }

    /// This instruction set, if the processor has it.
    pub(crate) fn available(self) -> Result<Self, IsaError> {
        if self.is_available() {
            Ok(self)
        } else {
            Err(IsaError::Unavailable(self))
        }
    }

    /// Its name, as in [`ISA_VARIABLE`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}
