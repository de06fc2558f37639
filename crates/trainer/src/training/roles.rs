//! What each parameter is for, by its shape and its name.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::tensor::Tensor;

use super::TrainError;
use crate::recipe::{GroupSpec, Role};

/// The parameters of `module` with one of `roles`.
#[must_use]
pub fn group_of<M: Module>(module: &M, roles: &[Role]) -> ParamGroup {
    ParamGroup::from_paths(paths(module, roles))
}

/// Refuses groups that none of `module`'s parameters belongs to.
///
/// # Errors
/// [`TrainError::Optimizer`] with the role.
pub fn check<M: Module>(groups: &[GroupSpec], module: &M) -> Result<(), TrainError> {
    for GroupSpec { role, .. } in groups {
        if paths(module, &[*role]).is_empty() {
            return Err(TrainError::Optimizer(format!(
                "the network has no weights of the role \"{}\"; leave that group out of \
                 `optimizer.group`",
                role.name()
            )));
        }
    }
    Ok(())
}

fn paths<M: Module>(module: &M, roles: &[Role]) -> Vec<String> {
    let mut visitor = Roles::default();
    module.visit(&mut visitor);
    let found = visitor.found.into_iter();
    found
        .filter(|(_, role)| roles.contains(role))
        .map(|(path, _)| path)
        .collect()
}

#[derive(Default)]
struct Roles {
    path: Vec<String>,
    found: Vec<(String, Role)>,
}

impl ModuleVisitor for Roles {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let whitening = self.path.iter().any(|name| name.starts_with("whiten"));
        let role = match (D, self.path.last().map(String::as_str)) {
            (4, Some("weight")) => Role::Filters,
            (2, Some("weight")) => Role::Head,
            (1, Some("weight")) => Role::Normalisation,
            (1, Some("bias")) if whitening => Role::Whitening,
            (1, Some("bias")) => Role::Biases,
            // Running statistics.
            _ => return,
        };
        self.found.push((self.path.join("."), role));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;
    use model::{Network, NetworkKind};

    use super::*;

    #[test]
    fn every_parameter_has_one_role_and_running_statistics_have_none() {
        #[allow(deprecated)]
        let device = Device::ndarray();
        let count = |kind, role| {
            let network = Network::init(kind, 10, 0, &device).unwrap();
            paths(&network, &[role]).len()
        };
        let of = |kind| Role::ALL.map(|role| count(kind, role));
        // A stem, 18 convolutions in blocks and 2 projections, each with its normalisation; a linear layer.
        assert_eq!(of(NetworkKind::ResNet20), [21, 22, 21, 1, 0]);
        assert_eq!(of(NetworkKind::SimpleCnn), [2, 5, 0, 3, 0]);
    }
}
