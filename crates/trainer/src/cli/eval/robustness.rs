//! `trainer eval --robustness`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cifar10::{Corruption, Severity};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::Eval;
use crate::cli::Outcome;
use crate::cli::options::Common;
use crate::cli::signals;
use crate::evaluation::{self, EvaluationError};
use crate::progress;
use crate::robustness::{Row, Subject, mean_accuracy};
use crate::run::RunFolder;
use crate::screen;
use crate::statistics::{self, percent};
use crate::trained::Trained;
use crate::training::datasets::{self, Data};

impl Eval {
    /// Evaluates on corrupted test images and prints a row a corruption as soon as it is there.
    pub(super) fn corrupted(
        &self,
        folder: &RunFolder,
        trained: &Trained,
        data: &Data,
        common: &Common,
    ) -> Outcome {
        let loaders = datasets::loaders(&trained.recipe, data)?;
        let subject = Subject {
            network: &trained.network,
            device: &trained.device,
            test: &data.test,
            config: loaders.test.config(),
            tta: self.tta,
            threads: common.device.choice()?.threads(),
        };
        let stopped = Arc::new(AtomicBool::new(false));
        signals::on_end({
            let stopped = stopped.clone();
            move || stopped.store(true, Ordering::SeqCst)
        })?;
        let stop = || stopped.load(Ordering::SeqCst);
        let verbosity = common.verbosity.choice();
        let total = loaders.test.len() as u64 + subject.images();
        let bar = progress::bar(verbosity, total, "images classified");
        let measured = self.measure(&subject, &loaders.test, common.json, &bar, &stop);
        bar.finish_and_clear();
        let (clean, rows) = match measured {
            Err(EvaluationError::Interrupted) => {
                verbosity.warn("interrupted before the last corruption");
                return Ok(ExitCode::from(130));
            }
            measured => measured?,
        };
        let mean = mean_accuracy(&rows);
        if common.json {
            println!(
                "{}",
                json!({
                    "run": folder.name(), "weights": self.weights, "images": data.test.len(),
                    "tta": self.tta.name(), "clean_accuracy": clean,
                    "mean_corruption_accuracy": mean,
                    "corruptions": rows.iter().map(object).collect::<Vec<_>>(),
                })
            );
        } else {
            println!(
                "{}: mean corruption accuracy {} of {} test images under {} corruptions in {} \
                 severities{}; clean {}",
                screen::escaped(&folder.name()),
                percent(mean),
                data.test.len(),
                rows.len(),
                Severity::ALL.len(),
                self.views(),
                percent(clean)
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The accuracy on clean images and the rows, each of which is printed unless JSON is asked for.
    fn measure(
        &self,
        subject: &Subject<'_>,
        clean: &cifar10::Loader,
        json: bool,
        bar: &ProgressBar,
        stop: &dyn Fn() -> bool,
    ) -> Result<(f64, Vec<Row>), EvaluationError> {
        let Subject {
            network, device, ..
        } = subject;
        let clean = evaluation::predict_beside(network, clean, device, self.tta, bar, stop)?;
        let clean = statistics::accuracy(&clean).share;
        let print = |line: String| {
            if !json {
                bar.suspend(|| println!("{line}"));
            }
        };
        print(line(
            "corruption",
            &Severity::ALL.map(|severity| severity.number().to_string()),
            "mean",
        ));
        let mut rows = Vec::with_capacity(Corruption::ALL.len());
        for row in subject.rows(bar, stop) {
            let row = row?;
            let accuracies = row.accuracies.map(percent);
            print(line(
                row.corruption.name(),
                &accuracies,
                &percent(row.mean()),
            ));
            rows.push(row);
        }
        Ok((clean, rows))
    }
}

/// A line of the table.
fn line(name: &str, accuracies: &[String; 5], mean: &str) -> String {
    let [one, two, three, four, five] = accuracies;
    format!("{name:18} {one:>7} {two:>7} {three:>7} {four:>7} {five:>7} {mean:>7}")
}

fn object(row: &Row) -> Value {
    json!({
        "name": row.corruption.name(), "accuracies": row.accuracies, "mean": row.mean(),
    })
}
