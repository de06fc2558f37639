//! What each parameter of a network is for, so that an optimiser can treat kinds of parameters
//! apart.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::Network;

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Filters of a convolution, `[out_channels, in_channels, height, width]`.
    Filter,
    /// Weights of a linear layer before the last one.
    Linear,
    /// Weights of the last linear layer, which gives the logits.
    Head,
    /// Biases of convolutions and of linear layers.
    Bias,
    /// Biases of the whitening layer.
    WhiteningBias,
    /// Scales of normalisations.
    NormScale,
    /// Shifts of normalisations.
    NormShift,
    /// What never trains: whitening filters, and scales that stay 1.
    Frozen,
}

/// A parameter and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterRole {
    /// Its identity, for Burn's parameter groups.
    pub id: ParamId,
    /// Its name as PyTorch has it, such as `groups.0.conv1.weight`.
    pub path: String,
    /// What it is for.
    pub role: Role,
}

impl Network {
    /// Every parameter and what it is for, in the order of the network's layers. An optimiser
    /// groups them by `ParamGroup::from_ids`.
    #[must_use]
    pub fn roles(&self) -> Vec<ParameterRole> {
        let mut visitor = Visitor::default();
        match self {
            Self::SimpleCnn(network) => network.visit(&mut visitor),
            Self::ResNet(network) => network.visit(&mut visitor),
            Self::ResNet9(network) => network.visit(&mut visitor),
            Self::WideResNet(network) => network.visit(&mut visitor),
            Self::Airbench(network) => network.visit(&mut visitor),
        }
        visitor.found
    }
}

#[derive(Default)]
struct Visitor {
    path: Vec<String>,
    found: Vec<ParameterRole>,
}

impl ModuleVisitor for Visitor {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if let Some(role) = role(&path, D) {
            self.found.push(ParameterRole {
                id: param.id,
                path,
                role,
            });
        }
    }
}

/// What the parameter at `path` with `axes` axes is for; nothing for running statistics.
fn role(path: &str, axes: usize) -> Option<Role> {
    let mut names = path.rsplit('.');
    let (name, layer) = (names.next()?, names.next()?);
    // The normalisation of a residual network's shortcut is the second of a pair.
    let of_shortcut = layer == "1" && names.next() == Some("shortcut");
    let normalises = layer.starts_with("bn") || layer.starts_with("norm") || of_shortcut;
    Some(match (name, axes) {
        ("weight", 4) if layer == "whiten" => Role::Frozen,
        ("bias", 1) if layer == "whiten" => Role::WhiteningBias,
        ("weight", 4) => Role::Filter,
        ("weight", 2) if matches!(layer, "head" | "fc" | "fc3") => Role::Head,
        ("weight", 2) => Role::Linear,
        ("weight", 1) if layer.starts_with("norm") => Role::Frozen,
        ("weight", 1) if normalises => Role::NormScale,
        ("bias", 1) if normalises => Role::NormShift,
        ("bias", 1) => Role::Bias,
        _ => return None,
    })
}
