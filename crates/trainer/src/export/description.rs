//! What a file says of its network beside the weights.

use cifar10::{CLASS_NAMES, Normalization};

use crate::trained::Trained;

/// Texts by their names, in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(Vec<(&'static str, String)>);

impl Description {
    /// What is said of `trained`, the network of the run called `run`. Lists are JSON.
    #[must_use]
    pub fn new(trained: &Trained, run: &str) -> Self {
        let Normalization { mean, std } = trained.normalization();
        Self(vec![
            ("classes", serde_json::json!(CLASS_NAMES).to_string()),
            (
                "input",
                "images of [batch, 3, 32, 32], red, green, blue; a byte p of channel c is given as \
                 (p / 255 - mean[c]) / std[c]"
                    .to_owned(),
            ),
            ("mean", format!("{mean:?}")),
            ("network", trained.recipe.network.clone()),
            ("output", "logits of [batch, 10], in the order of classes".to_owned()),
            ("run", run.to_owned()),
            ("std", format!("{std:?}")),
        ])
    }

    /// The texts by their names.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (*name, text.as_str()))
    }
}
