//! `trainer backends`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::options::Common;
use crate::device::BackendName;
use crate::device::adapters::{self, Adapter};
use crate::run;

/// List the backends of this program and their devices.
///
/// An adapter stands with what --device calls it, its driver, the graphics API that reaches it, its memory
/// where the system tells it, and its limits.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer backends --json")]
pub struct Backends {}

#[derive(Debug, Serialize)]
struct Line {
    backend: &'static str,
    compiled_in: bool,
    default: bool,
    devices: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    software: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<Adapter>,
}

impl Backends {
    /// Prints the list.
    pub fn run(&self, common: &Common) -> Outcome {
        let lines: Vec<Line> = BackendName::ALL
            .into_iter()
            .map(|backend| Line {
                backend: backend.name(),
                compiled_in: backend.is_compiled_in(),
                default: backend == BackendName::default_backend(),
                devices: devices(backend),
            })
            .collect();
        if common.json {
            println!("{}", serde_json::to_string(&lines)?);
            return Ok(ExitCode::SUCCESS);
        }
        for line in lines {
            let mark = if line.default { " (default)" } else { "" };
            println!("{}{mark}: {}", line.backend, state(&line));
            for adapter in line.devices.iter().filter_map(|one| one.adapter.as_ref()) {
                println!("  {}", described(adapter));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What stands behind a backend's name.
fn state(line: &Line) -> String {
    match line.devices.as_slice() {
        [] if !line.compiled_in => {
            format!("not compiled in; build with --features {}", line.backend)
        }
        [] if line.backend == BackendName::Remote.name() => {
            "a worker, named with --device ws://HOST:PORT".to_owned()
        }
        [] => "no adapter".to_owned(),
        [one] if one.adapter.is_none() => one.name.clone(),
        several => format!("{} on {}", count(several.len()), api(several)),
    }
}

fn count(adapters: usize) -> String {
    match adapters {
        1 => "1 adapter".to_owned(),
        many => format!("{many} adapters"),
    }
}

/// The graphics API, which is one for all.
fn api(devices: &[Listed]) -> &'static str {
    let adapter = devices.first().and_then(|device| device.adapter.as_ref());
    adapter.map_or("no API", |adapter| adapter.api)
}

/// An adapter in one line.
fn described(adapter: &Adapter) -> String {
    let memory = match adapter.memory {
        Some(bytes) => mebibytes(bytes),
        None => "unknown".to_owned(),
    };
    let limits = &adapter.limits;
    let half = if limits.half_precision { "yes" } else { "no" };
    let problem = match limits.lacks() {
        Some(lacks) => format!("; it cannot train, for it lacks {lacks}"),
        None => String::new(),
    };
    format!(
        "{}: {} ({}), driver {}, memory {memory}, buffers to {}, tensors to {}, {} invocations, half \
         precision {half}{problem}",
        adapter.device.as_deref().unwrap_or("(no name)"),
        adapter.name,
        adapter.kind,
        adapter.driver,
        mebibytes(limits.buffer),
        mebibytes(limits.binding),
        limits.invocations,
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn devices(backend: BackendName) -> Vec<Listed> {
    match backend {
        BackendName::Ndarray | BackendName::Flex => vec![Listed {
            name: run::cpu_model(),
            software: false,
            adapter: None,
        }],
        // Workers are not searched for.
        BackendName::Remote => Vec::new(),
        BackendName::Wgpu => adapters::list()
            .into_iter()
            .map(|adapter| Listed {
                name: adapter.name.clone(),
                software: adapter.kind == adapters::SOFTWARE,
                adapter: Some(adapter),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::adapters::Limits;

    #[test]
    fn an_adapter_is_described_with_what_it_can_do_and_what_it_lacks() {
        let mut adapter = Adapter {
            device: Some("discrete:0".to_owned()),
            name: "A GPU".to_owned(),
            kind: "discrete",
            driver: "a driver 1.2".to_owned(),
            api: "Vulkan",
            memory: Some(8 << 30),
            limits: Limits {
                compute: true,
                buffer: 1 << 30,
                binding: 1 << 29,
                bindings: 16,
                invocations: 1024,
                shared: 32_768,
                half_precision: true,
            },
        };
        assert_eq!(
            described(&adapter),
            "discrete:0: A GPU (discrete), driver a driver 1.2, memory 8192 MiB, buffers to 1024 MiB, \
             tensors to 512 MiB, 1024 invocations, half precision yes"
        );
        adapter.limits.compute = false;
        adapter.memory = None;
        let described = described(&adapter);
        assert!(described.contains("memory unknown"), "{described}");
        assert!(
            described.ends_with("it lacks compute shaders"),
            "{described}"
        );
    }
}
