//! Which device a program uses: asked for by name, and never Burn's default, which would take Flex
//! or a GPU that is not there.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | a device, opened |
//! | `computing` | how one computes |
//! | `names` | the names of backends and devices |
//! | `adapters` | what the graphics drivers of this machine offer |

pub mod adapters;
pub mod computing;
mod names;

use std::path::PathBuf;

use burn::tensor::{DType, Device};
use cpu_kernels::context::ContextError;
use model::backend::SettingsError;

use crate::remote::{Address, RemoteError};
use adapters::AdapterError;
pub use computing::Computing;
pub use names::{BackendName, DeviceName, Precision, UnknownName};

/// The device of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChoice {
    /// The backend.
    pub backend: BackendName,
    /// The adapter, where the backend has several.
    pub device: DeviceName,
    /// Threads of the CPU kernels and of Burn's operations; every core where absent.
    pub threads: Option<usize>,
    /// How exactly it computes.
    pub precision: Precision,
    /// The file with the token of a worker.
    pub token_file: Option<PathBuf>,
}

/// A device could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The backend is no part of this program.
    #[error(
        "the backend `{0}` is not compiled in; build with `--features {0}`, or use `--backend ndarray`"
    )]
    NotCompiledIn(&'static str),
    /// No backend or device has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// CPU backends have one device.
    #[error("the backend {0} has one device only; leave `--device` out")]
    OneDevice(&'static str),
    /// The CPU kernels refused the number of threads, or the instruction set.
    #[error("{0}; {advice}", advice = where_it_is_set(.0))]
    Kernels(#[from] SettingsError),
    /// The backend `remote` without a worker.
    #[error(
        "the backend `remote` needs a worker's address: name it with `--device ws://HOST:PORT`"
    )]
    NoWorker,
    /// Gradients do not travel between workers.
    #[error("{0} workers were named, and a run computes on one; give `--device` once")]
    OneWorker(usize),
    /// A worker computes as it was started.
    #[error(
        "a worker computes as it was started, with fast or exact precision; give `--precision` to `trainer worker`, \
         and leave it out here"
    )]
    OfWorker,
    /// Processors store single precision.
    #[error(
        "half precision is for GPUs, and the backend {0} has none; take `--backend wgpu`, or leave `--precision half` out"
    )]
    HalfWithout(&'static str),
    /// An adapter without half precision.
    #[error(
        "{0} does not compute in half precision; leave `--precision half` out, or take another adapter (`trainer \
         backends` lists them)"
    )]
    NoHalf(String),
    /// A token for a device of this machine.
    #[error(
        "`--token-file` is for a worker, and the backend `{0}` computes on this machine; leave it out, or name \
         the worker with `--backend remote --device ws://HOST:PORT`"
    )]
    NoWorkerForToken(&'static str),
    /// A worker's address for another backend.
    #[error("{0} is a worker's address: it is reached with `--backend remote`")]
    OnlyRemote(Address),
    /// The worker cannot be reached, or refuses.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The adapter that was asked for is absent, or lacks something.
    #[error(transparent)]
    Unsuitable(#[from] AdapterError),
    /// No adapter answered.
    #[error(
        "no usable GPU adapter was found (looked for {looked_for}: {reason}); train on the CPU with \
         `--backend ndarray` (or `cargo xtask train-cpu`), install a Vulkan, Metal or DirectX 12 \
         driver, or name a software adapter with `--device software`"
    )]
    Adapter {
        /// What was looked for.
        looked_for: String,
        /// Why it could not be had.
        reason: String,
    },
}

/// Where a user sets what the CPU kernels refused.
fn where_it_is_set(error: &SettingsError) -> &'static str {
    match error {
        SettingsError::Context(ContextError::Isa(_)) => {
            "set it with the variable CPU_KERNELS_ISA, or leave it out"
        }
        _ => "set it with `--threads`, or leave it out",
    }
}

impl DeviceChoice {
    /// Opens the device, without autodiff.
    ///
    /// # Errors
    /// [`DeviceError`] where there is none.
    pub fn open(&self) -> Result<Device, DeviceError> {
        if let DeviceName::Worker(address) = &self.device
            && self.backend != BackendName::Remote
        {
            return Err(DeviceError::OnlyRemote(address.clone()));
        }
        if self.backend.is_processor() {
            model::backend::set_precision(self.precision.of_kernels())?;
            model::backend::set_threads(self.threads())?;
            // Operations of Burn's own divide their work over rayon's one pool. Where that exists
            // already, in a program that opens devices one after the other, it keeps its threads.
            let _ = rayon::ThreadPoolBuilder::new()
                .num_threads(self.threads())
                .build_global();
            if self.device != DeviceName::Default {
                return Err(DeviceError::OneDevice(self.backend.name()));
            }
        }
        if self.precision == Precision::Half && self.backend != BackendName::Wgpu {
            return Err(DeviceError::HalfWithout(self.backend.name()));
        }
        match self.backend {
            // Deprecated upstream, and yet what this project trains on; see the model crate.
            #[allow(deprecated)]
            BackendName::Ndarray => Ok(Device::ndarray()),
            BackendName::Flex => Ok(Device::flex()),
            BackendName::Wgpu => {
                let device = adapter::open(&self.device, self.precision)?;
                if self.precision == Precision::Half && !device.supports_dtype(DType::F16) {
                    return Err(DeviceError::NoHalf(self.describe(&device)));
                }
                Ok(device)
            }
            BackendName::Remote => self.open_worker(),
        }
    }

    /// Threads of the CPU kernels.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        })
    }

    /// The instruction set of the CPU kernels, where they compute.
    #[must_use]
    pub fn kernel_isa(&self) -> Option<&'static str> {
        self.backend
            .is_processor()
            .then(|| model::backend::isa().name())
    }

    /// The device's own name, for records.
    #[must_use]
    pub fn describe(&self, device: &Device) -> String {
        match &self.device {
            #[cfg(feature = "remote")]
            DeviceName::Worker(address) => {
                let about = crate::remote::about(device);
                about.map_or_else(
                    || address.to_string(),
                    |about| format!("{} on {}", about.backend, about.device),
                )
            }
            _ => adapter::name(device).unwrap_or_else(crate::run::cpu_model),
        }
    }

    /// How `device`, which this choice opened, computes: a worker says so itself.
    #[must_use]
    pub fn computing(&self, device: &Device) -> Computing {
        #[cfg(feature = "remote")]
        if self.backend == BackendName::Remote
            && let Some(about) = crate::remote::about(device)
        {
            return about.computing;
        }
        let _ = device;
        Computing {
            precision: self.precision.name().to_owned(),
            isa: self.kernel_isa().map(str::to_owned),
            threads: self.threads(),
        }
    }

    #[cfg(feature = "remote")]
    fn open_worker(&self) -> Result<Device, DeviceError> {
        let DeviceName::Worker(address) = &self.device else {
            return Err(DeviceError::NoWorker);
        };
        let token = self.token_file.as_deref();
        let token = token.map(crate::remote::Token::read).transpose()?;
        Ok(crate::remote::connect(address, token.as_ref())?)
    }

    #[cfg(not(feature = "remote"))]
    fn open_worker(&self) -> Result<Device, DeviceError> {
        Err(DeviceError::NotCompiledIn(self.backend.name()))
    }
}

#[cfg(not(feature = "wgpu"))]
mod adapter {
    use super::{Device, DeviceError, DeviceName, Precision};

    pub(super) fn open(_device: &DeviceName, _precision: Precision) -> Result<Device, DeviceError> {
        Err(DeviceError::NotCompiledIn("wgpu"))
    }

    /// CPU backends have no name of their own.
    pub(super) fn name(_device: &Device) -> Option<String> {
        None
    }
}

#[cfg(feature = "wgpu")]
mod adapter {
    use burn::tensor::DeviceKind;
    use burn::tensor::wgpu::WgpuBackend;

    use super::adapters::{self, Adapter};
    use super::{Device, DeviceError, DeviceName, Precision};

    pub(super) fn name(device: &Device) -> Option<String> {
        device.identity().map(|identity| identity.name)
    }

    pub(super) fn open(name: &DeviceName, precision: Precision) -> Result<Device, DeviceError> {
        model::backend::set_gpu_precision(precision.of_kernels());
        let kind = match name {
            DeviceName::Default => DeviceKind::DefaultDevice,
            DeviceName::Discrete(index) => DeviceKind::DiscreteGpu(*index),
            DeviceName::Integrated(index) => DeviceKind::IntegratedGpu(*index),
            DeviceName::Software => DeviceKind::Cpu,
            DeviceName::Worker(address) => return Err(DeviceError::OnlyRemote(address.clone())),
        };
        let adapters = adapters::list();
        adapters::require(name, &adapters)?;
        let failed = || DeviceError::Adapter {
            looked_for: match name {
                DeviceName::Default => "any discrete or integrated GPU".to_owned(),
                DeviceName::Discrete(index) => format!("discrete GPU {index}"),
                DeviceName::Integrated(index) => format!("integrated GPU {index}"),
                DeviceName::Software => "a software adapter".to_owned(),
                DeviceName::Worker(address) => address.to_string(),
            },
            reason: what_there_is(&adapters),
        };
        // wgpu takes a software adapter where it finds nothing else, and says nothing.
        let usable = |adapter: &&Adapter| {
            *name == DeviceName::Software || adapter.kind != adapters::SOFTWARE
        };
        let first = adapters.iter().find(usable).ok_or_else(failed)?;
        let options = Device::wgpu_options()
            .device_kind(kind)
            .graphics_api(api(first));
        adapters::quietly(|| options.init()).map_err(|_| failed())
    }

    /// The API that reaches an adapter, so that Burn asks no other.
    fn api(adapter: &Adapter) -> WgpuBackend {
        match adapter.api {
            adapters::METAL => WgpuBackend::Metal,
            adapters::DX12 => WgpuBackend::Dx12,
            _ => WgpuBackend::Vulkan,
        }
    }

    /// The adapters in words; what wgpu says of them is meant for programmers.
    fn what_there_is(adapters: &[Adapter]) -> String {
        let names: Vec<String> = adapters
            .iter()
            .map(|adapter| match adapter.kind {
                adapters::SOFTWARE => format!("the software adapter {}", adapter.name),
                _ => adapter.name.clone(),
            })
            .collect();
        if names.is_empty() {
            "there is no adapter".to_owned()
        } else {
            format!("there is only {}", names.join(", "))
        }
    }
}
