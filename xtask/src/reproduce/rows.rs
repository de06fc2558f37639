//! The rows of docs/results.md: what is trained, how often, and what it is held against.

/// Which accuracy on the test set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Each image as it is.
    Plain,
    /// The mean of several views of each image, as the recipe's `evaluation.tta` says.
    Augmented,
}

impl Figure {
    /// The figure in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "test accuracy",
            Self::Augmented => "test accuracy with test-time augmentation",
        }
    }

    /// Names of its mean and deviation in what `trainer sweep --json` says.
    pub fn fields(self) -> [&'static str; 2] {
        match self {
            Self::Plain => ["mean", "deviation"],
            Self::Augmented => ["mean_tta", "deviation_tta"],
        }
    }
}

/// A mean that somebody published, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// The mean.
    pub mean: f64,
    /// Standard deviation and number of runs, where both are known.
    pub spread: Option<(f64, u32)>,
    /// Whose it is.
    pub source: &'static str,
}

/// When a row is what it should be, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// Within two standard errors of the reference.
    Reference,
    /// At most so far below the reference.
    Below(f64),
    /// At least so much.
    AtLeast(f64),
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Its name, which is the recipe's.
    pub name: &'static str,
    /// Runs.
    pub seeds: u32,
    /// The first of their seeds, which others follow: one that no choice of the recipe has seen.
    pub first_seed: u32,
    /// Runs at a time. Results do not depend on it.
    pub jobs: u32,
    /// What is compared.
    pub figure: Figure,
    /// What it is compared with.
    pub reference: Option<Reference>,
    /// When it is what it should be.
    pub aim: Aim,
}

const AIRBENCH: &str = "KellerJordan/cifar10-airbench";

/// Every row, in the order of the table.
pub const ROWS: [Row; 8] = [
    Row {
        name: "tutorial",
        seeds: 10,
        first_seed: 0,
        jobs: 2,
        figure: Figure::Plain,
        reference: Some(Reference {
            mean: 54.88,
            spread: Some((1.44, 10)),
            source: "PyTorch on the same recipe",
        }),
        aim: Aim::Reference,
    },
    Row {
        name: "default",
        seeds: 5,
        first_seed: 0,
        jobs: 1,
        figure: Figure::Plain,
        reference: None,
        aim: Aim::AtLeast(88.0),
    },
    Row {
        name: "speedrun-94",
        seeds: 5,
        first_seed: 1,
        jobs: 1,
        figure: Figure::Augmented,
        reference: Some(Reference {
            mean: 94.0,
            spread: None,
            source: AIRBENCH,
        }),
        aim: Aim::AtLeast(94.0),
    },
    Row {
        name: "resnet20-quick",
        seeds: 3,
        first_seed: 0,
        jobs: 1,
        figure: Figure::Plain,
        reference: None,
        aim: Aim::AtLeast(91.0),
    },
    Row {
        name: "resnet20",
        seeds: 1,
        first_seed: 0,
        jobs: 1,
        figure: Figure::Plain,
        reference: Some(Reference {
            mean: 91.25,
            spread: None,
            source: "He et al., 2015, arXiv:1512.03385",
        }),
        aim: Aim::AtLeast(91.7),
    },
    Row {
        name: "speedrun-95",
        seeds: 1,
        first_seed: 0,
        jobs: 1,
        figure: Figure::Augmented,
        reference: Some(Reference {
            mean: 95.0,
            spread: None,
            source: AIRBENCH,
        }),
        aim: Aim::Below(0.25),
    },
    Row {
        name: "speedrun-96",
        seeds: 1,
        first_seed: 1,
        jobs: 1,
        figure: Figure::Augmented,
        reference: Some(Reference {
            mean: 96.0,
            spread: None,
            source: AIRBENCH,
        }),
        aim: Aim::Below(0.25),
    },
    Row {
        name: "resnet18",
        seeds: 1,
        first_seed: 0,
        jobs: 1,
        figure: Figure::Plain,
        reference: Some(Reference {
            mean: 95.5,
            spread: None,
            source: "kuangliu/pytorch-cifar and its reruns",
        }),
        aim: Aim::AtLeast(95.5),
    },
];

impl Row {
    /// The row called `name`.
    ///
    /// # Errors
    /// A message with the names there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            format!("there is no row {name}; there are {}", names.join(", "))
        })
    }

    /// The row as the list shows it.
    pub fn describe(&self) -> String {
        let runs = match self.seeds {
            1 => "1 run".to_owned(),
            seeds => format!("{seeds} runs"),
        };
        let reference = self.reference.map_or_else(String::new, |reference| {
            format!(", {:.2}% by {}", reference.mean, reference.source)
        });
        format!(
            "{runs}, {}: {}{reference}",
            self.figure.name(),
            self.aim.describe()
        )
    }

    /// The arguments of the trainer that train the row, without where it lies.
    pub fn arguments(&self, backend: &str) -> Vec<String> {
        let (seeds, jobs) = (self.seeds.to_string(), self.jobs.to_string());
        let first = format!("seed={}", self.first_seed);
        let mut words = vec!["sweep", "--config", self.name, "--seeds", &seeds];
        if self.first_seed > 0 {
            words.extend(["--set", &first]);
        }
        if self.jobs > 1 {
            words.extend(["--jobs", &jobs]);
        }
        words.extend(["--backend", backend]);
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Aim {
    /// The aim in words.
    pub fn describe(self) -> String {
        match self {
            Self::Reference => "within two standard errors of the reference".to_owned(),
            Self::Below(points) => format!("within {points} points of the reference"),
            Self::AtLeast(percent) => format!("{percent:.2}% or more"),
        }
    }
}
