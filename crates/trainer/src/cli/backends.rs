//! `trainer backends`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::options::Common;
use crate::device::BackendName;
use crate::run;

/// List the backends of this program and their devices.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer backends --json")]
pub struct Backends {}

#[derive(Debug, Serialize)]
struct Line {
    backend: &'static str,
    compiled_in: bool,
    default: bool,
    devices: Vec<Adapter>,
}

#[derive(Debug, Serialize)]
struct Adapter {
    name: String,
    software: bool,
}

impl Backends {
    /// Prints the list.
    pub fn run(&self, common: &Common) -> Outcome {
        let lines: Vec<Line> = [BackendName::Ndarray, BackendName::Flex, BackendName::Wgpu]
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
            let devices: Vec<String> = line
                .devices
                .iter()
                .map(|device| {
                    let note = if device.software { " (software)" } else { "" };
                    format!("{}{note}", device.name)
                })
                .collect();
            let state = match (line.compiled_in, devices.is_empty()) {
                (false, _) => "not compiled in; build with --features wgpu".to_owned(),
                (true, true) => "no adapter".to_owned(),
                (true, false) => devices.join(", "),
            };
            let mark = if line.default { " (default)" } else { "" };
            println!("{}{mark}: {state}", line.backend);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn devices(backend: BackendName) -> Vec<Adapter> {
    match backend {
        BackendName::Ndarray | BackendName::Flex => vec![Adapter {
            name: run::cpu_model(),
            software: false,
        }],
        BackendName::Wgpu => adapters(),
    }
}

#[cfg(not(feature = "wgpu"))]
fn adapters() -> Vec<Adapter> {
    Vec::new()
}

#[cfg(feature = "wgpu")]
fn adapters() -> Vec<Adapter> {
    use burn::tensor::{Device, DeviceType};
    Device::enumerate(DeviceType::Wgpu)
        .into_iter()
        .filter_map(|device| device.identity())
        .map(|identity| Adapter {
            software: identity.physical.is_none(),
            name: identity.name,
        })
        .collect()
}
