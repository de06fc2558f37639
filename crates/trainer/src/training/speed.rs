//! Images a second, as a metric of the dashboard.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::TensorReadError;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};

/// Images a second since the epoch began.
#[derive(Clone)]
pub struct ImagesPerSecond {
    name: MetricName,
    state: NumericMetricState,
    start: Option<(Instant, usize)>,
}

impl ImagesPerSecond {
    /// A metric that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: Arc::new("Images per second".to_owned()),
            state: NumericMetricState::default(),
            start: None,
        }
    }
}

impl Default for ImagesPerSecond {
    fn default() -> Self {
        Self::new()
    }
}

impl Metric for ImagesPerSecond {
    type Input = ();

    fn update(
        &mut self,
        _item: &(),
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let processed = metadata.progress.items_processed;
        #[cfg(feature = "crash-points")]
        panic_if_asked(processed);
        let (start, first) = *self.start.get_or_insert((Instant::now(), processed));
        let seconds = start.elapsed().as_secs_f64();
        // The first batch starts the clock and has no rate of its own.
        if seconds > 0.0 && processed > first {
            self.state.reset();
            self.state.update((processed - first) as f64 / seconds, 1);
        }
        Ok(self
            .state
            .compute_update(FormatOptions::new(self.name()).precision(0)))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self
            .state
            .compute_final(FormatOptions::new(self.name()).precision(0)))
    }

    fn clear(&mut self) {
        self.state.reset();
        self.start = None;
    }

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: Some("images/s".to_owned()),
            higher_is_better: true,
        }
        .into()
    }
}

impl Numeric for ImagesPerSecond {
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
