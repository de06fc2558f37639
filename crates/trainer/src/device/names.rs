//! The names of backends and devices, as a command line has them.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

use crate::remote::Address;

/// A backend that a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// Burn's NdArray with this project's kernels.
    Ndarray,
    /// Burn's Flex.
    Flex,
    /// The GPU, through wgpu.
    Wgpu,
    /// A device of another machine, through a worker.
    Remote,
}

/// An adapter that a user can ask for (`--device`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceName {
    /// The best one; never a software adapter.
    #[default]
    Default,
    /// The Nth discrete GPU, from 0.
    Discrete(usize),
    /// The Nth integrated GPU, from 0.
    Integrated(usize),
    /// The processor, through a software driver.
    Software,
    /// What the worker at this address serves.
    Worker(Address),
}

/// How exactly a device computes (`--precision`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Precision {
    /// Convolves by Winograd's algorithm where it pays.
    #[default]
    Fast,
    /// Convolves by the definition.
    Exact,
    /// As `Fast`, and stores the images of a training's steps, what layers make of them and gradients by them in half
    /// precision.
    Half,
}

impl Precision {
    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Exact => "exact",
            Self::Half => "half",
        }
    }

    /// The precision of this name, as records have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Fast, Self::Exact, Self::Half]
            .into_iter()
            .find(|precision| precision.name() == name)
    }

    /// How exactly kernels convolve.
    #[must_use]
    pub fn of_kernels(self) -> model::backend::Precision {
        match self {
            Self::Fast | Self::Half => model::backend::Precision::Fast,
            Self::Exact => model::backend::Precision::Exact,
        }
    }
}

/// No backend or device has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{name}` is unknown; there are {known}")]
pub struct UnknownName {
    /// "the backend" or "the device".
    what: &'static str,
    /// What was asked for.
    name: String,
    /// What there is.
    known: &'static str,
}

impl BackendName {
    /// Every backend that a user can name.
    pub const NAMES: &'static str = "ndarray, flex, wgpu, remote";

    /// Every backend.
    pub const ALL: [Self; 4] = [Self::Ndarray, Self::Flex, Self::Wgpu, Self::Remote];

    /// wgpu where it is compiled in, ndarray where not.
    #[must_use]
    pub fn default_backend() -> Self {
        if cfg!(feature = "wgpu") {
            Self::Wgpu
        } else {
            Self::Ndarray
        }
    }

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndarray => "ndarray",
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Remote => "remote",
        }
    }

    /// Whether this program has it.
    #[must_use]
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Ndarray | Self::Flex => true,
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Remote => cfg!(feature = "remote"),
        }
    }

    /// Whether it computes with this process's own CPU kernels.
    #[must_use]
    pub fn is_processor(self) -> bool {
        matches!(self, Self::Ndarray | Self::Flex)
    }
}

impl FromStr for BackendName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownName {
                what: "the backend",
                name: name.to_owned(),
                known: Self::NAMES,
            })
    }
}

impl FromStr for DeviceName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let unknown = || UnknownName {
            what: "the device",
            name: name.to_owned(),
            known: "default, discrete:N, integrated:N, software, ws://HOST:PORT",
        };
        match name.split_once(':') {
            None if name == "default" => Ok(Self::Default),
            None if name == "software" => Ok(Self::Software),
            Some(("discrete", index)) => index.parse().map(Self::Discrete).map_err(|_| unknown()),
            Some(("integrated", index)) => {
                index.parse().map(Self::Integrated).map_err(|_| unknown())
            }
            Some(("ws", _)) => name.parse().map(Self::Worker).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// As [`DeviceName::from_str`] reads it.
impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Discrete(index) => write!(f, "discrete:{index}"),
            Self::Integrated(index) => write!(f, "integrated:{index}"),
            Self::Software => f.write_str("software"),
            Self::Worker(address) => address.fmt(f),
        }
    }
}
