//! The short check before the first training on an adapter.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Extent, Plan, Report};
use crate::device::adapters::{self, Adapter};
use crate::device::{BackendName, DeviceChoice, Precision};
use crate::progress::{self, Verbosity};
use crate::run;

/// A device gave wrong results.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{adapter} computes wrongly: {} beyond the bounds of a short check. See `trainer check` for the errors \
     and for what avoids them, train with `--backend ndarray`, install another driver, or go on all \
     the same with `--trust-device`", failed.join(", ")
)]
pub struct Distrust {
    /// The adapter's name.
    pub adapter: String,
    /// What is out of its bounds.
    pub failed: Vec<String>,
}

/// What a verdict holds for: another driver or program is checked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The adapter, as its driver names it.
    pub adapter: String,
    /// The driver and its version.
    pub driver: String,
    /// This program's version and commit, and how exactly it computes.
    pub program: String,
}

impl Subject {
    /// The subject that this program and `device` are.
    #[must_use]
    pub fn new(choice: &DeviceChoice, device: &Device) -> Self {
        let commit = option_env!("TRAINER_GIT_COMMIT").unwrap_or("unknown");
        let adapter = choice.describe(device);
        Self {
            driver: drivers(&adapter, &adapters::list()),
            adapter,
            program: format!(
                "{} {commit}, {}",
                env!("CARGO_PKG_VERSION"),
                choice.precision.name()
            ),
        }
    }

    /// The name of its file.
    fn file(&self) -> String {
        let text = [&*self.adapter, &*self.driver, &*self.program].join("\n");
        format!("{}.json", cifar10::checksum::sha256(text.as_bytes()))
    }
}

/// The drivers of the adapters of this name; all there are where none has it, so that a new driver is seen
/// in any case.
fn drivers(name: &str, adapters: &[Adapter]) -> String {
    let of_name = |adapter: &&Adapter| adapter.name == name;
    let known = adapters.iter().any(|adapter| of_name(&adapter));
    let drivers = adapters
        .iter()
        .filter(|adapter| !known || of_name(adapter))
        .map(|adapter| adapter.driver.as_str());
    drivers.collect::<Vec<_>>().join("; ")
}

/// The verdicts that were kept, a small file each. One that cannot be read counts as none.
#[derive(Debug, Clone)]
pub struct Verdicts {
    folder: PathBuf,
}

impl Verdicts {
    /// Those in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Those in the user's cache; nothing where the system names none.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let cache = cifar10::source::user_cache_dir().ok()?;
        Some(Self::in_folder(
            &cache.join("cifar10-trainer").join("devices"),
        ))
    }

    /// Whether `subject` has passed before.
    fn has_passed(&self, subject: &Subject) -> bool {
        run::read_json::<Subject>(&self.folder.join(subject.file()))
            .is_ok_and(|found| found == *subject)
    }

    /// Notes that `subject` passed. Where it cannot be noted, the next training checks again.
    fn note_passed(&self, subject: &Subject, verbosity: Verbosity) {
        let noted = std::fs::create_dir_all(&self.folder)
            .map_err(run::RunError::io("create", &self.folder))
            .and_then(|()| run::write_json(&self.folder.join(subject.file()), subject));
        if let Err(error) = noted {
            verbosity.note(&format!("the device's check could not be noted: {error}"));
        }
    }
}

/// Refuses a device that gives wrong results, unless the user trusts it all the same (`trust`). `check` is
/// run where `verdicts` does not know the device. Only passing is kept: a device that failed is checked
/// again, since a driver's fault may have been a passing one.
///
/// # Errors
/// [`Distrust`] with what is wrong.
pub fn require(
    subject: &Subject,
    verdicts: Option<&Verdicts>,
    trust: bool,
    verbosity: Verbosity,
    check: impl FnOnce() -> Report,
) -> Result<(), Distrust> {
    if trust || verdicts.is_some_and(|verdicts| verdicts.has_passed(subject)) {
        return Ok(());
    }
    let report = check();
    if !report.passed() {
        return Err(Distrust {
            adapter: subject.adapter.clone(),
            failed: report.failed().into_iter().map(str::to_owned).collect(),
        });
    }
    if let Some(verdicts) = verdicts {
        verdicts.note_passed(subject, verbosity);
    }
    Ok(())
}

/// Checks a GPU before the first training on it. Processors need none: their kernels are this program's
/// own, and its tests check them.
///
/// # Errors
/// [`Distrust`] where the device computes wrongly.
pub fn before_training(
    choice: &DeviceChoice,
    device: &Device,
    trust: bool,
    verbosity: Verbosity,
) -> Result<(), Distrust> {
    if choice.backend != BackendName::Wgpu {
        return Ok(());
    }
    if choice.precision == Precision::Half {
        // Linear layers, updates and evaluations compute so, and small faults show there alone.
        let single = DeviceChoice {
            precision: Precision::Fast,
            ..choice.clone()
        };
        checked(&single, device, trust, verbosity)?;
    }
    checked(choice, device, trust, verbosity)
}

fn checked(
    choice: &DeviceChoice,
    device: &Device,
    trust: bool,
    verbosity: Verbosity,
) -> Result<(), Distrust> {
    let subject = Subject::new(choice, device);
    let verdicts = Verdicts::of_user();
    require(&subject, verdicts.as_ref(), trust, verbosity, || {
        // Without names there is nothing to refuse.
        let Ok(plan) = Plan::new(Extent::Short, choice.precision, &[]) else {
            return Report::default();
        };
        let adapter = &subject.adapter;
        let in_half = match choice.precision {
            Precision::Half => " in half precision",
            Precision::Fast | Precision::Exact => "",
        };
        verbosity.note(&format!(
            "checking {adapter} before the first training on it{in_half}"
        ));
        let bar = progress::bar(verbosity, plan.len() as u64, "operations");
        let report = plan.run(device, &mut || bar.inc(1));
        bar.finish_and_clear();
        report
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::check::{Figure, Row};

    fn report(passed: bool) -> Report {
        let row = Row {
            name: "residual".to_owned(),
            value: Figure {
                error: Some(0.0),
                bound: 1.0,
            },
            gradient: None,
            milliseconds: 0.0,
            passed,
            remark: String::new(),
        };
        Report { rows: vec![row] }
    }

    fn subject(driver: &str) -> Subject {
        Subject {
            adapter: "an adapter".to_owned(),
            driver: driver.to_owned(),
            program: "1".to_owned(),
        }
    }

    #[test]
    fn a_device_is_checked_once_for_each_driver_and_a_failure_again_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::in_folder(&folder.path().join("not/yet/there"));
        let checks = Cell::new(0);
        let train = |driver: &str, passes: bool, trust: bool| {
            require(
                &subject(driver),
                Some(&verdicts),
                trust,
                Verbosity::Quiet,
                || {
                    checks.set(checks.get() + 1);
                    report(passes)
                },
            )
        };
        for _ in 0..2 {
            let distrust = train("1", false, false).unwrap_err();
            assert_eq!(distrust.failed, ["residual"]);
            for words in [
                "an adapter",
                "residual",
                "--trust-device",
                "--backend ndarray",
            ] {
                assert!(distrust.to_string().contains(words), "{distrust}");
            }
        }
        assert_eq!(checks.get(), 2);
        train("1", false, true).unwrap();
        assert_eq!(checks.get(), 2);
        train("1", true, false).unwrap();
        train("1", false, false).unwrap();
        assert_eq!(checks.get(), 3);
        train("2", false, false).unwrap_err();
        assert_eq!(checks.get(), 4);
    }

    #[test]
    fn a_damaged_verdict_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::in_folder(folder.path());
        let subject = subject("1");
        verdicts.note_passed(&subject, Verbosity::Quiet);
        assert!(verdicts.has_passed(&subject));
        for damaged in ["", "{", "{\"adapter\": \"another\"}"] {
            std::fs::write(folder.path().join(subject.file()), damaged).unwrap();
            assert!(!verdicts.has_passed(&subject));
        }
    }
}
