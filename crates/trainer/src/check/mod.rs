//! Whether a device may be trusted: its results against the reference, and what avoids it where not.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the checks, and their report |
//! | `batches` | batches of images, as a training has them |
//! | `steps` | twenty steps of a training |
//! | [`trust`] | the short check before the first training on an adapter |
//! | [`avoid`] | settings with which a failed check passes |

pub mod avoid;
mod batches;
mod steps;
pub mod trust;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use burn::tensor::Device;
use model::NetworkKind;
use model::check::case::{BOUNDS, Case};
use model::check::cases::cases;
use model::check::half::InHalf;
use model::check::operations::{OnDevice, Operations};
use model::check::{CheckError, Errors, networks};
use model::layers::in_half_precision;
use serde::Serialize;

use crate::device::Precision;

pub use steps::STEPS;

/// Each operation computes twice, so that a result of the first time cannot pass for one of the second,
/// and that the second time shows what it takes without making kernels.
const SEEDS: [u64; 2] = [1, 2];
/// Images of the batches on which networks are compared.
const SIZES: [usize; 3] = [1, 2, 3];

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Batches, every operation, the smallest network, and a training.
    Short,
    /// Batches, every operation, every network, and a training.
    Full,
}

/// An error and its bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The error; absent where it is infinite, since a number is missing or is none.
    pub error: Option<f64>,
    /// The most that it may be.
    pub bound: f64,
}

impl Figure {
    fn new(error: f64, bound: f64) -> Self {
        Self {
            error: error.is_finite().then_some(error),
            bound,
        }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The batches, the operation, the network, or the training.
    pub name: String,
    /// The largest error of a result.
    pub value: Figure,
    /// The largest error of a gradient, where there are gradients.
    pub gradient: Option<Figure>,
    /// What the device took, in milliseconds.
    pub milliseconds: f64,
    /// Whether both are within their bounds.
    pub passed: bool,
    /// Where the largest error is, or why there was no result.
    pub remark: String,
}

/// What was checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Batches, operations, networks, and the training.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether everything is within its bounds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.passed)
    }

    /// The names of what is not.
    #[must_use]
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.rows.iter().filter(|row| !row.passed);
        failed.map(|row| row.name.as_str()).collect()
    }
}

/// Something that a check looks at.
enum Subject {
    Batches,
    Operation(&'static str, Vec<Case>),
    Network(NetworkKind),
    Training,
}

impl Subject {
    fn name(&self) -> &'static str {
        match self {
            Self::Batches => batches::NAME,
            Self::Operation(name, _) => name,
            Self::Network(kind) => kind.name(),
            Self::Training => steps::NAME,
        }
    }

    fn bounds(&self, precision: Precision) -> Errors {
        let in_half = precision == Precision::Half;
        match self {
            Self::Batches => batches::BOUNDS,
            Self::Operation(_, cases) => cases.first().map_or(BOUNDS, Case::bounds),
            Self::Network(_) if in_half => networks::BOUNDS_OF_HALF,
            Self::Network(_) => networks::BOUNDS,
            Self::Training if in_half => steps::BOUNDS_OF_HALF,
            Self::Training => steps::BOUNDS,
        }
    }

    /// Those of a training are in its losses.
    fn has_gradients(&self) -> bool {
        match self {
            Self::Operation(_, cases) => cases.iter().any(Case::differentiates),
            Self::Network(_) => true,
            Self::Batches | Self::Training => false,
        }
    }
}

/// What there is to check.
pub struct Plan {
    subjects: Vec<Subject>,
    precision: Precision,
}

impl Plan {
    /// What belongs to `extent`, of which `only` those that it names, where it names any, for trainings of this
    /// precision.
    ///
    /// # Errors
    /// The names that there are, where `only` has another.
    pub fn new(extent: Extent, precision: Precision, only: &[String]) -> Result<Self, String> {
        let mut subjects = vec![Subject::Batches];
        for case in cases() {
            let case = match precision {
                Precision::Half => case.in_half(),
                Precision::Fast | Precision::Exact => case,
            };
            let of_operation = subjects.iter_mut().find_map(|subject| match subject {
                Subject::Operation(name, cases) if *name == case.operation => Some(cases),
                _ => None,
            });
            match of_operation {
                Some(cases) => cases.push(case),
                None => subjects.push(Subject::Operation(case.operation, vec![case])),
            }
        }
        match extent {
            Extent::Short => subjects.push(Subject::Network(NetworkKind::SimpleCnn)),
            Extent::Full => subjects.extend(NetworkKind::ALL.map(Subject::Network)),
        }
        subjects.push(Subject::Training);
        let names: Vec<&str> = subjects.iter().map(Subject::name).collect();
        if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
            let names = names.join(", ");
            return Err(format!("`{unknown}` cannot be checked; there are {names}"));
        }
        if !only.is_empty() {
            subjects.retain(|subject| only.iter().any(|name| name == subject.name()));
        }
        Ok(Self {
            subjects,
            precision,
        })
    }

    /// How many lines the report will have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether there is nothing to check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Checks everything on `device`, which has no autodiff, and calls `progress` after each subject.
    #[must_use]
    pub fn run(&self, device: &Device, progress: &mut dyn FnMut()) -> Report {
        match self.precision {
            Precision::Half => self.run_with(&InHalf, device, progress),
            Precision::Fast | Precision::Exact => self.run_with(&OnDevice, device, progress),
        }
    }

    /// As [`Plan::run`] with `operations`, of which a test may make one wrong.
    #[must_use]
    pub fn run_with(
        &self,
        operations: &dyn Operations,
        device: &Device,
        progress: &mut dyn FnMut(),
    ) -> Report {
        let rows = self.subjects.iter().map(|subject| {
            let outcome = catch_unwind(AssertUnwindSafe(|| match subject {
                Subject::Batches => batches::check(device),
                Subject::Operation(_, cases) => check_operation(cases, operations, device),
                Subject::Network(kind) => check_network(*kind, self.precision, device),
                Subject::Training => steps::check(self.precision, device),
            }));
            let measured = match outcome {
                Ok(Ok(measured)) => measured,
                Ok(Err(error)) => Measured::nothing(error.to_string()),
                Err(payload) => Measured::nothing(reason(&*payload)),
            };
            progress();
            row(subject, self.precision, measured)
        });
        Report {
            rows: rows.collect(),
        }
    }
}

/// What a subject gave.
struct Measured {
    errors: Errors,
    seconds: f64,
    remark: String,
}

impl Measured {
    fn nothing(reason: String) -> Self {
        Self {
            errors: Errors {
                value: f64::INFINITY,
                gradient: f64::INFINITY,
            },
            seconds: 0.0,
            remark: reason,
        }
    }
}

/// The words of a panic, in one line. It has been printed where it happened.
fn reason(payload: &(dyn Any + Send)) -> String {
    let words = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("it gave no reason");
    format!("it panicked: {}", words.replace('\n', " "))
}

fn row(subject: &Subject, precision: Precision, measured: Measured) -> Row {
    let (errors, bounds) = (measured.errors, subject.bounds(precision));
    let gradient = Figure::new(errors.gradient, bounds.gradient);
    Row {
        name: subject.name().to_owned(),
        value: Figure::new(errors.value, bounds.value),
        gradient: subject.has_gradients().then_some(gradient),
        milliseconds: 1e3 * measured.seconds,
        passed: errors.are_within(bounds),
        remark: measured.remark,
    }
}

/// The largest errors of an operation's cases, and the time of their last computation.
fn check_operation(
    cases: &[Case],
    operations: &dyn Operations,
    device: &Device,
) -> Result<Measured, CheckError> {
    let mut all = Measured {
        errors: Errors::default(),
        seconds: 0.0,
        remark: String::new(),
    };
    let mut worst = -1.0;
    for case in cases {
        let mut seconds = 0.0;
        for seed in SEEDS {
            let start = Instant::now();
            let found = case.on(operations, device, seed)?;
            seconds = start.elapsed().as_secs_f64();
            let (errors, what) = case.errors(&found, &case.expected(seed)?);
            let bounds = case.bounds();
            let share = f64::max(
                errors.value / bounds.value,
                errors.gradient / bounds.gradient,
            );
            if share > worst {
                worst = share;
                all.remark = format!("{what} of {}", case.shapes);
            }
            all.errors = all.errors.or_larger(errors);
        }
        all.seconds += seconds;
    }
    Ok(all)
}

/// The errors of a network, and the time of its last computation.
fn check_network(
    kind: NetworkKind,
    precision: Precision,
    device: &Device,
) -> Result<Measured, CheckError> {
    let device = device.clone().autodiff();
    let network = networks::network(kind, &device)?;
    let parameters = networks::parameters(&network)?;
    let mut pairs = Vec::with_capacity(SIZES.len());
    let mut seconds = 0.0;
    for size in SIZES {
        let seed = size as u64;
        let start = Instant::now();
        let (images, classes) = networks::batch(size, seed, &device);
        let images = match precision {
            Precision::Half => in_half_precision(images),
            Precision::Fast | Precision::Exact => images,
        };
        let found = networks::answer(&network, (images, classes))?;
        seconds = start.elapsed().as_secs_f64();
        pairs.push((found, networks::expected(kind, &parameters, size, seed)?));
    }
    Ok(Measured {
        errors: match precision {
            Precision::Half => networks::errors_of_half(&pairs),
            Precision::Fast | Precision::Exact => networks::errors(&pairs),
        },
        seconds,
        remark: format!("batches of {SIZES:?} images"),
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use model::check::operations::Biased;

    use super::*;

    /// One operation without its bias, and one that does not come to its end.
    struct Wrong;

    impl Operations for Wrong {
        fn conv_pool_gelu(&self, x: Tensor<4>, p: &Biased<4>) -> Tensor<4> {
            let mut p = p.clone();
            p.bias = p.bias.zeros_like();
            OnDevice.conv_pool_gelu(x, &p)
        }

        fn global_avg_pool(&self, _x: Tensor<4>) -> Tensor<2> {
            panic!("no\nmore memory")
        }
    }

    fn device() -> Device {
        Device::flex()
    }

    #[test]
    fn a_short_check_passes_and_names_what_is_wrong_where_something_is() {
        let plan = Plan::new(Extent::Short, Precision::Fast, &[]).unwrap();
        let mut done = 0;
        let report = plan.run(&device(), &mut || done += 1);
        assert!(report.passed(), "{report:?}");
        assert_eq!((done, report.rows.len()), (plan.len(), plan.len()));
        let report = plan.run_with(&Wrong, &device(), &mut || {});
        assert_eq!(report.failed(), ["global_avg_pool", "conv_pool_gelu"]);
        let row = report.rows.iter().find(|row| !row.passed).unwrap();
        assert_eq!(row.remark, "it panicked: no more memory");
        assert_eq!(row.value.error, None);
    }

    #[test]
    fn what_is_asked_for_alone_is_checked_alone_and_nothing_unknown() {
        let only = ["resnet20".to_owned(), "sgd_step".to_owned()];
        let plan = Plan::new(Extent::Full, Precision::Fast, &only).unwrap();
        let report = plan.run(&device(), &mut || {});
        let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["sgd_step", "resnet20"]);
        assert!(report.rows[0].gradient.is_none());
        let error = Plan::new(Extent::Short, Precision::Fast, &only)
            .err()
            .unwrap();
        assert!(error.contains("`resnet20`") && error.contains("conv_group"));
    }
}
