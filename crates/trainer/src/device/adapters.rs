//! What the graphics drivers of this machine offer: Vulkan, Metal and DirectX 12.
//!
//! OpenGL is never asked: Burn takes it only where nothing else is there.

use serde::Serialize;

use super::names::DeviceName;

/// The kind of an adapter that computes on the processor.
pub const SOFTWARE: &str = "software";
/// The graphics APIs that are asked.
pub const VULKAN: &str = "Vulkan";
/// Apple's.
pub const METAL: &str = "Metal";
/// Microsoft's.
pub const DX12: &str = "DirectX 12";

/// An adapter, as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adapter {
    /// What `--device` calls it; absent where it has no name there.
    pub device: Option<String>,
    /// Its own name.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Its driver and the driver's version.
    pub driver: String,
    /// The graphics API that reaches it.
    pub api: &'static str,
    /// Its memory in bytes, where the system tells it. wgpu does not.
    pub memory: Option<u64>,
    /// What it can do.
    pub limits: Limits,
}

/// What an adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Whether it computes at all, beside drawing.
    pub compute: bool,
    /// Bytes of the largest buffer.
    pub buffer: u64,
    /// Bytes of a buffer that a kernel can see at once, and so of the largest tensor.
    pub binding: u64,
    /// Buffers that a kernel can see.
    pub bindings: u32,
    /// Invocations in a workgroup.
    pub invocations: u32,
    /// Bytes of memory that a workgroup shares.
    pub shared: u32,
    /// Whether it computes in half precision.
    pub half_precision: bool,
}

/// What the networks need: WebGPU's own least, for which Burn's kernels are made.
const NEEDED: Limits = Limits {
    compute: true,
    buffer: 256 << 20,
    binding: 128 << 20,
    bindings: 8,
    invocations: 256,
    shared: 16_384,
    half_precision: false,
};

/// An adapter cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// No adapter has this number.
    #[error("there is no device `{asked}`; there are {}", listed(known))]
    NoSuch {
        /// What was asked for.
        asked: String,
        /// What `--device` can name.
        known: Vec<String>,
    },
    /// An adapter lacks something.
    #[error(
        "{adapter} cannot train: it lacks {lacks}; take another one (`trainer backends` lists them), or \
         the CPU with `--backend ndarray`"
    )]
    Lacks {
        /// Its name.
        adapter: String,
        /// What it lacks.
        lacks: String,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() {
        return "none; train on the CPU with `--backend ndarray`".to_owned();
    }
    known.join(", ")
}

impl Limits {
    /// What is missing for the networks; nothing where they run.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        if !self.compute {
            return Some("compute shaders".to_owned());
        }
        let figures = [
            ("bytes in a buffer", self.buffer, NEEDED.buffer),
            (
                "bytes of a buffer in a kernel",
                self.binding,
                NEEDED.binding,
            ),
            (
                "buffers of a kernel",
                self.bindings.into(),
                NEEDED.bindings.into(),
            ),
            (
                "invocations in a workgroup",
                self.invocations.into(),
                NEEDED.invocations.into(),
            ),
            (
                "bytes that a workgroup shares",
                self.shared.into(),
                NEEDED.shared.into(),
            ),
        ];
        let lacking = figures
            .into_iter()
            .filter(|(_, found, needed): &(_, u64, u64)| found < needed)
            .map(|(what, found, needed)| format!("{what} ({found}, {needed} are needed)"))
            .collect::<Vec<_>>();
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }
}

/// Refuses a device that is not among `adapters`, or that cannot run the networks. A device that no
/// number names is left to Burn, which chooses among them.
///
/// # Errors
/// [`AdapterError`] with what there is, or with what it lacks.
pub fn require(device: &DeviceName, adapters: &[Adapter]) -> Result<(), AdapterError> {
    let asked = match device {
        DeviceName::Default => return Ok(()),
        DeviceName::Discrete(index) => format!("discrete:{index}"),
        DeviceName::Integrated(index) => format!("integrated:{index}"),
        DeviceName::Software => SOFTWARE.to_owned(),
        DeviceName::Worker(address) => address.to_string(),
    };
    let named = |adapter: &&Adapter| adapter.device.as_ref() == Some(&asked);
    let Some(adapter) = adapters.iter().find(named) else {
        let known = adapters.iter();
        return Err(AdapterError::NoSuch {
            asked,
            known: known.filter_map(|known| known.device.clone()).collect(),
        });
    };
    match adapter.limits.lacks() {
        None => Ok(()),
        Some(lacks) => Err(AdapterError::Lacks {
            adapter: adapter.name.clone(),
            lacks,
        }),
    }
}

/// Every adapter on the API that Burn chooses: the first with a GPU, or else the first with anything.
#[cfg(not(feature = "wgpu"))]
#[must_use]
pub fn list() -> Vec<Adapter> {
    Vec::new()
}

#[cfg(feature = "wgpu")]
pub use drivers::list;

/// Asks the drivers something without what they print meanwhile: on a machine without a screen Mesa's layer
/// for choosing adapters complains, for each question, that it finds no desktop. What goes wrong comes
/// back as an error all the same.
#[cfg(all(feature = "wgpu", unix))]
pub(crate) fn quietly<T>(ask: impl FnOnce() -> T) -> T {
    use crate::terminal::ErrorsAside;
    // Where standard error cannot be put aside it is heard.
    let _aside = ErrorsAside::into(std::path::Path::new("/dev/null")).ok();
    ask()
}

/// Asks the drivers something; only Unix has a layer that prints meanwhile.
#[cfg(all(feature = "wgpu", not(unix)))]
pub(crate) fn quietly<T>(ask: impl FnOnce() -> T) -> T {
    ask()
}

#[cfg(feature = "wgpu")]
mod drivers {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use burn::tensor::wgpu::wgpu;

    use super::{Adapter, DX12, Limits, METAL, SOFTWARE, VULKAN};

    /// Every adapter on the API that Burn chooses: the first with a GPU, or else the first with anything.
    #[must_use]
    pub fn list() -> Vec<Adapter> {
        let apis = [
            (wgpu::Backends::VULKAN, VULKAN),
            (wgpu::Backends::METAL, METAL),
            (wgpu::Backends::DX12, DX12),
        ];
        let mut software = Vec::new();
        for (api, name) in apis {
            let found = super::quietly(|| on(api, name));
            if found.iter().any(|adapter| adapter.kind != SOFTWARE) {
                return found;
            }
            if software.is_empty() {
                software = found;
            }
        }
        software
    }

    /// The adapters that one API reaches.
    fn on(api: wgpu::Backends, name: &'static str) -> Vec<Adapter> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: api,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        // Outside of a browser the answer is there at once.
        let asked = pin!(instance.enumerate_adapters(api));
        let Poll::Ready(found) = asked.poll(&mut Context::from_waker(Waker::noop())) else {
            return Vec::new();
        };
        // Each kind is counted by itself, as `--device` counts.
        let mut counts = [0_usize; 2];
        let mut numbered = |kind: usize, name: &str| {
            let number = counts.get_mut(kind)?;
            *number += 1;
            Some(format!("{name}:{}", *number - 1))
        };
        let mut adapters = Vec::with_capacity(found.len());
        for adapter in found {
            let info = adapter.get_info();
            let (kind, device) = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => ("discrete", numbered(0, "discrete")),
                wgpu::DeviceType::IntegratedGpu => ("integrated", numbered(1, "integrated")),
                wgpu::DeviceType::VirtualGpu => ("virtual", None),
                wgpu::DeviceType::Cpu => (SOFTWARE, Some("software".to_owned())),
                wgpu::DeviceType::Other => ("other", None),
            };
            adapters.push(Adapter {
                device,
                name: info.name.clone(),
                kind,
                driver: format!("{} {}", info.driver, info.driver_info)
                    .trim()
                    .to_owned(),
                api: name,
                memory: memory(kind, &info.device_pci_bus_id),
                limits: limits(&adapter),
            });
        }
        adapters
    }

    fn limits(adapter: &wgpu::Adapter) -> Limits {
        let limits = adapter.limits();
        let downlevel = adapter.get_downlevel_capabilities();
        Limits {
            compute: (downlevel.flags).contains(wgpu::DownlevelFlags::COMPUTE_SHADERS),
            buffer: limits.max_buffer_size,
            binding: limits.max_storage_buffer_binding_size,
            bindings: limits.max_storage_buffers_per_shader_stage,
            invocations: limits.max_compute_invocations_per_workgroup,
            shared: limits.max_compute_workgroup_storage_size,
            half_precision: adapter.features().contains(wgpu::Features::SHADER_F16),
        }
    }

    /// What Linux tells of an adapter's memory in bytes: of cards whose driver writes it down, and of
    /// adapters that share the machine's.
    fn memory(kind: &str, pci: &str) -> Option<u64> {
        if matches!(kind, SOFTWARE | "integrated") {
            let text = std::fs::read_to_string("/proc/meminfo").ok()?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            let kibibytes = line.trim().strip_suffix("kB")?.trim();
            return kibibytes
                .parse::<u64>()
                .ok()
                .map(|kibibytes| kibibytes << 10);
        }
        let file = format!("/sys/bus/pci/devices/{pci}/mem_info_vram_total");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(device: &str, limits: Limits) -> Adapter {
        Adapter {
            device: Some(device.to_owned()),
            name: "an adapter".to_owned(),
            kind: "discrete",
            driver: "a driver 1.2".to_owned(),
            api: "Vulkan",
            memory: None,
            limits,
        }
    }

    #[test]
    fn an_absent_number_is_refused_with_what_there_is() {
        let adapters = [adapter("discrete:0", NEEDED), adapter("software", NEEDED)];
        assert_eq!(require(&DeviceName::Default, &[]), Ok(()));
        assert_eq!(require(&DeviceName::Discrete(0), &adapters), Ok(()));
        assert_eq!(require(&DeviceName::Software, &adapters), Ok(()));
        let error = require(&DeviceName::Discrete(1), &adapters).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("no device `discrete:1`"), "{message}");
        assert!(message.contains("discrete:0, software"), "{message}");
        let error = require(&DeviceName::Integrated(0), &[]).unwrap_err();
        assert!(error.to_string().contains("--backend ndarray"), "{error}");
    }

    #[test]
    fn an_adapter_is_refused_with_everything_that_it_lacks() {
        let poor = Limits {
            bindings: 4,
            shared: 0,
            ..NEEDED
        };
        let adapters = [adapter("discrete:0", poor)];
        let error = require(&DeviceName::Discrete(0), &adapters).unwrap_err();
        let message = error.to_string();
        for words in [
            "an adapter",
            "buffers of a kernel (4, 8",
            "shares (0, 16384",
        ] {
            assert!(message.contains(words), "{message}");
        }
        let drawing = Limits {
            compute: false,
            ..NEEDED
        };
        assert_eq!(drawing.lacks().as_deref(), Some("compute shaders"));
    }
}
