//! A [`Recipe`] back to TOML, and the hash that tells recipes apart.
//!
//! The text is put together by hand: it cannot fail, and its order and layout are part of the hash.
//! Every structure is taken apart field by field, so that a new key cannot be forgotten here.

use std::fmt::{Debug, Write};

use sha2::{Digest, Sha256};

use super::{
    Augmentation, AverageSpec, Border, CheckpointSpec, DataSpec, DatasetSpec, GradientSpec,
    GroupSpec, LookaheadSpec, LossSpec, Normalize, OptimizerSpec, Recipe, Reduction, ScheduleSpec,
    Select,
};

impl Recipe {
    /// The whole recipe as TOML, defaults included. [`super::load`] reads it back to an equal recipe.
    pub fn to_toml(&self) -> String {
        let mut lines = Lines::default();
        lines.set("name", &self.name);
        if let Some(own) = &self.based_on {
            lines.set("based_on", own);
        }
        lines.0.push_str(&self.settings());
        lines.0
    }

    /// SHA-256 of [`Recipe::to_toml`] without the names, in hexadecimal. Two recipes with the same hash
    /// train the same way.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.settings().as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// All keys but the names.
    pub(super) fn settings(&self) -> String {
        let Self {
            name: _,
            based_on: _,
            network,
            epochs,
            batch_size,
            seed,
            validation,
            select,
            data,
            optimizer,
            gradients,
            groups,
            schedule,
            loss,
            average,
            lookahead,
            patience,
            tta,
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
                Select::Average => "average",
            },
        );
        lines.data(data);
        lines.section("optimizer");
        lines.optimizer(optimizer);
        if let OptimizerSpec::Sgd {
            decay_norm_and_bias,
            ..
        }
        | OptimizerSpec::AdamW {
            decay_norm_and_bias,
            ..
        } = optimizer
        {
            lines.set("decay_norm_and_bias", decay_norm_and_bias);
        }
        let GradientSpec {
            clip_norm,
            accumulate,
        } = gradients;
        lines.set("clip_norm", clip_norm);
        lines.set("accumulate", accumulate);
        groups.iter().for_each(|group| lines.group(group));
        lines.schedule(schedule);
        lines.loss(loss);
        let AverageSpec { decay, every_steps } = average;
        lines.section("average");
        lines.set("decay", decay);
        lines.set("every_steps", every_steps);
        let LookaheadSpec {
            every_steps,
            decay,
            power,
        } = lookahead;
        lines.section("lookahead");
        lines.set("every_steps", every_steps);
        lines.set("decay", decay);
        lines.set("power", power);
        lines.section("early_stopping");
        lines.set("patience", patience);
        lines.section("evaluation");
        lines.set("tta", tta.name());
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
            drop_last,
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
        self.set("drop_last", drop_last);
        let augment: Vec<String> = augment.iter().map(element).collect();
        let _ = writeln!(self.0, "augment = [{}]", augment.join(", "));
    }

    /// All keys of an optimiser that both the section and a group have.
    fn optimizer(&mut self, optimizer: &OptimizerSpec) {
        match optimizer {
            OptimizerSpec::Sgd {
                lr,
                momentum,
                nesterov,
                weight_decay,
                decay_norm_and_bias: _,
            } => {
                self.set("name", "sgd");
                self.set("lr", lr);
                self.set("momentum", momentum);
                self.set("nesterov", nesterov);
                self.set("weight_decay", weight_decay);
            }
            OptimizerSpec::AdamW {
                lr,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                decay_norm_and_bias: _,
            } => {
                self.set("name", "adamw");
                self.set("lr", lr);
                self.set("beta1", beta1);
                self.set("beta2", beta2);
                self.set("epsilon", epsilon);
                self.set("weight_decay", weight_decay);
            }
            OptimizerSpec::Muon {
                lr,
                momentum,
                nesterov,
                weight_decay,
                newton_schulz_steps,
                rescale,
            } => {
                self.set("name", "muon");
                self.set("lr", lr);
                self.set("momentum", momentum);
                self.set("nesterov", nesterov);
                self.set("weight_decay", weight_decay);
                self.set("newton_schulz_steps", newton_schulz_steps);
                self.set("rescale", rescale);
            }
        }
    }

    fn group(&mut self, group: &GroupSpec) {
        let GroupSpec {
            role,
            optimizer,
            epochs,
            own_schedule,
        } = group;
        let _ = writeln!(self.0, "\n[[optimizer.group]]");
        self.set("role", role.name());
        self.optimizer(optimizer);
        if let Some(epochs) = epochs {
            self.set("epochs", epochs);
            self.set("schedule", if *own_schedule { "group" } else { "run" });
        }
    }

    fn loss(&mut self, loss: &LossSpec) {
        let LossSpec {
            label_smoothing,
            reduction,
        } = loss;
        self.section("loss");
        self.set("label_smoothing", label_smoothing);
        let reduction = match reduction {
            Reduction::Mean => "mean",
            Reduction::Sum => "sum",
        };
        self.set("reduction", reduction);
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
            ScheduleSpec::Linear {
                warmup,
                final_fraction,
            } => {
                self.set("name", "linear");
                self.set("warmup", warmup);
                self.set("final", final_fraction);
            }
            ScheduleSpec::Piecewise { points } => {
                self.set("name", "piecewise");
                self.set("points", points);
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

/// An element of `data.augment` as an inline table.
fn element(augmentation: &Augmentation) -> String {
    match augmentation {
        Augmentation::Crop { padding, border } => {
            let border = match border {
                Border::Black => "zero",
                Border::Reflect => "reflect",
            };
            format!("{{ name = \"crop\", padding = {padding}, border = \"{border}\" }}")
        }
        Augmentation::Translate { pixels } => {
            format!("{{ name = \"translate\", pixels = {pixels} }}")
        }
        Augmentation::Flip => "{ name = \"flip\", mode = \"random\" }".to_owned(),
        Augmentation::AlternatingFlip => "{ name = \"flip\", mode = \"alternating\" }".to_owned(),
        Augmentation::Brightness { strength } => {
            format!("{{ name = \"brightness\", strength = {strength:?} }}")
        }
        Augmentation::Contrast { strength } => {
            format!("{{ name = \"contrast\", strength = {strength:?} }}")
        }
        Augmentation::TrivialAugment => "{ name = \"trivial_augment\" }".to_owned(),
        Augmentation::Cutout { size } => format!("{{ name = \"cutout\", size = {size} }}"),
        Augmentation::Mixup { alpha } => format!("{{ name = \"mixup\", alpha = {alpha:?} }}"),
        Augmentation::CutMix { alpha } => format!("{{ name = \"cutmix\", alpha = {alpha:?} }}"),
    }
}
