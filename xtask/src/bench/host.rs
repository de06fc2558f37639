//! Processor, versions, load and date: what a figure belongs to.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::command::{answer, last_json_object};

/// The peers' packages, by the names under which Python knows them.
const PACKAGES: [(&str, &str); 3] = [
    ("PyTorch", "torch"),
    ("ONNX Runtime", "onnxruntime"),
    ("OpenVINO", "openvino"),
];
/// What stands where the system or a program does not answer.
const UNKNOWN: &str = "unknown";
/// A load average over the last minute from which on a machine is not idle.
const BUSY: f64 = 0.5;

/// The machine and the versions on it when a comparison starts.
#[derive(Debug)]
pub struct Host {
    /// The processor's name.
    pub processor: String,
    /// The instruction sets that matter for float32, as the processor reports them.
    pub instruction_sets: Vec<&'static str>,
    /// Cores that this process may use.
    pub cores: usize,
    /// The load average over 1, 5 and 15 minutes.
    pub load: String,
    /// The operating system and architecture.
    pub system: String,
    /// What is compared, each with its version.
    pub versions: Vec<(&'static str, String)>,
    /// The day in UTC, `YYYY-MM-DD`.
    pub date: String,
}

impl Host {
    /// Asks the system, the tools and, where there is one, the peers' interpreter. The load comes from the caller,
    /// who reads it before building makes a load of its own.
    ///
    /// # Errors
    /// A message where the interpreter does not answer.
    pub fn read(root: &Path, python: Option<&Path>, load: String) -> Result<Self, String> {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
        // Without the option, git would refresh its index, and another git may be at work on it.
        let git = [
            "--no-optional-locks",
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
        ];
        let lock = fs::read_to_string(root.join("Cargo.lock")).ok();
        let mut versions = vec![
            ("this project", or_unknown(answer("git", &git, root))),
            ("Rust", or_unknown(answer("rustc", &["--version"], root))),
            (
                "Burn",
                or_unknown(
                    lock.as_deref()
                        .and_then(|text| locked_version(text, "burn")),
                ),
            ),
        ];
        if let Some(python) = python {
            versions.extend(peers(python, root)?);
        }
        Ok(Self {
            processor: processor(root),
            instruction_sets: instruction_sets(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            versions,
            date: date(SystemTime::now()),
        })
    }

    /// What to think of the figures where others used the machine when the comparison started.
    pub fn warning(&self) -> Option<String> {
        let minute: f64 = self.load.split(' ').next()?.parse().ok()?;
        (minute > BUSY).then(|| {
            format!(
                "The machine was not idle: its load average was {minute} at the start. Threads that wait for each \
                 other lose the most by that, so that these figures compare nothing."
            )
        })
    }
}

/// Python's own version and those of the peers.
fn peers(python: &Path, root: &Path) -> Result<Vec<(&'static str, String)>, String> {
    const SCRIPT: &str = "\
import importlib.metadata as m, json, platform, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return 'not installed'
print(json.dumps({'python': platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}))";
    let mut arguments = vec!["-c", SCRIPT];
    arguments.extend(PACKAGES.iter().map(|(_, package)| *package));
    let found = answer(python, &arguments, root)
        .and_then(|text| last_json_object(&text))
        .ok_or_else(|| {
            format!(
                "{} does not say which versions it has: it must be Python 3.8 or newer",
                python.display()
            )
        })?;
    Ok([("Python", "python")]
        .iter()
        .chain(&PACKAGES)
        .map(|(name, key)| {
            let version = found.get(*key).and_then(Value::as_str);
            (*name, version.unwrap_or(UNKNOWN).to_owned())
        })
        .collect())
}

/// The version of a package in the text of `Cargo.lock`.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines();
    let name = format!("name = \"{package}\"");
    lines.find(|line| *line == name)?;
    let version = lines.next()?.strip_prefix("version = \"")?;
    version.strip_suffix('"').map(str::to_owned)
}

/// The processor's name as the system gives it, or its architecture where the system gives none.
fn processor(root: &Path) -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| processor_in(&text))
        .or_else(|| answer("sysctl", &["-n", "machdep.cpu.brand_string"], root))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The first processor's name in the text of Linux's `/proc/cpuinfo`.
fn processor_in(cpuinfo: &str) -> Option<String> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, value)| key.trim() == "model name" && !value.trim().is_empty())
        .map(|(_, value)| value.trim().to_owned())
}

/// The load average over 1, 5 and 15 minutes, where the system has Linux's `/proc`.
pub fn load() -> String {
    match fs::read_to_string("/proc/loadavg") {
        Ok(text) => text.split(' ').take(3).collect::<Vec<_>>().join(" "),
        Err(_) => UNKNOWN.to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected;
    [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("sve", is_aarch64_feature_detected!("sve")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

/// The day of a time in UTC, `YYYY-MM-DD`; 1970-01-01 for a clock before it.
fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years begin in March, so that
    // the leap day is a year's last, and 400 years have 146,097 days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = match month_from_march {
        0..10 => month_from_march + 3,
        _ => month_from_march - 9,
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_the_day_in_utc() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            let last_second = Duration::from_secs(days * 86_400 + 86_399);
            assert_eq!(date(UNIX_EPOCH + last_second), expected);
        }
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01");
    }

    #[test]
    fn a_locked_version_is_that_of_the_package_itself() {
        let lock = "[[package]]\nname = \"burn-core\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"burn\"\nversion = \"0.22.1\"\n";
        assert_eq!(locked_version(lock, "burn").as_deref(), Some("0.22.1"));
        assert_eq!(locked_version(lock, "bur"), None);
    }

    #[test]
    fn the_processor_is_the_first_that_has_a_name() {
        let text = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nmodel name\t: other\n";
        assert_eq!(processor_in(text).as_deref(), Some("AMD EPYC"));
        assert_eq!(processor_in("processor : 0\n"), None);
    }

    #[test]
    fn this_machine_can_be_read_without_peers() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let host = Host::read(root, None, load()).unwrap();
        let burn = host.versions.iter().find(|(name, _)| *name == "Burn");
        assert_ne!(burn.unwrap().1, UNKNOWN);
        assert!(host.cores > 0);
    }

    #[test]
    fn a_busy_machine_brings_a_warning() {
        let mut host = super::super::report::tests::host();
        for (load, warned) in [
            ("0.10 3.00 3.00", false),
            ("1.49 0.10 0.10", true),
            (UNKNOWN, false),
        ] {
            host.load = load.to_owned();
            assert_eq!(host.warning().is_some(), warned, "{load}");
        }
    }

    #[test]
    fn an_interpreter_that_does_not_answer_is_named() {
        let message = peers(Path::new("no-such-python"), Path::new(".")).unwrap_err();
        assert!(message.starts_with("no-such-python does not say"));
    }
}
