//! Options that several commands share.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::device::{BackendName, DeviceChoice, DeviceError, Precision};
use crate::progress::Verbosity;
#[cfg(feature = "remote")]
use crate::remote::{RemoteError, Token};
use crate::run::Environment;
use crate::shell;

/// What every command takes, whether it has a use for it or not, so that a script may pass the same
/// options to all of them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceOptions,
    /// Where runs and data lie.
    #[command(flatten)]
    pub places: Places,
    /// How much the program says.
    #[command(flatten)]
    pub verbosity: VerbosityOptions,
    /// Prints the command's result as JSON, for another program to read.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Common {
    /// The options that another process of this program gets, one of `processes` that share the
    /// machine. The artifacts folder is left out.
    pub fn for_another_process(&self, processes: usize) -> Vec<String> {
        let device = &self.device;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = device.threads.unwrap_or((cores / processes.max(1)).max(1));
        let mut options = vec!["--quiet".to_owned()];
        let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
        add("--threads", threads.to_string());
        for name in &device.device {
            add("--device", name.clone());
        }
        if let Some(backend) = &device.backend {
            add("--backend", backend.clone());
        }
        if let Some(file) = &device.token_file {
            add("--token-file", file.display().to_string());
        }
        if let Some(precision) = device.precision {
            add("--precision", precision.name().to_owned());
        }
        if device.trust_device {
            options.push("--trust-device".to_owned());
        }
        let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
        if let Some(data_dir) = &self.places.data_dir {
            add("--data-dir", data_dir.display().to_string());
        }
        options
    }
}

/// Where to compute.
#[derive(Debug, Clone, Args)]
pub struct DeviceOptions {
    /// ndarray, flex, wgpu or remote; wgpu where it is compiled in, ndarray otherwise.
    #[arg(long, global = true, value_name = "NAME")]
    backend: Option<String>,
    /// default, discrete:N, integrated:N, software, or a worker's ws://HOST:PORT. Given several times,
    /// `train` computes each batch over all of them.
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    device: Vec<String>,
    /// The file with the token of a worker: of the one that --backend remote computes on, or of this one.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Threads that compute on a CPU; every core if absent. Results do not depend on it.
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// fast, exact or half; fast if absent. Fast convolves by Winograd's algorithm where it pays, with
    /// rounding errors of 1e-6 of a value in place of 1e-7 (on a GPU 1e-5 in place of 1e-6). Half is for the
    /// steps of a training on a GPU: images and what layers make of them are stored in half the memory, with
    /// rounding errors of 5e-4, and computed with as by fast.
    #[arg(long, global = true, value_enum, value_name = "NAME")]
    precision: Option<Precision>,
    /// Trains on a GPU that computes wrongly by the short check before its first training, or serves it.
    #[arg(long, global = true)]
    pub trust_device: bool,
}

/// The options do not name one device.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// There are several.
    #[error("{0} devices were named, and only `train` computes over several; give `--device` once")]
    Several(usize),
    /// One is unknown.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Where to listen: an address or a name of this machine, with a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|error| match error.kind() {
        // The standard library's word for what has not this form.
        ErrorKind::InvalidInput => {
            "give an address or a name with a port, such as 127.0.0.1:8000 or localhost:8000"
                .to_owned()
        }
        _ => format!("{error}; give an address, such as 127.0.0.1:8000"),
    })?;
    // Where a name has addresses of both kinds everything reaches this one.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| !address.is_ipv4());
    let first = found.first().copied();
    first.ok_or_else(|| "this name has no address".to_owned())
}

impl DeviceOptions {
    /// The one device that the options name.
    pub fn choice(&self) -> Result<DeviceChoice, OptionError> {
        match self.choices()?.as_slice() {
            [one] => Ok(one.clone()),
            several => Err(OptionError::Several(several.len())),
        }
    }

    /// The devices that the options name, one at least.
    pub fn choices(&self) -> Result<Vec<DeviceChoice>, DeviceError> {
        let named: Result<Vec<DeviceChoice>, DeviceError> =
            self.device.iter().map(|name| self.named(name)).collect();
        match named?.as_slice() {
            several @ [first, _, ..] if first.backend == BackendName::Remote => {
                Err(DeviceError::OneWorker(several.len()))
            }
            named => Ok(named.to_vec()),
        }
    }

    /// The device that `trainer worker` serves: the token is the worker's own, and opens no other one.
    #[cfg(feature = "remote")]
    pub fn served(&self) -> Result<DeviceChoice, OptionError> {
        let mut options = self.clone();
        options.token_file = None;
        options.choice()
    }

    /// The options that name where to compute, as they are typed, each with a space before it.
    pub fn typed(&self) -> String {
        let mut words = Vec::new();
        if let Some(backend) = &self.backend {
            words.extend(["--backend".to_owned(), backend.clone()]);
        }
        // Other commands compute on one device.
        if let Some(device) = self.device.first().filter(|name| *name != "default") {
            words.extend(["--device".to_owned(), device.clone()]);
        }
        if let Some(file) = &self.token_file {
            words.extend([
                "--token-file".to_owned(),
                absolute(file).display().to_string(),
            ]);
        }
        if words.is_empty() {
            return String::new();
        }
        format!(" {}", shell::line(words.iter().map(String::as_str)))
    }

    /// The token of the file that the options name.
    #[cfg(feature = "remote")]
    pub fn token(&self) -> Result<Option<Token>, RemoteError> {
        self.token_file.as_deref().map(Token::read).transpose()
    }

    /// These options for a run that goes on: what they leave open is as it was when the run began. And
    /// what to say of it.
    pub fn going_on(&self, began: &Environment) -> (Self, Option<String>) {
        let mut options = self.clone();
        let mut words = Vec::new();
        if options.backend.is_none()
            && began.backend != BackendName::default_backend().name()
            && let Ok(backend) = began.backend.parse::<BackendName>()
            && backend.is_compiled_in()
        {
            options.backend = Some(began.backend.clone());
            words.extend(["--backend", &began.backend]);
        }
        let same_backend = options.backend.as_deref().map_or_else(
            || BackendName::default_backend().name() == began.backend,
            |backend| backend == began.backend,
        );
        let left_open = |names: &[String]| names.iter().all(|name| name == "default");
        if same_backend && left_open(&options.device) && !left_open(&began.asked_devices) {
            options.device.clone_from(&began.asked_devices);
            words.extend(
                began
                    .asked_devices
                    .iter()
                    .flat_map(|name| ["--device", name.as_str()]),
            );
        }
        if same_backend && options.token_file.is_none() {
            options.token_file.clone_from(&began.token_file);
        }
        let is_remote = options.backend.as_deref() == Some(BackendName::Remote.name());
        let precision = Precision::named(&began.precision).unwrap_or_default();
        let is_possible = match precision {
            Precision::Fast => false,
            Precision::Exact => !is_remote,
            // Another backend goes on in single precision.
            Precision::Half => same_backend,
        };
        if options.precision.is_none() && is_possible {
            options.precision = Some(precision);
            words.extend(["--precision", precision.name()]);
        }
        let mut remarks = Vec::new();
        if !words.is_empty() {
            let words = shell::line(words.iter().copied());
            remarks.push(format!("as the run began: {words}"));
        }
        if options.precision.is_none() && precision == Precision::Half {
            remarks.push("the run began in half precision, and goes on in single".to_owned());
        }
        let remark = remarks.join("; ");
        (options, (!remark.is_empty()).then_some(remark))
    }

    /// The device `name` of the options' backend.
    fn named(&self, name: &str) -> Result<DeviceChoice, DeviceError> {
        let backend = match &self.backend {
            Some(name) => name.parse()?,
            None => BackendName::default_backend(),
        };
        if !backend.is_compiled_in() {
            return Err(DeviceError::NotCompiledIn(backend.name()));
        }
        if backend == BackendName::Remote && self.precision.is_some() {
            return Err(DeviceError::OfWorker);
        }
        if backend != BackendName::Remote && self.token_file.is_some() {
            return Err(DeviceError::NoWorkerForToken(backend.name()));
        }
        Ok(DeviceChoice {
            backend,
            device: name.parse()?,
            threads: self.threads,
            precision: self.precision.unwrap_or_default(),
            token_file: self.token_file.as_deref().map(absolute),
        })
    }
}

/// The whole path of a file, so that a record of it holds from everywhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// How much the program says.
#[derive(Debug, Clone, Copy, Args)]
pub struct VerbosityOptions {
    /// Shows no progress: only the result, and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Says more: device, data, hashes, and a line a second in place of one every five.
    #[arg(short, long, global = true)]
    verbose: bool,
}

impl VerbosityOptions {
    /// What the options ask for.
    pub fn choice(self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// Where runs and data lie.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// The folder that holds the runs.
    #[arg(long, global = true, value_name = "DIR", default_value = "artifacts")]
    pub artifacts: PathBuf,
    /// A folder with CIFAR-10; the cache if absent, filled where it is empty.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_name_and_needs_a_port() {
        for (text, expected) in [
            ("127.0.0.1:80", Ok("127.0.0.1:80".parse().ok())),
            ("[::1]:80", Ok("[::1]:80".parse().ok())),
            ("localhost:80", Ok("127.0.0.1:80".parse().ok())),
            ("localhost", Err("such as 127.0.0.1:8000 or localhost:8000")),
            ("127.0.0.1:99999", Err("with a port")),
        ] {
            match (address(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(Some(found), expected, "{text}"),
                (Err(message), Err(words)) => assert!(message.contains(words), "{message}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
