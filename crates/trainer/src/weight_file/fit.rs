//! Which tensors of a file a network takes, and which not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use burn::store::ModuleSnapshot;
use burn::tensor::TensorData;
use model::Network;
use serde::{Deserialize, Serialize};

use super::{NamedTensor, Values, WeightFileError};

/// What PyTorch counts batches in, for a kind of running statistics that no network here has.
const BATCH_COUNT: &str = "num_batches_tracked";
/// How many names a message lists.
const MOST_NAMES: usize = 5;

/// What a network made of a file's tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Names of the tensors that it took.
    pub taken: Vec<String>,
    /// What did not fit.
    #[serde(flatten)]
    pub misfit: Misfit,
}

/// What does not fit between a file and a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// Names of the network's tensors that the file has not.
    pub missing: Vec<String>,
    /// Names of the file's tensors that the network has not.
    pub unexpected: Vec<String>,
    /// Tensors of both with different shapes or types of numbers.
    pub different: Vec<Difference>,
}

/// A tensor that has another shape, or another type of numbers, than the network's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// What the file has.
    pub found: String,
}

impl Difference {
    /// Whether the file's numbers are of another type, and not only the shape is another one.
    fn is_of_another_type(&self) -> bool {
        // A shape alone begins so, a type with its name.
        !self.found.starts_with('[')
    }
}

impl Misfit {
    /// Whether everything fits.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.different.is_empty()
    }
}

/// One line: how many of each kind, and the first names.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let different = |of_type: bool, numbers: &str| {
            let of_kind = self.different.iter();
            let of_kind = of_kind.filter(|one| one.is_of_another_type() == of_type);
            let named = of_kind.map(|one| {
                format!(
                    "{} ({} in place of {numbers}{:?})",
                    one.name, one.found, one.expected
                )
            });
            named.collect()
        };
        let kinds = [
            ("missing", self.missing.clone()),
            ("unexpected", self.unexpected.clone()),
            ("of another shape", different(false, "")),
            (
                "of another type of numbers",
                different(true, "floating-point numbers of "),
            ),
        ];
        let kinds = kinds.iter().filter(|(_, names)| !names.is_empty());
        let texts = kinds.map(|(kind, names)| {
            let listed = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>();
            let more = if names.len() > MOST_NAMES {
                ", …"
            } else {
                ""
            };
            format!("{} {kind}: {}{more}", names.len(), listed.join(", "))
        });
        f.write_str(&texts.collect::<Vec<_>>().join("; "))
    }
}

/// `network` with those of `tensors` that fit by name and shape; its other weights stay. `path` is where
/// they were read from.
///
/// # Errors
/// [`WeightFileError`] where no tensor fits, or one has a value that is no number.
pub fn fit(
    mut network: Network,
    tensors: Vec<NamedTensor>,
    path: &Path,
) -> Result<(Network, Fit), WeightFileError> {
    let refused = |reason| WeightFileError::Refused {
        path: path.to_owned(),
        reason,
    };
    let expected = network.collect(None, None, true).into_iter();
    let mut expected: BTreeMap<_, _> = expected.map(|t| (t.name, t.shape.to_vec())).collect();
    let mut fit = Fit::default();
    let mut fitting = Vec::new();
    for NamedTensor {
        name,
        shape,
        values,
    } in tensors
    {
        let Some(wanted) = expected.remove(&name) else {
            if name.rsplit('.').next() != Some(BATCH_COUNT) {
                fit.misfit.unexpected.push(name);
            }
            continue;
        };
        let found = match values {
            Values::Float(values) if shape == wanted => {
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(refused(format!(
                        "{name} has a value that is infinite or no number"
                    )));
                }
                fit.taken.push(name.clone());
                let (bytes, shape, dtype) = TensorData::new(values, shape).into_parts();
                fitting.push(burn_pack::Tensor::new(name, dtype, shape, None, bytes));
                continue;
            }
            Values::Float(_) => format!("{shape:?}"),
            Values::Other(kind) => format!("{kind} of {shape:?}"),
        };
        fit.misfit.different.push(Difference {
            name,
            expected: wanted,
            found,
        });
    }
    // Files list their tensors in any order.
    fit.taken.sort_unstable();
    fit.misfit.unexpected.sort_unstable();
    fit.misfit
        .different
        .sort_unstable_by(|a, b| a.name.cmp(&b.name));
    fit.misfit.missing = expected.into_keys().collect();
    if fit.taken.is_empty() {
        return Err(refused(format!(
            "no tensor in it fits the network: {}",
            fit.misfit
        )));
    }
    let applied = network.apply(fitting, None, None, true);
    if applied.applied.len() == fit.taken.len() {
        Ok((network, fit))
    } else {
        Err(refused(format!("Burn took only {:?}", applied.applied)))
    }
}

/// `network`, called `name`, with all of `tensors`, of which there must be one for each of its own.
///
/// # Errors
/// [`WeightFileError`] where a tensor is missing, not the network's or has another shape.
pub fn fit_all(
    network: Network,
    name: &str,
    tensors: Vec<NamedTensor>,
    path: &Path,
) -> Result<Network, WeightFileError> {
    let (network, fit) = fit(network, tensors, path)?;
    if fit.misfit.is_none() {
        return Ok(network);
    }
    Err(WeightFileError::Misfit {
        path: path.to_owned(),
        network: name.to_owned(),
        misfit: fit.misfit,
    })
}
