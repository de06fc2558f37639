//! A run's last files.

use burn_train::Interrupter;
use model::Network;

use super::session::Session;
use super::{Classifier, Run, TrainError, weights};
use crate::recipe::{Select, Tta};
use crate::remote;
use crate::run::{self, Event, Prediction, RunResult, RunState};
use crate::statistics::{self, percent};
use crate::{calibration, evaluation};

/// What the selected weights give; nothing of it where a run was not tested.
#[derive(Debug, Default)]
struct Tested {
    accuracy: Option<f64>,
    augmented: Option<f64>,
    temperature: Option<f64>,
    calibration_error: Option<f64>,
    calibration_error_scaled: Option<f64>,
}

impl Run<'_> {
    /// Saves the weights that the recipe selects, tests them unless the run was interrupted, and writes
    /// the result.
    pub(super) fn finish(
        &self,
        classifier: Classifier,
        session: &mut Session,
        interrupter: &Interrupter,
    ) -> Result<RunResult, TrainError> {
        let folder = self.folder;
        let mut network = session.averages.counting(&classifier).network;
        if self.recipe.select == Select::Best && !session.stopped {
            let best = session.saver.best_weights().cloned().ok_or_else(|| {
                TrainError::load(
                    folder.path(),
                    "no epoch was validated, so there is no best one",
                )
            })?;
            network = weights::from_bytes(network, best)
                .map_err(|error| TrainError::load(folder.path(), error))?;
        }
        weights::save(&network, &folder.model_burnpack())?;
        weights::save_safetensors(&network, &folder.model_safetensors())?;
        let tested = if session.stopped {
            Tested::default()
        } else {
            match self.test(&network, session, interrupter) {
                // Training is over and saved, so that a resumption begins with the test.
                Err(TrainError::Interrupted) => {
                    session.stopped = true;
                    Tested::default()
                }
                other => other?,
            }
        };
        let state = if session.stopped {
            RunState::Interrupted
        } else {
            RunState::Finished
        };
        let result = self.result(session, state, tested, None);
        session.tables.event(&Event::Ended(&result))?;
        result.write(&folder.result())?;
        Ok(result)
    }

    /// The accuracies on the test set, plain and augmented, and its calibration by the hold-out. The plain
    /// answers are written too.
    fn test(
        &self,
        network: &Network,
        session: &mut Session,
        interrupter: &Interrupter,
    ) -> Result<Tested, TrainError> {
        let (folder, loader) = (self.folder, &self.loaders.test);
        let (verbosity, stop) = (self.options.verbosity, || interrupter.should_stop());
        let predict =
            |loader, tta| evaluation::predict(network, loader, self.device, tta, verbosity, &stop);
        session.log.line(&match self.recipe.tta.views() {
            1 => format!("testing on {} images", loader.len()),
            views => format!(
                "testing on {} images, and again in {views} views each",
                loader.len()
            ),
        })?;
        let test = predict(loader, Tta::None)?;
        let augmented = match self.recipe.tta {
            Tta::None => None,
            tta => Some(statistics::accuracy(&predict(loader, tta)?).share),
        };
        let holdout = predict(&self.loaders.valid, Tta::None)?;
        let tested = Tested {
            accuracy: Some(statistics::accuracy(&test).share),
            augmented,
            ..calibrated(&holdout, &test, session)?
        };
        run::write_predictions(&folder.predictions(), &cifar10::CLASS_NAMES, &test)?;
        let confusion = run::confusion(&test)?;
        run::write_confusion(&folder.confusion(), &cifar10::CLASS_NAMES, &confusion)?;
        Ok(tested)
    }

    /// Notes in the run's folder that it failed, and says how far it is saved.
    pub(super) fn fail(&self, error: TrainError, session: &mut Session) -> TrainError {
        let error = match error {
            TrainError::Device(reason) => {
                TrainError::of_reason(reason, self.recipe.batch_size, TrainError::Device)
            }
            TrainError::Learner(reason) => {
                TrainError::of_reason(reason, self.recipe.batch_size, TrainError::Learner)
            }
            other => other,
        };
        // Whatever failed, without its worker the run could not have gone on.
        let error = remote::lost().map_or(error, |lost| TrainError::DeviceOpen(lost.into()));
        session.read_clock();
        let result = self.result(
            session,
            RunState::Failed,
            Tested::default(),
            Some(error.to_string()),
        );
        // The disk may be what failed; the error itself is the one to report.
        let _ = result.write(&self.folder.result());
        let _ = session.tables.event(&Event::Ended(&result));
        let _ = session.log.note(&format!("error: {error}"));
        TrainError::Ended {
            source: Box::new(error),
            kept: session.saver.kept(),
            folder: self.folder.path().to_owned(),
        }
    }

    fn result(
        &self,
        session: &Session,
        state: RunState,
        tested: Tested,
        error: Option<String>,
    ) -> RunResult {
        let record = &session.record;
        RunResult {
            recipe: self.recipe.name.clone(),
            network: self.recipe.network.clone(),
            backend: self.options.device.backend.name().to_owned(),
            seed: self.recipe.seed,
            dataset: self.recipe.data.source.name().to_owned(),
            epochs: if self.ends_early(session) {
                (session.place.epoch - 1) as f64
            } else {
                self.recipe.epochs
            },
            steps: record.steps,
            train_loss: record.train_loss,
            valid_accuracy: record.valid_accuracy,
            best_epoch: record.best.map(|best| best.epoch),
            best_valid_accuracy: record.best.map(|best| best.accuracy),
            test_accuracy: tested.accuracy,
            test_accuracy_tta: tested.augmented,
            temperature: tested.temperature,
            test_calibration_error: tested.calibration_error,
            test_calibration_error_scaled: tested.calibration_error_scaled,
            state,
            error,
            seconds: record.seconds,
            images_per_second: record.images as f64 / record.seconds,
        }
    }
}

/// The temperature that the hold-out asks for, and what it does to the answers on the test set.
fn calibrated(
    holdout: &[Prediction],
    test: &[Prediction],
    session: &mut Session,
) -> Result<Tested, TrainError> {
    let error = |predictions: &[Prediction]| statistics::calibration(predictions).error;
    let before = error(test);
    let mut line = format!("expected calibration error {}", percent(before));
    let mut tested = Tested {
        calibration_error: Some(before),
        ..Tested::default()
    };
    match calibration::temperature(holdout) {
        Ok(temperature) => {
            let after = error(&calibration::scaled(test, temperature));
            line += &format!(
                ", {} with the hold-out's temperature {temperature:.3}",
                percent(after)
            );
            tested.temperature = Some(temperature);
            tested.calibration_error_scaled = Some(after);
        }
        Err(reason) => line += &format!("; no temperature: {reason}"),
    }
    session.log.line(&line)?;
    Ok(tested)
}
