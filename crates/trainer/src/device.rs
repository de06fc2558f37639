//! Which device a run uses, by name and never by Burn's default.

use burn::tensor::Device;

/// A backend that a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendName {
    /// Burn's NdArray with this project's kernels.
    Ndarray,
    /// Burn's Flex.
    Flex,
    /// The GPU, through wgpu.
    #[cfg(feature = "wgpu")]
    Wgpu,
}

/// A device could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The CPU kernels refused the number of threads.
    #[error(transparent)]
    Threads(#[from] model::backend::ThreadsError),
    /// No adapter answered.
    #[cfg(feature = "wgpu")]
    #[error(
        "no GPU adapter was found ({0}); train on the CPU with `--backend ndarray`, or install a \
         Vulkan, Metal or DirectX 12 driver"
    )]
    Adapter(String),
}

impl BackendName {
    /// wgpu where it is compiled in, ndarray where not.
    #[must_use]
    pub fn default_backend() -> Self {
        #[cfg(feature = "wgpu")]
        return Self::Wgpu;
        #[cfg(not(feature = "wgpu"))]
        Self::Ndarray
    }

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndarray => "ndarray",
            Self::Flex => "flex",
            #[cfg(feature = "wgpu")]
            Self::Wgpu => "wgpu",
        }
    }

    /// Opens the device, without autodiff. `threads` is for the CPU kernels.
    ///
    /// # Errors
    /// [`DeviceError`] where there is none.
    pub fn open(self, threads: Option<usize>) -> Result<Device, DeviceError> {
        if let Some(threads) = threads {
            model::backend::set_threads(threads)?;
        }
        match self {
            // Deprecated upstream, and yet what this project trains on; see the model crate.
            #[allow(deprecated)]
            Self::Ndarray => Ok(Device::ndarray()),
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu_options()
                .init()
                .map_err(|error| DeviceError::Adapter(error.to_string())),
        }
    }
}
