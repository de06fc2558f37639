//! Settings with which a check that failed passes, found by trying them in a process each.

use std::process::{Command, Stdio};

use crate::device::{BackendName, DeviceChoice, Precision};

/// A setting to try in place of one that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What a user would type.
    pub text: String,
    arguments: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
}

/// What could avoid wrong results of `choice`, the least change first.
#[must_use]
pub fn settings(choice: &DeviceChoice) -> Vec<Setting> {
    let on = |backend: BackendName| ["--backend".to_owned(), backend.name().to_owned()];
    let mut settings = Vec::new();
    let mut add = |text: String, arguments: Vec<String>, environment| {
        settings.push(Setting {
            text,
            arguments,
            environment,
        });
    };
    if choice.backend == BackendName::Wgpu {
        let others = match choice.precision {
            Precision::Half => &[Precision::Fast, Precision::Exact][..],
            Precision::Fast => &[Precision::Exact],
            Precision::Exact => &[],
        };
        for other in others {
            let other = ["--precision", other.name()].map(str::to_owned);
            let device = ["--device".to_owned(), choice.device.to_string()];
            let own = [on(choice.backend), device, other.clone()].concat();
            add(other.join(" "), own, None);
        }
    }
    if choice.backend.is_processor() {
        let mut own = on(choice.backend).to_vec();
        if choice.precision == Precision::Fast {
            let exact = ["--precision", "exact"].map(str::to_owned);
            own.extend(exact.clone());
            add(exact.join(" "), own.clone(), None);
        }
        let portable = ("CPU_KERNELS_ISA", "portable");
        let text = format!("{}={}", portable.0, portable.1);
        add(text, own, Some(portable));
    }
    for backend in [BackendName::Ndarray, BackendName::Flex] {
        if backend != choice.backend {
            let arguments = on(backend);
            add(arguments.join(" "), arguments.into(), None);
        }
    }
    settings
}

impl Setting {
    /// Whether the `failed` subjects pass with this setting; `threads` for the CPU's kernels.
    ///
    /// # Errors
    /// Where the program cannot be started again.
    pub fn passes(&self, failed: &[&str], threads: usize) -> std::io::Result<bool> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["check", "--quiet", "--no-advice", "--threads"])
            .arg(threads.to_string())
            .args(&self.arguments)
            .args(failed.iter().flat_map(|name| ["--only", *name]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((name, value)) = self.environment {
            command.env(name, value);
        }
        Ok(command.status()?.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceName;

    #[test]
    fn each_backend_has_settings_to_try_and_none_is_what_failed() {
        for (backend, precision, first) in [
            (BackendName::Ndarray, Precision::Fast, "--precision exact"),
            (BackendName::Flex, Precision::Fast, "--precision exact"),
            (BackendName::Wgpu, Precision::Fast, "--precision exact"),
            (BackendName::Wgpu, Precision::Exact, "--backend ndarray"),
            (BackendName::Wgpu, Precision::Half, "--precision fast"),
        ] {
            let choice = DeviceChoice {
                backend,
                device: DeviceName::Default,
                threads: None,
                precision,
                token_file: None,
            };
            let settings = settings(&choice);
            assert_eq!(settings[0].text, first);
            let own = format!("--backend {}", backend.name());
            assert!(settings.iter().all(|setting| setting.text != own));
        }
    }
}
