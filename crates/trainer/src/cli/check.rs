//! `trainer check`.

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Common;
use crate::check::avoid::{self, Setting};
use crate::check::{Extent, Figure, Plan, Report};
use crate::device::{DeviceChoice, Precision};
use crate::progress::{self, Verbosity};

/// Check that a device computes what it should.
///
/// Every operation and every network, forward and backward, and twenty steps of a training, against the
/// same of Burn's own operations in double precision on the CPU. An error is the largest difference over
/// the largest value; with --precision half it is the norm of the difference over the norm. Exits 1 where
/// one is beyond its bound, and says which settings avoid it.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer check --backend wgpu --device discrete:0")]
pub struct Check {
    /// Checks this alone: an operation, a network, `batches` or `training`. May be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Checks batches, every operation, the smallest network and twenty steps, as before a first training on an
    /// adapter.
    #[arg(long)]
    short: bool,
    /// Tries no other settings after a failure.
    #[arg(long, hide = true)]
    no_advice: bool,
}

impl Check {
    /// Checks, and prints the table.
    pub fn run(&self, common: &Common) -> Outcome {
        let extent = if self.short {
            Extent::Short
        } else {
            Extent::Full
        };
        let choice = common.device.choice()?;
        let plan = Plan::new(extent, choice.precision, &self.only)?;
        let device = choice.open()?;
        let verbosity = common.verbosity.choice();
        let bar = progress::bar(verbosity, plan.len() as u64, "checks");
        let report = plan.run(&device, &mut || bar.inc(1));
        bar.finish_and_clear();
        let name = choice.describe(&device);
        let avoiding = if report.passed() || self.no_advice {
            Vec::new()
        } else {
            avoiding(&choice, &report, verbosity)?
        };
        if common.json {
            let avoided_by: Vec<&str> = avoiding.iter().map(|s| s.text.as_str()).collect();
            println!(
                "{}",
                serde_json::json!({
                    "backend": choice.backend.name(), "device": name, "passed": report.passed(),
                    "checks": report.rows, "avoided_by": avoided_by,
                })
            );
        } else {
            print(&report);
            println!("{}", verdict(&choice, &name, &report));
            if !report.passed() && !self.no_advice {
                println!("{}", advice(&avoiding));
            }
        }
        Ok(if report.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The settings with which what failed passes.
fn avoiding(
    choice: &DeviceChoice,
    report: &Report,
    verbosity: Verbosity,
) -> std::io::Result<Vec<Setting>> {
    let settings = avoid::settings(choice);
    let bar = progress::bar(verbosity, settings.len() as u64, "other settings");
    let failed = report.failed();
    let mut avoiding = Vec::new();
    for setting in settings {
        if setting.passes(&failed, choice.threads())? {
            avoiding.push(setting);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(avoiding)
}

fn print(report: &Report) {
    println!(
        "{:20} {:>8} {:>6} {:>8} {:>6} {:>9}",
        "", "error", "bound", "gradient", "bound", "ms"
    );
    for row in &report.rows {
        let [value, bound] = columns(Some(row.value));
        let [gradient, gradient_bound] = columns(row.gradient);
        let problem = if row.passed {
            String::new()
        } else {
            format!("  beyond its bound: {}", row.remark)
        };
        println!(
            "{:20} {value:>8} {bound:>6} {gradient:>8} {gradient_bound:>6} {:>9.1}{problem}",
            row.name, row.milliseconds,
        );
    }
}

/// An error and its bound for a person.
fn columns(figure: Option<Figure>) -> [String; 2] {
    let Some(Figure { error, bound }) = figure else {
        return ["-", "-"].map(str::to_owned);
    };
    let error = error.map_or_else(|| "none".to_owned(), |error| format!("{error:.1e}"));
    [error, format!("{bound:.0e}")]
}

fn verdict(choice: &DeviceChoice, name: &str, report: &Report) -> String {
    let backend = choice.backend.name();
    let name = match choice.precision {
        Precision::Half => format!("{name}, with images in half precision,"),
        Precision::Fast | Precision::Exact => name.to_owned(),
    };
    if report.passed() {
        return format!("{backend} on {name} computes what it should");
    }
    format!(
        "{backend} on {name} computes wrongly: {}",
        report.failed().join(", ")
    )
}

fn advice(avoiding: &[Setting]) -> String {
    let texts: Vec<&str> = avoiding
        .iter()
        .map(|setting| setting.text.as_str())
        .collect();
    if texts.is_empty() {
        return "no other setting of this program avoids it; install another driver".to_owned();
    }
    format!("these settings avoid it: {}", texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_stands_as_none_and_what_is_absent_as_a_dash() {
        let figure = |error| Figure { error, bound: 5e-5 };
        assert_eq!(columns(Some(figure(Some(1.2e-6)))), ["1.2e-6", "5e-5"]);
        assert_eq!(columns(Some(figure(None))), ["none", "5e-5"]);
        assert_eq!(columns(None), ["-", "-"]);
    }

    #[test]
    fn advice_names_the_settings_that_avoid_a_fault_or_says_that_there_is_none() {
        let choice = DeviceChoice {
            backend: crate::device::BackendName::Ndarray,
            device: crate::device::DeviceName::Default,
            threads: None,
            precision: Precision::Fast,
            token_file: None,
        };
        let settings = avoid::settings(&choice);
        let said = advice(&settings);
        assert!(said.contains("--precision exact"), "{said}");
        assert!(said.contains("CPU_KERNELS_ISA=portable"), "{said}");
        assert!(said.contains("--backend flex"), "{said}");
        assert!(advice(&[]).contains("another driver"));
    }
}
