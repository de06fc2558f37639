//! What is measured, as a table.

use super::contenders::Contender::{self, *};

/// One line of the report.
#[derive(Debug, PartialEq)]
pub struct Case {
    /// The name for `--case`.
    pub name: &'static str,
    /// The network's name in the trainer and in `bench/networks.py`.
    pub network: &'static str,
    /// Images in a batch.
    pub batch: usize,
    /// What one step does.
    pub mode: Mode,
    /// What is reported of it.
    pub metric: Metric,
    /// Threads that each contender may use.
    pub threads: usize,
    /// Whether every contender is held to AVX2, on processors that have more.
    pub avx2: bool,
    /// Who is compared with this project's kernels.
    pub peers: &'static [Contender],
}

/// What one step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forward, cross-entropy, backward, SGD with momentum 0.9.
    Train,
    /// A forward pass without a graph.
    Infer,
    /// A training of the tutorial recipe, from its first step to its last, with its loading.
    Tutorial,
    /// One epoch of training with loading, augmentation, figures and saving, beside the same steps without.
    Epoch,
}

/// What is reported of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Images a second: more is better.
    Speed,
    /// The most memory that the process held, in MB of 10^6 bytes: less is better.
    PeakMemory,
}

/// PyTorch's layouts and its compiler; the best of them counts.
const TORCH: &[Contender] = &[
    TorchNchw,
    TorchChannelsLast,
    TorchCompiled,
    TorchCompiledChannelsLast,
];
const TORCH_AND_BURN: &[Contender] = &[
    TorchNchw,
    TorchChannelsLast,
    TorchCompiled,
    TorchCompiledChannelsLast,
    BurnNdarray,
    BurnFlex,
];
const INFERENCE: &[Contender] = &[
    TorchNchw,
    TorchChannelsLast,
    TorchCompiled,
    TorchCompiledChannelsLast,
    OnnxRuntime,
    OpenVino,
];

/// The tutorial recipe by PyTorch, in both ways to load.
const TUTORIAL: &[Contender] = &[TutorialTensor, TutorialDataLoader];
/// What an epoch is held against: this project's own steps, on one batch.
const OWN_STEPS: &[Contender] = &[OurSteps];

/// What most cases have in common.
const RESNET20: Case = Case {
    name: "train-resnet20-128",
    network: "resnet20",
    batch: 128,
    mode: Mode::Train,
    metric: Metric::Speed,
    threads: 2,
    avx2: false,
    peers: TORCH,
};

/// Every case, in the report's order.
pub const CASES: &[Case] = &[
    // So small a batch is fastest on one thread, for PyTorch too.
    Case {
        name: "train-simple_cnn-4",
        network: "simple_cnn",
        batch: 4,
        threads: 1,
        ..RESNET20
    },
    Case {
        name: "train-simple_cnn-128",
        network: "simple_cnn",
        peers: TORCH_AND_BURN,
        ..RESNET20
    },
    Case {
        peers: TORCH_AND_BURN,
        ..RESNET20
    },
    Case {
        name: "train-resnet20-8",
        batch: 8,
        ..RESNET20
    },
    Case {
        name: "train-resnet20-32",
        batch: 32,
        ..RESNET20
    },
    Case {
        name: "train-resnet18-128",
        network: "resnet18",
        ..RESNET20
    },
    // The network of the quick recipes, at about the batch that they train with.
    Case {
        name: "train-airbench94-256",
        network: "airbench94",
        batch: 256,
        ..RESNET20
    },
    Case {
        name: "train-resnet20-128-avx2",
        avx2: true,
        ..RESNET20
    },
    Case {
        name: "infer-resnet20-128",
        mode: Mode::Infer,
        peers: INFERENCE,
        ..RESNET20
    },
    Case {
        name: "infer-resnet20-1",
        batch: 1,
        mode: Mode::Infer,
        peers: INFERENCE,
        ..RESNET20
    },
    Case {
        name: "tutorial-simple_cnn-4",
        network: "simple_cnn",
        batch: 4,
        mode: Mode::Tutorial,
        threads: 1,
        peers: TUTORIAL,
        ..RESNET20
    },
    Case {
        name: "epoch-resnet20-128",
        mode: Mode::Epoch,
        peers: OWN_STEPS,
        ..RESNET20
    },
    Case {
        name: "memory-resnet20-128",
        metric: Metric::PeakMemory,
        ..RESNET20
    },
];

impl Case {
    /// The case of a name.
    ///
    /// # Errors
    /// A message with the names that exist.
    pub fn from_name(name: &str) -> Result<&'static Self, String> {
        CASES.iter().find(|case| case.name == name).ok_or_else(|| {
            let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
            format!("no case is called '{name}'; there are {}", names.join(", "))
        })
    }

    /// One line for `--list`.
    pub fn describe(&self) -> String {
        let mode = match self.mode {
            Mode::Train => "training step",
            Mode::Infer => "inference",
            Mode::Tutorial => "the tutorial recipe from end to end",
            Mode::Epoch => "an epoch of `train` beside `bench`",
        };
        let metric = match self.metric {
            Metric::Speed => "images/s",
            Metric::PeakMemory => "peak memory",
        };
        let threads = match self.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        let held = if self.avx2 { ", held to AVX2" } else { "" };
        format!(
            "{}, batch {}, {mode}, {metric}, {threads}{held}",
            self.network, self.batch
        )
    }

    /// This project, then what it is compared with: the Python programs only where there are `peers`.
    pub fn contenders(&self, peers: bool) -> Vec<Contender> {
        let compared = self.peers.iter().copied();
        let compared = compared.filter(|contender| peers || !contender.needs_python());
        [Ours].into_iter().chain(compared).collect()
    }

    /// Whether it reads CIFAR-10.
    pub fn needs_data(&self) -> bool {
        matches!(self.mode, Mode::Tutorial | Mode::Epoch)
    }
}

impl Mode {
    /// The word with which a case's name begins.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
            Self::Tutorial => "tutorial",
            Self::Epoch => "epoch",
        }
    }

    /// What `trainer bench` and `bench/bench_torch.py` call its step.
    pub fn step(self) -> &'static str {
        match self {
            Self::Train | Self::Tutorial | Self::Epoch => "train",
            Self::Infer => "infer",
        }
    }
}

impl Metric {
    /// The unit of the figures.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Speed => "images/s",
            Self::PeakMemory => "MB",
        }
    }

    /// Whether `one` is a better figure than `other`.
    pub fn is_better(self, one: f64, other: f64) -> bool {
        match self {
            Self::Speed => one > other,
            Self::PeakMemory => one < other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        for (index, case) in CASES.iter().enumerate() {
            let found = CASES.iter().position(|other| other.name == case.name);
            assert_eq!(found, Some(index), "{} stands twice", case.name);
            assert_eq!(Case::from_name(case.name), Ok(case));
        }
    }

    #[test]
    fn an_unknown_case_is_answered_with_the_names_that_exist() {
        let message = Case::from_name("train-resnet20").unwrap_err();
        assert!(message.starts_with("no case is called 'train-resnet20'; there are "));
        for case in CASES {
            assert!(message.contains(case.name), "{message}");
        }
    }

    #[test]
    fn a_name_says_what_its_case_measures() {
        for case in CASES {
            let first = match case.metric {
                Metric::Speed => case.mode.name(),
                Metric::PeakMemory => "memory",
            };
            let held = if case.avx2 { "-avx2" } else { "" };
            let expected = format!("{first}-{}-{}{held}", case.network, case.batch);
            assert_eq!(case.name, expected);
        }
    }

    #[test]
    fn without_python_a_case_measures_this_program_alone() {
        for case in CASES {
            let alone = case.contenders(false);
            assert_eq!(alone.first(), Some(&Ours));
            assert!(alone.iter().all(|contender| !contender.needs_python()));
            assert_eq!(case.contenders(true).len(), case.peers.len() + 1);
        }
        let epoch = Case::from_name("epoch-resnet20-128").unwrap();
        assert_eq!(epoch.contenders(false), [Ours, OurSteps]);
    }
}
