//! The learning rate as a function of the step.

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use model::Network;

use super::roles::group_of;
use crate::RecordState;
use crate::recipe::{GroupSpec, ScheduleSpec};

/// A schedule over a run of known length.
#[derive(Debug, Clone)]
pub struct Schedule {
    spec: ScheduleSpec,
    peak: f64,
    steps: u64,
    steps_per_epoch: u64,
    end: u64,
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
            end: u64::MAX,
            next: 0,
        }
    }

    /// The schedule of a group of weights in a run whose other weights follow `self`.
    #[must_use]
    fn of_group(&self, group: &GroupSpec) -> Self {
        let own = group
            .epochs
            .map(|epochs| (epochs * self.steps_per_epoch as f64).ceil() as u64);
        Self {
            peak: group.optimizer.lr(),
            steps: own.filter(|_| group.own_schedule).unwrap_or(self.steps),
            end: own.unwrap_or(self.end),
            ..self.clone()
        }
    }

    /// The schedules of all of a network's weights, those of `groups` among them.
    #[must_use]
    pub fn of_network(self, groups: &[GroupSpec], network: &Network) -> ModuleLrScheduler {
        let run = self.clone();
        groups.iter().fold(self.into(), |schedules, group| {
            schedules.with_group(group_of(network, &[group.role]), run.of_group(group))
        })
    }

    /// The rate of step `step`, counted from 0.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        if step >= self.end {
            return 0.0;
        }
        let done = step as f64 / self.steps.max(1) as f64;
        let warmup = match self.spec {
            ScheduleSpec::Constant { warmup }
            | ScheduleSpec::Step { warmup, .. }
            | ScheduleSpec::Cosine { warmup, .. }
            | ScheduleSpec::Linear { warmup, .. }
            | ScheduleSpec::OneCycle { warmup, .. } => warmup,
            ScheduleSpec::Piecewise { .. } => 0.0,
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
            ScheduleSpec::Piecewise { points } => interpolate(points, done),
            ScheduleSpec::Linear { final_fraction, .. }
            | ScheduleSpec::OneCycle { final_fraction, .. } => {
                final_fraction + (1.0 - final_fraction) * left
            }
        };
        self.peak * factor
    }
}

/// The value at `x` on the straight lines between `points`, and the last one beyond them.
fn interpolate(points: &[[f64; 2]], x: f64) -> f64 {
    for pair in points.windows(2) {
        if let [[x0, y0], [x1, y1]] = pair
            && x < *x1
        {
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
        }
    }
    points.last().map_or(1.0, |[_, y]| *y)
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

    /// numpy.interp gives the triangle of airbench, which rises from 0.2 to 1 and falls to 0.07.
    #[test]
    fn piecewise_is_linear_between_its_points_and_linear_falls_from_the_first_step() {
        let s = schedule(ScheduleSpec::Piecewise {
            points: vec![[0.0, 0.2], [0.25, 1.0], [1.0, 0.07]],
        });
        let expected = [0.4, 0.4 + 1.6 * 10.0 / 25.0, 2.0, 2.0 - 1.86 / 3.0];
        for (step, expected) in [0, 10, 25, 50].into_iter().zip(expected) {
            assert!((s.rate(step) - expected).abs() < 1e-12, "{step}");
        }
        let linear = schedule(ScheduleSpec::Linear {
            warmup: 0.0,
            final_fraction: 0.0,
        });
        for step in [0, 30, 99] {
            let expected = 2.0 * (1.0 - step as f64 / 100.0);
            assert!((linear.rate(step) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn cosine_after_a_warm_up_is_the_formula_of_its_paper() {
        let s = schedule(ScheduleSpec::Cosine {
            warmup: 0.1,
            final_fraction: 0.2,
        });
        assert!((s.rate(4) - 2.0 * 0.5).abs() < 1e-12);
        for step in [10, 40, 99] {
            let t = (f64::from(step) / 100.0 - 0.1) / 0.9;
            let expected = 0.4 + (2.0 - 0.4) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0;
            assert!((s.rate(step as u64) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_group_trains_for_its_epochs_on_the_runs_schedule_or_on_its_own() {
        let run = schedule(ScheduleSpec::Linear {
            warmup: 0.0,
            final_fraction: 0.0,
        });
        let group = |own_schedule| {
            run.of_group(&GroupSpec {
                role: crate::recipe::Role::Biases,
                optimizer: crate::recipe::OptimizerSpec::Sgd {
                    lr: 4.0,
                    momentum: 0.0,
                    nesterov: false,
                    weight_decay: 0.0,
                    decay_norm_and_bias: true,
                },
                epochs: Some(3.0),
                own_schedule,
            })
        };
        let (own, shared) = (group(true), group(false));
        assert!((own.rate(15) - 2.0).abs() < 1e-12);
        assert!((shared.rate(15) - 3.4).abs() < 1e-12);
        for schedule in [own, shared] {
            assert!(schedule.rate(29) > 0.0);
            assert_eq!(schedule.rate(30), 0.0);
        }
    }
}
