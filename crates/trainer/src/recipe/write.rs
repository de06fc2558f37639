//! A [`Recipe`] back to TOML, and the hash that tells recipes apart.
//!
//! The text is put together by hand: it cannot fail, and its order and layout are part of the hash.
//! Every structure is taken apart field by field, so that a new key cannot be forgotten here.

use std::fmt::{Debug, Write};

use sha2::{Digest, Sha256};

use super::{
    Augmentation, CheckpointSpec, DataSpec, DatasetSpec, LossSpec, Normalize, OptimizerSpec,
    Recipe, ScheduleSpec, Select,
};

impl Recipe {
    /// The whole recipe as TOML, defaults included. [`super::load`] reads it back to an equal recipe.
    pub fn to_toml(&self) -> String {
        let mut lines = Lines::default();
        lines.set("name", &self.name);
        lines.0.push_str(&self.settings());
        lines.0
    }

    /// SHA-256 of [`Recipe::to_toml`] without the name, in hexadecimal. Two recipes with the same hash
    /// train the same way.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.settings().as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// All keys but the name.
    pub(super) fn settings(&self) -> String {
        let Self {
            name: _,
            network,
            epochs,
            batch_size,
            seed,
            validation,
            select,
            data,
            optimizer,
            schedule,
            loss,
            checkpoint,
        } = self;
        let mut lines = Lines::default();
        lines.set("network", network);
        lines.set("epochs", epochs);
        lines.set("batch_size", batch_size);
        lines.set("seed", seed);
        lines.set("validation", validation);
        lines.set(
            "select",
            match select {
                Select::Last => "last",
                Select::Best => "best",
            },
        );
        lines.data(data);
        lines.optimizer(optimizer);
        lines.schedule(schedule);
        let LossSpec { label_smoothing } = loss;
        lines.section("loss");
        lines.set("label_smoothing", label_smoothing);
        let CheckpointSpec {
            every_epochs,
            every_steps,
            every_minutes,
            keep,
            keep_every,
        } = checkpoint;
        lines.section("checkpoint");
        lines.set("every_epochs", every_epochs);
        lines.set("every_steps", every_steps);
        lines.set("every_minutes", every_minutes);
        lines.set("keep", keep);
        lines.set("keep_every", keep_every);
        lines.0
    }
}

/// TOML text that grows line by line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A key with its value. Rust's debug form of a number, a truth value, a list of numbers and a plain
    /// name is also TOML's.
    fn set(&mut self, key: &str, value: impl Debug) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{key} = {value:?}");
    }

    fn section(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n[{name}]");
    }

    fn data(&mut self, data: &DataSpec) {
        let DataSpec {
            source,
            normalize,
            augment,
        } = data;
        self.section("data");
        self.set("dataset", source.name());
        if let DatasetSpec::Synthetic {
            train_images,
            test_images,
        } = source
        {
            self.set("train_images", train_images);
            self.set("test_images", test_images);
        }
        self.set(
            "normalize",
            match normalize {
                Normalize::Channel => "channel",
                Normalize::Half => "half",
            },
        );
        let augment: Vec<String> = augment
            .iter()
            .map(|augmentation| match augmentation {
                Augmentation::Crop { padding } => {
                    format!("{{ name = \"crop\", padding = {padding} }}")
                }
                Augmentation::Flip => "{ name = \"flip\" }".to_owned(),
            })
            .collect();
        let _ = writeln!(self.0, "augment = [{}]", augment.join(", "));
    }

    fn optimizer(&mut self, optimizer: &OptimizerSpec) {
        self.section("optimizer");
        match optimizer {
            OptimizerSpec::Sgd {
                lr,
                momentum,
                nesterov,
                weight_decay,
                decay_norm_and_bias,
            } => {
                self.set("name", "sgd");
                self.set("lr", lr);
                self.set("momentum", momentum);
                self.set("nesterov", nesterov);
                self.set("weight_decay", weight_decay);
                self.set("decay_norm_and_bias", decay_norm_and_bias);
            }
            OptimizerSpec::AdamW {
                lr,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                decay_norm_and_bias,
            } => {
                self.set("name", "adamw");
                self.set("lr", lr);
                self.set("beta1", beta1);
                self.set("beta2", beta2);
                self.set("epsilon", epsilon);
                self.set("weight_decay", weight_decay);
                self.set("decay_norm_and_bias", decay_norm_and_bias);
            }
        }
    }

    fn schedule(&mut self, schedule: &ScheduleSpec) {
        self.section("schedule");
        match schedule {
            ScheduleSpec::Constant { warmup } => {
                self.set("name", "constant");
                self.set("warmup", warmup);
            }
            ScheduleSpec::Step {
                warmup,
                milestones,
                gamma,
            } => {
                self.set("name", "step");
                self.set("warmup", warmup);
                self.set("milestones", milestones);
                self.set("gamma", gamma);
            }
            ScheduleSpec::Cosine {
                warmup,
                final_fraction,
            } => {
                self.set("name", "cosine");
                self.set("warmup", warmup);
                self.set("final", final_fraction);
            }
            ScheduleSpec::OneCycle {
                warmup,
                final_fraction,
            } => {
                self.set("name", "one_cycle");
                self.set("warmup", warmup);
                self.set("final", final_fraction);
            }
        }
    }
}
