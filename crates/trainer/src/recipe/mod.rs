//! Recipes: what a run trains, on which data, with which settings.
//!
//! A recipe is a TOML file that names only what differs from the defaults. [`load`] reads one, applies
//! the command line's overrides in their order, checks every value, and gives a [`Recipe`] that the
//! trainer can rely on. Every error names the file, the line and the column, or the option.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `builtin` | the recipes of `configs/`, embedded in the program |
//! | `keys` | the list of all keys, and the nearest one to a misspelt key |
//! | `file` | TOML text and overrides to a document |
//! | `document` | the document: each key's value, its type and its place |
//! | `validate` | the document to a [`Recipe`]: defaults, ranges, what goes together |
//! | `write` | a [`Recipe`] back to TOML, and its hash |

mod builtin;
mod differences;
mod document;
mod error;
mod file;
mod keys;
#[cfg(test)]
mod tests;
mod validate;
mod write;

pub use builtin::{Builtin, builtin, made_for};
pub use cifar10::{Augmentation, Border};
pub use differences::Difference;
pub use error::{Candidates, Place, RecipeError};
pub use file::{Origin, Override};
pub(crate) use keys::nearest;

/// Number of training images of CIFAR-10, and the default of the synthetic set.
pub const CIFAR10_TRAIN_IMAGES: usize = 50_000;
/// Number of test images of CIFAR-10, and the default of the synthetic set.
pub const CIFAR10_TEST_IMAGES: usize = 10_000;

/// A checked recipe: every key has a value, and every value is in its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// What the run's folder and records call it. The file's stem unless the key `name` says otherwise.
    pub name: String,
    /// The recipe's own name, where the command line gave the run another.
    pub based_on: Option<String>,
    /// The network's name in the registry.
    pub network: String,
    /// Passes over the training images, above 0. May be fractional.
    pub epochs: f64,
    /// Images in one optimiser step, at least 1 and at most [`Recipe::training_images`].
    pub batch_size: usize,
    /// The seed of weights, sample order and augmentation, from 0 to 2^63 - 1.
    pub seed: u64,
    /// Training images held out for validation; 0 for none.
    pub validation: usize,
    /// Which weights the run keeps as its result.
    pub select: Select,
    /// The images and what happens to them.
    pub data: DataSpec,
    /// How weights follow gradients.
    pub optimizer: OptimizerSpec,
    /// How gradients are made.
    pub gradients: GradientSpec,
    /// The weights of which roles follow another optimiser, each role once.
    pub groups: Vec<GroupSpec>,
    /// How the learning rate moves over the run.
    pub schedule: ScheduleSpec,
    /// What is minimised.
    pub loss: LossSpec,
    /// The average of the weights over the steps.
    pub average: AverageSpec,
    /// Slow weights that the fast ones return to.
    pub lookahead: LookaheadSpec,
    /// Epochs without a better validation accuracy after which the run ends; 0 for none.
    pub patience: usize,
    /// The views of a test image whose answers are averaged for a second accuracy.
    pub tta: Tta,
    /// When training is saved.
    pub checkpoint: CheckpointSpec,
}

impl Recipe {
    /// Images that each epoch trains on: the training images without the hold-out.
    pub fn training_images(&self) -> usize {
        self.data
            .source
            .train_images()
            .saturating_sub(self.validation)
    }

    /// Steps of the optimiser in the whole run.
    pub fn steps(&self) -> u64 {
        let images = self.training_images();
        let steps_per_epoch = if self.data.drop_last {
            images / self.batch_size.max(1)
        } else {
            images.div_ceil(self.batch_size.max(1))
        };
        (self.epochs * steps_per_epoch as f64).ceil() as u64
    }
}

/// Which weights a run keeps as its result (`select`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// Those after the last step.
    Last,
    /// Those of the epoch with the highest validation accuracy; needs a hold-out.
    Best,
    /// The average over the steps; needs `average.decay`.
    Average,
}

/// The images and what happens to them (`[data]`).
#[derive(Debug, Clone, PartialEq)]
pub struct DataSpec {
    /// Where the images come from (`dataset`, with the sizes of the synthetic set).
    pub source: DatasetSpec,
    /// How pixel values become inputs.
    pub normalize: Normalize,
    /// Whether an epoch leaves out a last batch that is not full.
    pub drop_last: bool,
    /// Random changes to training images, in this order; empty for none.
    pub augment: Vec<Augmentation>,
}

/// Where the images come from (`data.dataset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetSpec {
    /// CIFAR-10: 50,000 training and 10,000 test images.
    Cifar10,
    /// The generated set of the same shape, which needs no download.
    Synthetic {
        /// Training images, hold-out included, at least 1.
        train_images: usize,
        /// Test images, at least 1.
        test_images: usize,
    },
}

impl DatasetSpec {
    /// Every name that a recipe can give.
    pub const NAMES: [&'static str; 2] = ["cifar10", "synthetic"];

    /// The name that recipes and records use: `cifar10` or `synthetic`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Synthetic { .. } => "synthetic",
        }
    }

    /// Number of training images, hold-out included.
    pub fn train_images(&self) -> usize {
        match *self {
            Self::Cifar10 => CIFAR10_TRAIN_IMAGES,
            Self::Synthetic { train_images, .. } => train_images,
        }
    }

    /// Number of test images.
    pub fn test_images(&self) -> usize {
        match *self {
            Self::Cifar10 => CIFAR10_TEST_IMAGES,
            Self::Synthetic { test_images, .. } => test_images,
        }
    }
}

/// How a pixel in `[0, 1]` becomes an input (`data.normalize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Less the training set's channel mean, divided by its channel deviation.
    Channel,
    /// Less 0.5, divided by 0.5.
    Half,
}

/// How weights follow gradients (`[optimizer]`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerSpec {
    /// Stochastic gradient descent with momentum, as `torch.optim.SGD` (the decay is added to the gradient).
    Sgd {
        /// Peak learning rate, above 0 and at most 1,000.
        lr: f64,
        /// Momentum in [0, 1); 0 for none.
        momentum: f64,
        /// Whether the momentum is Nesterov's; needs a momentum above 0.
        nesterov: bool,
        /// Weight decay, 0 or above.
        weight_decay: f64,
        /// Whether the decay also applies to normalisation weights and biases.
        decay_norm_and_bias: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.
    AdamW {
        /// Peak learning rate, above 0 and at most 1,000.
        lr: f64,
        /// Decay of the gradient's running mean, in [0, 1).
        beta1: f64,
        /// Decay of the squared gradient's running mean, in [0, 1).
        beta2: f64,
        /// What is added to the denominator, above 0 and at most 1.
        epsilon: f64,
        /// Weight decay, 0 or above.
        weight_decay: f64,
        /// Whether the decay also applies to normalisation weights and biases.
        decay_norm_and_bias: bool,
    },
    /// Momentum whose direction is made orthogonal (Jordan, 2024, <https://kellerjordan.github.io/posts/muon>),
    /// a filter as a row of `in_channels * height * width`. For a group of filters only.
    Muon {
        /// Peak learning rate, above 0 and at most 1,000.
        lr: f64,
        /// Momentum in [0, 1).
        momentum: f64,
        /// Whether the momentum is Nesterov's.
        nesterov: bool,
        /// Weight decay, 0 or above: the weights shrink by `lr * weight_decay` a step.
        weight_decay: f64,
        /// Newton-Schulz iterations, 1 to 20.
        newton_schulz_steps: usize,
        /// Whether each step first scales a layer's filters to a norm of `sqrt(out_channels)`.
        rescale: bool,
    },
}

impl OptimizerSpec {
    /// Peak learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            Self::Sgd { lr, .. } | Self::AdamW { lr, .. } | Self::Muon { lr, .. } => lr,
        }
    }
}

/// How gradients are made (`[optimizer]`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientSpec {
    /// The largest Euclidean norm of all gradients as one vector; longer ones are scaled down to it. 0
    /// for no bound.
    pub clip_norm: f64,
    /// Parts in which a batch is computed one after the other, at least 1; their gradients are summed.
    pub accumulate: usize,
}

/// An optimiser of its own for the weights of a role (an element of `optimizer.group`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupSpec {
    /// The weights.
    pub role: Role,
    /// What they follow.
    pub optimizer: OptimizerSpec,
    /// For how many epochs they are trained; to the end if absent.
    pub epochs: Option<f64>,
    /// Whether the schedule runs over these epochs in place of the whole run.
    pub own_schedule: bool,
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Filters of convolutions, `[out_channels, in_channels, height, width]`.
    Filters,
    /// Biases, those of normalisations among them.
    Biases,
    /// Factors of normalisations.
    Normalisation,
    /// Weights of linear layers, `[out_features, in_features]`.
    Head,
    /// What is trained of a whitening layer: its biases, which `biases` then leaves out.
    Whitening,
}

impl Role {
    /// The names in recipes, in the order of [`Role::ALL`].
    pub const NAMES: [&'static str; 5] =
        ["filters", "biases", "normalisation", "head", "whitening"];
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Filters,
        Self::Biases,
        Self::Normalisation,
        Self::Head,
        Self::Whitening,
    ];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filters => "filters",
            Self::Biases => "biases",
            Self::Normalisation => "normalisation",
            Self::Head => "head",
            Self::Whitening => "whitening",
        }
    }
}

/// How the learning rate moves over the run (`[schedule]`).
///
/// `warmup` is the fraction of all steps, in [0, 1), during which the rate rises linearly from 0 to its
/// peak, `optimizer.lr`. `final` is the rate towards which it
/// falls, as a fraction of the peak, from 0 to 1: that of the step after the last.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleSpec {
    /// The peak to the end.
    Constant {
        /// Fraction of the steps that warm up.
        warmup: f64,
    },
    /// The peak, multiplied by `gamma` at each milestone.
    Step {
        /// Fraction of the steps that warm up.
        warmup: f64,
        /// Epochs after which the rate falls, rising and above 0. Those after the run's end have no effect.
        milestones: Vec<f64>,
        /// What the rate is multiplied by at a milestone, above 0 and at most 1.
        gamma: f64,
    },
    /// Half a cosine from the peak to the final rate (Loshchilov and Hutter, 2017).
    Cosine {
        /// Fraction of the steps that warm up.
        warmup: f64,
        /// The rate towards which it falls, as a fraction of the peak.
        final_fraction: f64,
    },
    /// A straight line from the peak to the final rate.
    Linear {
        /// Fraction of the steps that warm up.
        warmup: f64,
        /// The rate towards which it falls, as a fraction of the peak.
        final_fraction: f64,
    },
    /// Straight lines between points.
    Piecewise {
        /// Parts of the run, from 0 to 1 and rising, each with the rate there as a fraction of the
        /// peak. The first is 0 and the last 1.
        points: Vec<[f64; 2]>,
    },
    /// A straight line up to the peak and a straight line down to the final rate (Smith, 2018).
    OneCycle {
        /// Fraction of the steps that rise.
        warmup: f64,
        /// The rate towards which it falls, as a fraction of the peak.
        final_fraction: f64,
    },
}

/// What is minimised (`[loss]`): the cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossSpec {
    /// Probability spread evenly over the ten classes, in [0, 1).
    pub label_smoothing: f64,
    /// What becomes of the images' losses.
    pub reduction: Reduction,
}

/// What becomes of the losses of a batch's images (`loss.reduction`). Records and messages give the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean is minimised.
    Mean,
    /// Their sum is minimised, so that learning rates are those of an image.
    Sum,
}

/// An exponential average of weights and running statistics (`[average]`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AverageSpec {
    /// How much of the average stays at an update, in [0, 1); 0 for no average.
    pub decay: f64,
    /// Steps from one update to the next, at least 1.
    pub every_steps: usize,
}

/// Slow weights that follow the fast ones, which then return to them (Zhang et al., 2019,
/// arXiv:1907.08610; `[lookahead]`). Running statistics take part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookaheadSpec {
    /// Steps from one return to the next; 0 for no slow weights.
    pub every_steps: usize,
    /// How much of the slow weights stays at the end of the run, in [0, 1).
    pub decay: f64,
    /// The share that stays after a part `t` of the run is `decay * t^power`; 0 for always `decay`.
    pub power: f64,
}

/// The views of a test image whose answers are averaged (`evaluation.tta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tta {
    /// The image alone.
    None,
    /// The image and its mirror image.
    Flip,
    /// Half the weight for the image and its mirror image, half for both shifted by one pixel along
    /// a diagonal, to either side.
    FlipTranslate,
}

impl Tta {
    /// The names in recipes.
    pub const NAMES: [&'static str; 3] = ["none", "flip", "flip_translate"];
    /// All of them, in the order of [`Tta::NAMES`].
    pub const ALL: [Self; 3] = [Self::None, Self::Flip, Self::FlipTranslate];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flip => "flip",
            Self::FlipTranslate => "flip_translate",
        }
    }

    /// How many views of an image are classified.
    pub fn views(self) -> usize {
        match self {
            Self::None => 1,
            Self::Flip => 2,
            Self::FlipTranslate => 6,
        }
    }
}

/// When training is saved (`[checkpoint]`). A period of 0 is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckpointSpec {
    /// Save after every so many epochs.
    pub every_epochs: usize,
    /// Save after every so many steps.
    pub every_steps: usize,
    /// Save after every so many minutes, at the end of a step.
    pub every_minutes: f64,
    /// How many checkpoints stay, the newest ones; at least 1. The best epoch's stays as well.
    pub keep: usize,
    /// The checkpoint of every so many epochs stays as well.
    pub keep_every: usize,
}

/// Reads the recipe `name_or_file`, applies `overrides` in their order, and checks every value.
///
/// What holds a path separator or ends in `.toml` is a file. Anything else is first looked up among the
/// built-in recipes ([`builtin()`]), then as a file. `known_networks` are the names that the key `network`
/// may have.
///
/// An override of `optimizer.name`, `schedule.name` or `data.dataset` drops those of the file's keys that
/// the new choice does not have, so that `--dataset cifar10` works on a recipe for the synthetic set.
///
/// # Errors
/// A [`RecipeError`] that says what is wrong, at which line and column or in which option, and what to do.
pub fn load(
    name_or_file: &str,
    overrides: &[Override],
    known_networks: &[&str],
) -> Result<Recipe, RecipeError> {
    let text = builtin::find(name_or_file)?;
    parse(&text, overrides, known_networks)
}

/// Checks the text of a recipe called `stem` as [`load`] does a file's.
///
/// # Errors
/// As [`load`].
pub fn from_text(
    stem: &str,
    text: &str,
    overrides: &[Override],
    known_networks: &[&str],
) -> Result<Recipe, RecipeError> {
    let text = file::RecipeText {
        label: format!("{stem}.toml"),
        stem: stem.to_owned(),
        text: text.to_owned(),
    };
    parse(&text, overrides, known_networks)
}

/// Checks a recipe's text as [`load`] does.
fn parse(
    text: &file::RecipeText,
    overrides: &[Override],
    known_networks: &[&str],
) -> Result<Recipe, RecipeError> {
    let document = file::read(text, overrides)?;
    validate::recipe(&document, known_networks)
}
