//! Metrics of the dashboard whose value is the latest one. Burn's own give the mean over an epoch, which
//! would not be what the log and the tables say.

use std::sync::Arc;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::tensor::TensorReadError;
use burn_train::metric::state::{FormatOptions, NumericMetricState};
use burn_train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};

/// A number of which the latest value counts.
#[derive(Clone)]
pub struct Latest {
    name: MetricName,
    attributes: NumericAttributes,
    decimals: usize,
    source: Source,
    state: NumericMetricState,
}

/// Where a number comes from.
#[derive(Clone)]
enum Source {
    /// The images since the epoch's first batch, and when that was.
    ImagesPerSecond(Option<(Instant, usize)>),
    /// The rate of the last step.
    LearningRate,
}

impl Latest {
    /// Images a second since the epoch began.
    #[must_use]
    pub fn images_per_second() -> Self {
        let unit = Some("images/s".to_owned());
        Self::new("Images per second", unit, 0, Source::ImagesPerSecond(None))
    }

    /// The learning rate of the weights without a group of their own.
    #[must_use]
    pub fn learning_rate() -> Self {
        Self::new("Learning rate", None, 3, Source::LearningRate)
    }

    fn new(name: &str, unit: Option<String>, decimals: usize, source: Source) -> Self {
        Self {
            name: Arc::new(name.to_owned()),
            attributes: NumericAttributes {
                unit,
                higher_is_better: true,
            },
            decimals,
            source,
            state: NumericMetricState::default(),
        }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(self.decimals)
    }
}

impl Source {
    /// The value after a step; nothing where there is none yet.
    fn read(&mut self, metadata: &MetricMetadata) -> Option<f64> {
        match self {
            Self::LearningRate => metadata.lr.as_ref().map(ModuleLearningRate::base),
            Self::ImagesPerSecond(start) => {
                let processed = metadata.progress.items_processed;
                // The first batch starts the clock and has no rate of its own.
                let (start, first) = *start.get_or_insert((Instant::now(), processed));
                let seconds = start.elapsed().as_secs_f64();
                (seconds > 0.0 && processed > first).then(|| (processed - first) as f64 / seconds)
            }
        }
    }
}

impl Metric for Latest {
    type Input = ();

    fn update(
        &mut self,
        _item: &(),
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        #[cfg(feature = "crash-points")]
        panic_if_asked(metadata.progress.items_processed);
        if let Some(value) = self.source.read(metadata) {
            self.state.reset();
            self.state.update(value, 1);
        }
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
        if let Source::ImagesPerSecond(start) = &mut self.source {
            *start = None;
        }
    }

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        self.attributes.clone().into()
    }
}

impl Numeric for Latest {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

/// `TRAINER_PANIC_AT=N` makes the thread of the metrics panic at image N of an epoch, for a test.
#[cfg(feature = "crash-points")]
#[allow(clippy::panic, reason = "a panic is what the test asks for")]
fn panic_if_asked(processed: usize) {
    let at = std::env::var("TRAINER_PANIC_AT").ok();
    if at
        .and_then(|at| at.parse().ok())
        .is_some_and(|at: usize| processed >= at)
    {
        panic!("a test asked for this panic");
    }
}
