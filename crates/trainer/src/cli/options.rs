//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;

use crate::device::{BackendName, DeviceChoice, DeviceError};

/// Where to compute.
#[derive(Debug, Clone, Args)]
pub struct DeviceOptions {
    /// ndarray, flex or wgpu; wgpu where it is compiled in, ndarray otherwise.
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// default, discrete:N, integrated:N or software.
    #[arg(long, value_name = "NAME", default_value = "default")]
    device: String,
    /// Threads of the CPU kernels; every core if absent. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl DeviceOptions {
    /// The device that the options name.
    pub fn choice(&self) -> Result<DeviceChoice, DeviceError> {
        let backend = match &self.backend {
            Some(name) => name.parse()?,
            None => BackendName::default_backend(),
        };
        if !backend.is_compiled_in() {
            return Err(DeviceError::NotCompiledIn);
        }
        Ok(DeviceChoice {
            backend,
            device: self.device.parse()?,
            threads: self.threads,
        })
    }
}

/// Where runs and data lie.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// The folder that holds the runs.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    pub artifacts: PathBuf,
    /// A folder with CIFAR-10; the cache if absent, filled where it is empty.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
