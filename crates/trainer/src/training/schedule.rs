//! The learning rate as a function of the step.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};

use crate::RecordState;
use crate::recipe::ScheduleSpec;

/// A schedule over a run of known length.
#[derive(Debug, Clone)]
pub struct Schedule {
    spec: ScheduleSpec,
    peak: f64,
    steps: u64,
    steps_per_epoch: u64,
    next: u64,
}

/// What a schedule's record holds: the step whose rate comes next.
#[derive(RecordState, Clone, Debug)]
struct ScheduleState {
    next: u64,
}

impl Schedule {
    /// The schedule `spec` with the peak rate `peak` over `steps` steps.
    #[must_use]
    pub fn new(spec: ScheduleSpec, peak: f64, steps: u64, steps_per_epoch: u64) -> Self {
        Self {
            spec,
            peak,
            steps,
            steps_per_epoch,
            next: 0,
        }
    }

    /// The rate of step `step`, counted from 0.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        let done = step as f64 / self.steps.max(1) as f64;
        let warmup = match self.spec {
            ScheduleSpec::Constant { warmup }
            | ScheduleSpec::Step { warmup, .. }
            | ScheduleSpec::Cosine { warmup, .. }
            | ScheduleSpec::OneCycle { warmup, .. } => warmup,
        };
        if done < warmup {
            // The first step already moves, so the line begins one step in.
            return self.peak * ((step + 1) as f64 / (warmup * self.steps as f64)).min(1.0);
        }
        let left = 1.0 - (done - warmup) / (1.0 - warmup);
        let factor = match &self.spec {
            ScheduleSpec::Constant { .. } => 1.0,
            ScheduleSpec::Step {
                milestones, gamma, ..
            } => {
                let epoch = step as f64 / self.steps_per_epoch.max(1) as f64;
                let passed = milestones.iter().filter(|m| epoch >= **m).count();
                gamma.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
            ScheduleSpec::Cosine { final_fraction, .. } => {
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - left)).cos());
                final_fraction + (1.0 - final_fraction) * cosine
            }
            ScheduleSpec::OneCycle { final_fraction, .. } => {
                final_fraction + (1.0 - final_fraction) * left
            }
        };
        self.peak * factor
    }
}

impl LrScheduler for Schedule {
    fn step(&mut self) -> f64 {
        let rate = self.rate(self.next);
        self.next += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::from_state(&ScheduleState { next: self.next })
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(state) = record.into_state::<ScheduleState>() {
            self.next = state.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(spec: ScheduleSpec) -> Schedule {
        Schedule::new(spec, 2.0, 100, 10)
    }

    #[test]
    fn one_cycle_rises_to_the_peak_and_falls_to_the_final_rate() {
        let s = schedule(ScheduleSpec::OneCycle {
            warmup: 0.2,
            final_fraction: 0.0,
        });
        assert!((s.rate(0) - 0.1).abs() < 1e-12);
        assert!((s.rate(20) - 2.0).abs() < 1e-12);
        assert!((s.rate(60) - 1.0).abs() < 1e-12);
        assert!(s.rate(99) > 0.0 && s.rate(99) < 0.03);
    }

    #[test]
    fn step_falls_at_its_milestones_and_cosine_is_half_way_at_half_time() {
        let s = schedule(ScheduleSpec::Step {
            warmup: 0.0,
            milestones: vec![5.0, 7.5],
            gamma: 0.1,
        });
        let rates = [49, 50, 74, 75].map(|step| s.rate(step));
        for (rate, expected) in rates.into_iter().zip([2.0, 0.2, 0.2, 0.02]) {
            assert!((rate - expected).abs() < 1e-12);
        }
        let c = schedule(ScheduleSpec::Cosine {
            warmup: 0.0,
            final_fraction: 0.0,
        });
        assert!((c.rate(50) - 1.0).abs() < 1e-12);
    }
}
