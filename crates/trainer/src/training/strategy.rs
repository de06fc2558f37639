//! The loop over epochs and steps, inside burn-train's `SupervisedTraining`.
//!
//! It stands in for burn-train's own loop because a run here may end inside an epoch, keeps its own
//! exact figures for its files, and stops at a loss that is no number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::data::dataloader::DataLoaderIterator;
use burn::module::Module;
use burn::tensor::Device;
use burn::train::{
    ClassificationOutput, EventProcessorTraining, Interrupter, Learner, LearnerEvent,
    SupervisedLearningStrategy, SupervisedTrainingEventProcessor, TrainLoader, TrainingComponents,
    TrainingItem, ValidLoader,
};

use super::TrainError;
use super::classifier::{Batch, Classifier};
use super::log::{EpochLine, Log};
use super::mean::Mean;
use crate::run::{CsvLog, MetricsRow, StepRow};

/// What a run has done so far.
#[derive(Debug, Default)]
pub struct Record {
    /// Steps done, those of earlier parts of a resumed run included.
    pub steps: u64,
    /// Images trained on in this process.
    pub images: u64,
    /// Mean loss of the last epoch that was trained on.
    pub train_loss: Option<f64>,
    /// Validation accuracy after the last epoch, from 0 to 1.
    pub valid_accuracy: Option<f64>,
    /// The epoch with the highest validation accuracy, and that accuracy.
    pub best: Option<(u64, f64)>,
    /// Seconds from the first step's start to the last step's end, validation and saving included.
    pub seconds: f64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// What ended the run before its end.
    pub error: Option<TrainError>,
}

/// Where and for how long to train.
pub struct Loop {
    /// The device to train on, with autodiff.
    pub device: Device,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of a whole epoch.
    pub steps_per_epoch: u64,
    /// Where the weights of the best epoch go.
    pub best_weights: std::path::PathBuf,
    /// The run so far.
    pub record: Arc<Mutex<Record>>,
    /// The run's tables.
    pub tables: Mutex<(CsvLog<MetricsRow>, CsvLog<StepRow>)>,
    /// The lines of a run without a dashboard, and its `run.log`.
    pub log: Mutex<Log>,
    /// How often a run without a dashboard says how far it is.
    pub line_every: Duration,
}

type Processor = SupervisedTrainingEventProcessor<Classifier>;

impl SupervisedLearningStrategy<Classifier> for Loop {
    fn fit(
        &self,
        components: TrainingComponents<Classifier>,
        mut learner: Learner<Classifier>,
        train: TrainLoader<Classifier>,
        valid: ValidLoader<Classifier>,
        starting_epoch: usize,
    ) -> (Classifier, Processor) {
        let train = train.to_device(&self.device);
        let valid = valid.to_device(&self.device.clone().inner());
        learner.fork(&self.device);
        let mut processor = components.event_processor;
        let mut checkpointer = components.checkpointer;
        let interrupter = components.interrupter;
        let start = Instant::now();
        let mut record = lock(&self.record);
        let seconds_before = record.seconds;
        record.steps = (starting_epoch as u64 - 1) * self.steps_per_epoch;

        for epoch in starting_epoch..=components.num_epochs {
            let send = |result: Result<(), _>| interrupter.fail_on_error(result);
            send(processor.process_train(LearnerEvent::StartSplit {
                epoch_number: epoch,
                total_items: train.num_items(),
            }));
            let epoch_start = Instant::now();
            let outcome = self.train_epoch(
                &mut learner,
                &mut *train.iter(),
                &mut processor,
                &interrupter,
                &mut record,
                epoch,
            );
            send(processor.process_train(LearnerEvent::EndSplit(epoch)));
            let figures = match outcome {
                Ok(figures) => figures,
                Err(error) => {
                    record.error = Some(error);
                    break;
                }
            };
            record.train_loss = figures.loss.value();
            record.stopped = interrupter.should_stop();
            if record.stopped {
                break;
            }
            let valid_figures = (valid.num_items() > 0).then(|| {
                send(processor.process_valid(LearnerEvent::StartSplit {
                    epoch_number: epoch,
                    total_items: valid.num_items(),
                }));
                let figures = validate(&learner, &mut *valid.iter(), &mut processor, &interrupter);
                send(processor.process_valid(LearnerEvent::EndSplit(epoch)));
                figures
            });
            send(processor.process_train(LearnerEvent::EndEpoch(epoch)));
            record.seconds = seconds_before + start.elapsed().as_secs_f64();
            record.valid_accuracy = valid_figures.as_ref().and_then(|f| f.hits.value());
            let line = EpochLine {
                epoch: epoch as u64,
                epochs: components.num_epochs as u64,
                row: MetricsRow {
                    epoch: epoch as u64,
                    step: record.steps,
                    train_loss: figures.loss.value(),
                    train_accuracy: figures.hits.value(),
                    valid_loss: valid_figures.as_ref().and_then(|f| f.loss.value()),
                    valid_accuracy: record.valid_accuracy,
                    learning_rate: learner.lr_current().base(),
                    seconds: epoch_start.elapsed().as_secs_f64(),
                    images_per_second: figures.hits.count() / figures.seconds,
                },
            };
            if let Err(error) = self.end_epoch(&learner, &line, &mut record) {
                record.error = Some(error);
                break;
            }
            if let Some(checkpointer) = &mut checkpointer {
                send(processor.flush());
                checkpointer.checkpoint(&learner, epoch, &components.event_store);
            }
            record.stopped = interrupter.should_stop();
            if record.stopped {
                break;
            }
        }
        record.seconds = seconds_before + start.elapsed().as_secs_f64();
        (learner.model(), processor)
    }
}

/// Means over an epoch, and how long its steps took.
#[derive(Debug, Default)]
struct Figures {
    loss: Mean,
    hits: Mean,
    seconds: f64,
}

impl Figures {
    /// Adds a batch and gives its loss.
    fn add(&mut self, output: &ClassificationOutput) -> Result<f64, TrainError> {
        let loss = output
            .loss
            .clone()
            .try_into_scalar::<f64>()
            .map_err(TrainError::device)?;
        let classes = output.output.clone().argmax(1).squeeze_dim::<1>(1);
        let [count] = output.targets.dims();
        let hits = classes
            .equal(output.targets.clone())
            .int()
            .sum()
            .try_into_scalar::<i64>()
            .map_err(TrainError::device)?;
        self.loss.add(loss, count as f64);
        self.hits.add(hits as f64 / count as f64, count as f64);
        Ok(loss)
    }
}

impl Loop {
    fn train_epoch(
        &self,
        learner: &mut Learner<Classifier>,
        batches: &mut dyn DataLoaderIterator<Batch>,
        processor: &mut Processor,
        interrupter: &Interrupter,
        record: &mut Record,
        epoch: usize,
    ) -> Result<Figures, TrainError> {
        let start = Instant::now();
        let mut figures = Figures::default();
        let mut iteration = 0;
        while record.steps < self.steps
            && let Some(batch) = batches.next()
        {
            let step_start = Instant::now();
            let batch = batch.map_err(|error| TrainError::Learner(error.to_string()))?;
            let output = learner.train_step(batch);
            let loss = figures.add(&output.item)?;
            if !loss.is_finite() {
                return Err(TrainError::Loss {
                    step: record.steps + 1,
                    loss,
                });
            }
            learner.lr_step();
            learner.optimizer_step(output.grads);
            record.steps += 1;
            record.images += output.item.targets.dims()[0] as u64;
            iteration += 1;
            let rate = learner.lr_current();
            let row = StepRow {
                step: record.steps,
                epoch: epoch as u64,
                loss,
                learning_rate: rate.base(),
                seconds: step_start.elapsed().as_secs_f64(),
            };
            lock(&self.tables).1.append(&row)?;
            lock(&self.log).step(
                self.line_every,
                &row,
                self.steps,
                figures.hits.value(),
                figures.hits.count() / start.elapsed().as_secs_f64(),
            )?;
            let item =
                TrainingItem::new(output.item, batches.progress(), Some(iteration), Some(rate));
            interrupter.fail_on_error(processor.process_train(LearnerEvent::ProcessedItem(item)));
            if interrupter.should_stop() {
                break;
            }
        }
        figures.seconds = start.elapsed().as_secs_f64();
        Ok(figures)
    }

    /// Writes an epoch's row, its line and, where it is the best so far, its weights.
    fn end_epoch(
        &self,
        learner: &Learner<Classifier>,
        line: &EpochLine,
        record: &mut Record,
    ) -> Result<(), TrainError> {
        {
            let mut tables = lock(&self.tables);
            tables.0.append(&line.row)?;
            tables.0.flush()?;
            tables.1.flush()?;
        }
        lock(&self.log).epoch(line)?;
        let Some(accuracy) = line.row.valid_accuracy else {
            return Ok(());
        };
        if record.best.is_none_or(|(_, best)| accuracy > best) {
            record.best = Some((line.epoch, accuracy));
            super::weights::save(&learner.model().valid().network, &self.best_weights)?;
        }
        Ok(())
    }
}

fn validate(
    learner: &Learner<Classifier>,
    batches: &mut dyn DataLoaderIterator<Batch>,
    processor: &mut Processor,
    interrupter: &Interrupter,
) -> Figures {
    // Without the graph: forwards on tracked tensors would pile up.
    let classify = learner.model().valid().folded();
    let mut figures = Figures::default();
    let mut iteration = 0;
    while let Some(batch) = batches.next() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                interrupter.fail(error);
                break;
            }
        };
        iteration += 1;
        let output = classify(batch);
        if figures.add(&output).is_err() {
            break;
        }
        let item = TrainingItem::new(output, batches.progress(), Some(iteration), None);
        interrupter.fail_on_error(processor.process_valid(LearnerEvent::ProcessedItem(item)));
        if interrupter.should_stop() {
            break;
        }
    }
    figures
}

/// A poisoned lock only says that another thread panicked; what it guards is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
