//! Figures of batches that stay on the device until several are read at once.
//!
//! To read one is to wait until the device has done everything before it. So losses and predictions
//! are kept where they were computed, and read in one go every [`EVERY`], which is as often as a
//! dashboard can show them. Values are those of each batch, whenever they are read.
//!
//! A worker is asked for them one reading ahead, so that it and the way to it are never waited for empty-handed.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_train::ClassificationOutput;

use super::TrainError;
use super::read::ReadAtOnce;
use crate::run::CLASSES;

/// How long a batch's figures may wait to be read.
const EVERY: Duration = Duration::from_millis(50);

/// The most batches that may wait, beside those that a worker was asked for: a device that takes longer for a batch than it takes to ask for
/// it would otherwise fall ever further behind.
const MOST: usize = 32;

/// Batches whose figures have not been read, each with what is known of it already.
pub struct Unread<T> {
    /// Those that a worker was asked for.
    asked: Option<Asked<T>>,
    /// Those after them, of which nothing was asked.
    waiting: Vec<Waiting<T>>,
    last_asked: Instant,
    reads: u64,
}

struct Waiting<T> {
    output: ClassificationOutput,
    known: T,
}

/// Batches whose figures are on their way.
struct Asked<T> {
    reading: ReadAtOnce,
    /// What is known of each batch, and its images.
    known: Vec<(T, usize)>,
}

/// What was read.
pub struct Reading<T> {
    /// The batches in their order.
    pub batches: Vec<(T, BatchFigures)>,
    /// All of them as one batch, with a loss for each and certain predictions in place of logits, in the host's
    /// memory: for burn-train, which would read the device once more.
    pub item: ClassificationOutput,
    /// Seconds for which the device was waited for.
    pub waited: f64,
}

/// A batch's figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchFigures {
    /// Its mean loss.
    pub loss: f64,
    /// Images whose class was found.
    pub hits: u64,
    /// Its images.
    pub images: usize,
}

impl<T> Default for Unread<T> {
    fn default() -> Self {
        Self {
            asked: None,
            waiting: Vec::new(),
            last_asked: Instant::now(),
            reads: 0,
        }
    }
}

impl<T> Unread<T> {
    /// Keeps a batch's figures where they are.
    pub fn push(&mut self, output: ClassificationOutput, known: T) {
        // With its graph a batch would keep everything that was computed from its images.
        let output = ClassificationOutput::new(
            output.loss.without_autodiff(),
            output.output.without_autodiff(),
            output.targets.without_autodiff(),
        );
        self.waiting.push(Waiting { output, known });
    }

    /// Batches that were not read.
    pub fn len(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.known.len());
        asked + self.waiting.len()
    }

    /// Whether it is time to read.
    pub fn is_due(&self) -> bool {
        self.waiting.len() >= MOST || self.last_asked.elapsed() >= EVERY
    }

    /// How often the device was waited for.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// Reads the figures of all batches; nothing where none waits.
    ///
    /// # Errors
    /// [`TrainError::Device`] where they cannot be read from the device.
    pub fn read(&mut self) -> Result<Option<Reading<T>>, TrainError> {
        let asked = [self.asked.take(), self.ask()];
        self.answers(asked.into_iter().flatten().collect())
    }

    /// As [`Unread::read`], but those that a worker is asked for now are read the next time: by then they have
    /// come, while it had work to go on with.
    ///
    /// # Errors
    /// As there.
    pub fn read_due(&mut self) -> Result<Option<Reading<T>>, TrainError> {
        let earlier = self.asked.take();
        let mut asked = self.ask();
        if let Some(asked) = asked.take_if(|asked| asked.reading.is_under_way()) {
            self.asked = Some(asked);
        }
        self.answers([earlier, asked].into_iter().flatten().collect())
    }

    /// Asks for the figures of all batches of which nothing was asked.
    fn ask(&mut self) -> Option<Asked<T>> {
        let device = self.waiting.first()?.output.loss.device();
        let mut reading = ReadAtOnce::of(&device);
        let mut known = Vec::with_capacity(self.waiting.len());
        for batch in self.waiting.drain(..) {
            let ClassificationOutput {
                loss,
                output,
                targets,
            } = batch.output;
            let [images] = targets.dims();
            known.push((batch.known, images));
            // Each tensor is read for itself: one that a device could not compute would be lost in a
            // tensor of them all, whose other parts were written.
            let classes: Tensor<1, Int> = output.argmax(1).squeeze_dim(1);
            reading = reading.register(loss).register(classes).register(targets);
        }
        self.last_asked = Instant::now();
        Some(Asked {
            reading: reading.asked(),
            known,
        })
    }

    /// Waits for the figures that were asked for.
    fn answers(&mut self, asked: Vec<Asked<T>>) -> Result<Option<Reading<T>>, TrainError> {
        if asked.is_empty() {
            return Ok(None);
        }
        let begun = Instant::now();
        let mut known = Vec::new();
        let (mut losses, mut classes, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for asked in asked {
            let read = asked.reading.read().map_err(TrainError::device)?;
            for (index, data) in read.into_iter().enumerate() {
                let values = match index % 3 {
                    0 => &mut losses,
                    1 => &mut classes,
                    _ => &mut targets,
                };
                values.extend(data.iter::<f32>());
            }
            known.extend(asked.known);
        }
        let waited = begun.elapsed().as_secs_f64();
        self.reads += 1;
        let mut pairs = classes.iter().zip(&targets);
        let batches = known.into_iter().zip(&losses);
        let batches = batches.map(|((known, images), loss)| {
            let hits = pairs.by_ref().take(images).filter(|(a, b)| a == b).count();
            let figures = BatchFigures {
                loss: f64::from(*loss),
                hits: hits as u64,
                images,
            };
            (known, figures)
        });
        Ok(Some(Reading {
            batches: batches.collect(),
            item: on_host(&losses, &classes, &targets),
            waited,
        }))
    }
}

/// Losses, and predictions as rows that are one for the predicted class, in the host's memory.
fn on_host(losses: &[f32], classes: &[f32], targets: &[f32]) -> ClassificationOutput {
    let host = Device::flex();
    let mut rows = vec![0.0_f32; classes.len() * CLASSES];
    for (row, class) in rows.chunks_exact_mut(CLASSES).zip(classes) {
        if let Some(predicted) = row.get_mut(*class as usize) {
            *predicted = 1.0;
        }
    }
    let targets: Vec<i64> = targets.iter().map(|target| *target as i64).collect();
    let data = |values: &[f32]| TensorData::new(values.to_vec(), [values.len()]);
    ClassificationOutput::new(
        Tensor::from_data(data(losses), &host),
        Tensor::from_data(TensorData::new(rows, [classes.len(), CLASSES]), &host),
        Tensor::from_data(TensorData::new(targets, [classes.len()]), &host),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    fn batch(loss: f32, targets: &[i64], hits: usize) -> ClassificationOutput {
        batch_on(&Device::flex(), loss, targets, hits)
    }

    /// A batch whose images have the classes `targets` and of which the first `hits` are found.
    fn batch_on(device: &Device, loss: f32, targets: &[i64], hits: usize) -> ClassificationOutput {
        let device = device.clone().autodiff();
        let mut logits = vec![0.5_f32; targets.len() * CLASSES];
        for (index, target) in targets.iter().enumerate() {
            let wrong = usize::from(index >= hits);
            logits[index * CLASSES + (*target as usize + wrong) % CLASSES] = 2.0;
        }
        ClassificationOutput::new(
            Tensor::from_data([loss], &device).require_grad(),
            Tensor::from_data(TensorData::new(logits, [targets.len(), CLASSES]), &device),
            Tensor::from_data(TensorData::new(targets.to_vec(), [targets.len()]), &device),
        )
    }

    #[test]
    fn batches_of_any_size_are_read_at_once_in_their_order() {
        let mut unread = Unread::default();
        assert!(unread.read().unwrap().is_none());
        assert_eq!(unread.reads(), 0);
        unread.push(batch(0.25, &[3, 4, 9, 0], 3), "first");
        unread.push(batch(f32::NAN, &[1], 1), "second");
        unread.push(batch(7.5, &[2, 2], 0), "third");
        let Reading { batches, item, .. } = unread.read().unwrap().unwrap();
        let names: Vec<_> = batches.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["first", "second", "third"]);
        let of = |index: usize| batches[index].1;
        assert_eq!((of(0).loss, of(0).hits, of(0).images), (0.25, 3, 4));
        assert!(of(1).loss.is_nan());
        assert_eq!((of(1).hits, of(1).images), (1, 1));
        assert_eq!((of(2).loss, of(2).hits, of(2).images), (7.5, 0, 2));
        assert_eq!((unread.len(), unread.reads()), (0, 1));

        let found = item
            .output
            .argmax(1)
            .squeeze_dim::<1>(1)
            .equal(item.targets);
        let found: Vec<bool> = found.into_data().iter().collect();
        assert_eq!(found, [true, true, true, false, true, false, false]);
        assert_eq!(item.loss.dims(), [3]);
    }

    #[test]
    fn figures_are_due_after_some_batches_or_some_time() {
        let mut unread = Unread::default();
        for number in 0..MOST {
            unread.last_asked = Instant::now();
            assert!(!unread.is_due(), "{number} batches");
            unread.push(batch(1.0, &[0], 1), ());
        }
        assert!(unread.is_due());
        assert_eq!(unread.read().unwrap().unwrap().batches.len(), MOST);
        assert!(!unread.is_due());
        unread.push(batch(1.0, &[0], 1), ());
        std::thread::sleep(EVERY);
        assert!(unread.is_due());
    }

    /// The losses of what was read.
    fn losses(reading: Option<Reading<u32>>) -> Vec<(u32, f64)> {
        let batches = reading.map(|reading| reading.batches).unwrap_or_default();
        let loss = |(number, figures): (u32, BatchFigures)| (number, figures.loss);
        batches.into_iter().map(loss).collect()
    }

    #[test]
    fn a_device_of_this_machine_gives_what_is_due_at_once() {
        let mut unread = Unread::default();
        unread.push(batch(0.5, &[0], 1), 1);
        assert_eq!(losses(unread.read_due().unwrap()), [(1, 0.5)]);
        assert_eq!(unread.len(), 0);
        assert!(unread.read_due().unwrap().is_none());
    }

    #[cfg(feature = "remote")]
    #[test]
    fn a_worker_is_asked_one_reading_ahead_and_gives_everything_at_the_end() {
        let device = crate::remote::local::worker();
        let mut unread = Unread::default();
        let push = |unread: &mut Unread<u32>, number: u32| {
            unread.push(batch_on(&device, number as f32, &[3, 4], 1), number);
        };
        push(&mut unread, 1);
        push(&mut unread, 2);
        assert!(unread.read_due().unwrap().is_none());
        assert_eq!((unread.len(), unread.reads()), (2, 0));
        push(&mut unread, 3);
        assert_eq!(losses(unread.read_due().unwrap()), [(1, 1.0), (2, 2.0)]);
        assert_eq!((unread.len(), unread.reads()), (1, 1));
        push(&mut unread, 4);
        assert_eq!(losses(unread.read().unwrap()), [(3, 3.0), (4, 4.0)]);
        assert_eq!((unread.len(), unread.reads()), (0, 2));
        assert!(unread.read().unwrap().is_none());
    }
}
