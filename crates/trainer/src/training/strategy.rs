//! The loop over epochs and steps, inside burn-train's `SupervisedTraining`.
//!
//! It stands in for burn-train's own loop because a run here may begin and end inside an epoch, saves
//! itself as one checkpoint, keeps its own exact figures for its files, and stops at a loss that is no
//! number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::data::dataloader::{DataLoaderIterator, Progress};
use burn::tensor::Device;
use burn_train::metric::store::EventStoreClient;
use burn_train::{
    ClassificationOutput, EventProcessorTraining, Interrupter, Learner, LearnerEvent,
    SupervisedLearningStrategy, SupervisedTrainingEventProcessor, TrainLoader, TrainingComponents,
    TrainingItem, ValidLoader,
};

use super::classifier::Classifier;
use super::log::EpochLine;
use super::record::Figures;
use super::replicas::Replicas;
use super::session::{Session, Step};
use super::unread::{Reading, Unread};
use super::{TrainError, gradient};
use crate::batches::Batch;
use crate::recipe::GradientSpec;
use crate::run::MetricsRow;

/// Where and for how long to train.
pub struct Loop {
    /// The device to train on, with autodiff.
    pub device: Device,
    /// Steps of the whole run.
    pub steps: u64,
    /// The devices that compute with it.
    pub replicas: Replicas,
    /// How gradients are made.
    pub gradients: GradientSpec,
    /// Epochs without a better one after which the run ends; 0 for none.
    pub patience: u64,
    /// Whether a loss is at hand as soon as it is computed, as on a processor. Elsewhere to look at one is
    /// to wait for the device.
    pub at_hand: bool,
    /// The run. It is shared with the caller, who learns there how it went.
    pub session: Arc<Mutex<Session>>,
}

type Processor = SupervisedTrainingEventProcessor<Classifier>;

/// What burn-train gives to a run.
struct Harness {
    learner: Learner<Classifier>,
    processor: Processor,
    interrupter: Interrupter,
    events: Arc<EventStoreClient>,
    epochs: u64,
}

impl Harness {
    /// Tells burn-train of something in training.
    fn train_event(&mut self, event: LearnerEvent<ClassificationOutput>) {
        self.interrupter
            .fail_on_error(self.processor.process_train(event));
    }

    /// Tells burn-train of something in validation.
    fn valid_event(&mut self, event: LearnerEvent<ClassificationOutput>) {
        self.interrupter
            .fail_on_error(self.processor.process_valid(event));
    }
}

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
        let mut harness = Harness {
            learner,
            processor: components.event_processor,
            interrupter: components.interrupter,
            events: components.event_store,
            epochs: components.num_epochs as u64,
        };
        let mut session = lock(&self.session);
        session.clock = (Instant::now(), session.record.seconds);
        for epoch in starting_epoch as u64..=harness.epochs {
            if session.record.ends_before(epoch, self.patience) {
                break;
            }
            match self.epoch(&mut session, &mut harness, &train, &valid, epoch) {
                Ok(()) if session.stopped => break,
                Ok(()) => {}
                Err(error) => {
                    session.error = Some(error);
                    break;
                }
            }
        }
        session.read_clock();
        (harness.learner.model(), harness.processor)
    }
}

impl Loop {
    /// Trains what is left of an epoch, validates, and saves.
    fn epoch(
        &self,
        session: &mut Session,
        harness: &mut Harness,
        train: &TrainLoader<Classifier>,
        valid: &ValidLoader<Classifier>,
        epoch: u64,
    ) -> Result<(), TrainError> {
        let epoch_start = Instant::now();
        harness.train_event(LearnerEvent::StartSplit {
            epoch_number: epoch as usize,
            total_items: train.num_items(),
        });
        let trained = self.train_epoch(session, harness, &mut *train.iter());
        harness.train_event(LearnerEvent::EndSplit(epoch as usize));
        let mut save = trained?;
        let valid_figures = if valid.num_items() > 0 && !harness.interrupter.should_stop() {
            harness.valid_event(LearnerEvent::StartSplit {
                epoch_number: epoch as usize,
                total_items: valid.num_items(),
            });
            let counting = session.averages.counting(&harness.learner.model());
            let figures = validate(harness, &counting, &mut *valid.iter());
            harness.valid_event(LearnerEvent::EndSplit(epoch as usize));
            Some(figures?)
        } else {
            None
        };
        if harness.interrupter.should_stop() {
            // What validation has done is done again after a resumption.
            return session.stop(&harness.learner, &harness.events, &harness.interrupter);
        }
        harness.train_event(LearnerEvent::EndEpoch(epoch as usize));
        let figures = session.figures.clone();
        let line = EpochLine {
            epoch,
            epochs: harness.epochs,
            row: MetricsRow {
                epoch,
                step: session.record.steps,
                train_loss: figures.loss.value(),
                train_accuracy: figures.hits.value(),
                valid_loss: valid_figures.as_ref().and_then(|f| f.loss.value()),
                valid_accuracy: valid_figures.as_ref().and_then(|f| f.hits.value()),
                learning_rate: figures.learning_rate,
                seconds: epoch_start.elapsed().as_secs_f64(),
                images_per_second: figures.hits.count() / figures.seconds,
            },
        };
        save |= session.end_epoch(&harness.learner, &line)?;
        let over = session.record.ends_before(epoch + 1, self.patience);
        if over && epoch < harness.epochs {
            session.log.line(&format!(
                "no epoch of the last {} was better than the best, so the run ends",
                self.patience
            ))?;
        }
        save |= session.saver.is_due_after_epoch(epoch) || over || epoch == harness.epochs;
        if save {
            session.save(&harness.learner, &harness.events)?;
        }
        if harness.interrupter.should_stop() && epoch < harness.epochs {
            return session.stop(&harness.learner, &harness.events, &harness.interrupter);
        }
        Ok(())
    }

    /// Trains what is left of an epoch, or until the run is told to stop. Says whether a checkpoint
    /// that was due after the last step is still to be made: it waits for the validation.
    fn train_epoch(
        &self,
        session: &mut Session,
        harness: &mut Harness,
        batches: &mut dyn DataLoaderIterator<Batch>,
    ) -> Result<bool, TrainError> {
        let clock = (Instant::now(), session.figures.seconds);
        let (mut unread, first) = (Unread::default(), session.record.steps);
        let trained = self.steps(session, harness, batches, &mut unread, clock);
        // Steps before one that failed count, and one of them may be what was wrong.
        let (read, progress) = (unread.read(), batches.progress());
        note(session, harness, read, self.steps, clock, progress)?;
        session.log.note(&format!(
            "read the figures of {} steps in {} waits for the device",
            session.record.steps - first,
            unread.reads()
        ))?;
        trained
    }

    /// The steps of [`Loop::train_epoch`]. The figures of the last ones are left unread.
    fn steps(
        &self,
        session: &mut Session,
        harness: &mut Harness,
        batches: &mut dyn DataLoaderIterator<Batch>,
        unread: &mut Unread<Step>,
        clock: (Instant, f64),
    ) -> Result<bool, TrainError> {
        let mut due = false;
        loop {
            let step = session.record.steps + unread.len() as u64 + 1;
            if step > self.steps || harness.interrupter.should_stop() {
                return Ok(due);
            }
            let Some(batch) = batches.next() else {
                return Ok(due);
            };
            if due {
                session.save(&harness.learner, &harness.events)?;
            }
            let batch = batch.map_err(|error| TrainError::Learner(error.to_string()))?;
            self.step(session, harness, batch, unread, step)?;
            due = session.saver.is_due_after_step(step);
            if due || unread.is_due() {
                // A checkpoint has the figures of every step before it.
                let read = if due {
                    unread.read()
                } else {
                    unread.read_due()
                };
                let progress = batches.progress();
                note(session, harness, read, self.steps, clock, progress)?;
            }
        }
    }

    /// The run's step `step`, counted from 1.
    fn step(
        &self,
        session: &mut Session,
        harness: &mut Harness,
        batch: Batch,
        unread: &mut Unread<Step>,
        step: u64,
    ) -> Result<(), TrainError> {
        let start = Instant::now();
        let learner = &mut harness.learner;
        let parts = self.gradients.accumulate;
        let output = if self.replicas.count() == 1 && parts == 1 {
            let output = session.recorder.step(&learner.model(), &batch);
            if let Some(news) = session.recorder.news() {
                session.log.note(&news)?;
            }
            output
        } else {
            self.replicas.of_batch(&learner.model(), &batch, parts)
        };
        if self.at_hand {
            let loss = output.item.loss.clone().try_into_scalar::<f64>();
            let loss = loss.map_err(TrainError::device)?;
            if !loss.is_finite() {
                return Err(TrainError::Loss {
                    step,
                    loss,
                    norm: Some(gradient::norm(&learner.model(), &output.grads)?),
                });
            }
        }
        let grads = match self.gradients.clip_norm {
            0.0 => output.grads,
            most => gradient::clipped(&learner.model(), output.grads, most)?,
        };
        learner.lr_step();
        learner.optimizer_step(grads);
        session.averages.follow(learner, step);
        let known = Step {
            learning_rate: learner.lr_current(),
            seconds: start.elapsed().as_secs_f64(),
        };
        unread.push(output.item, known);
        Ok(())
    }
}

/// Notes each step whose figures were read: in the run's record, its tables, its log, and
/// all of them as one event for burn-train. `clock` is when the epoch's steps began, and the seconds of those
/// before.
fn note(
    session: &mut Session,
    harness: &mut Harness,
    read: Result<Option<Reading<Step>>, TrainError>,
    steps: u64,
    (start, seconds_before): (Instant, f64),
    progress: Progress,
) -> Result<(), TrainError> {
    let Some(Reading {
        batches,
        item,
        waited,
    }) = read?
    else {
        return Ok(());
    };
    // The steps share the time for which the device was waited.
    let waited = waited / batches.len() as f64;
    session.figures.seconds = seconds_before + start.elapsed().as_secs_f64();
    let mut rate = None;
    for (mut step, figures) in batches {
        step.seconds += waited;
        session.end_step(&step, figures, steps)?;
        rate = Some(step.learning_rate);
    }
    let iteration = Some(session.place.step as usize);
    let item = TrainingItem::new(item, progress, iteration, rate);
    harness.train_event(LearnerEvent::ProcessedItem(item));
    Ok(())
}

/// Means over the hold-out, or what was done of it when the run was told to stop.
fn validate(
    harness: &mut Harness,
    classifier: &Classifier,
    batches: &mut dyn DataLoaderIterator<Batch>,
) -> Result<Figures, TrainError> {
    let classify = classifier.folded();
    let (mut figures, mut unread) = (Figures::default(), Unread::default());
    let mut iteration = 0;
    loop {
        let next = match harness.interrupter.should_stop() {
            true => None,
            false => batches.next(),
        };
        let over = next.is_none();
        if let Some(batch) = next {
            let batch = batch.map_err(|error| TrainError::Learner(error.to_string()))?;
            iteration += 1;
            unread.push(classify(batch), ());
        }
        let read = match over {
            true => unread.read()?,
            false if unread.is_due() => unread.read_due()?,
            false => None,
        };
        if let Some(Reading {
            batches: read,
            item,
            ..
        }) = read
        {
            read.iter().for_each(|(_, batch)| figures.add(*batch));
            let item = TrainingItem::new(item, batches.progress(), Some(iteration), None);
            harness.valid_event(LearnerEvent::ProcessedItem(item));
        }
        if over {
            return Ok(figures);
        }
    }
}

/// A poisoned lock only says that another thread panicked; what it guards is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
