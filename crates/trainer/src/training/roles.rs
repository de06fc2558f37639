//! The groups of weights that a recipe names by role.

use burn::module::{ParamGroup, ParamId};
use model::Network;

use super::TrainError;
use crate::recipe::{GroupSpec, Role};

/// The parameters of `network` with one of `roles`.
#[must_use]
pub fn group_of(network: &Network, roles: &[Role]) -> ParamGroup {
    ParamGroup::from_ids(ids(network, roles))
}

/// Refuses groups that none of `network`'s parameters belongs to.
///
/// # Errors
/// [`TrainError::Optimizer`] with the role.
pub fn check(groups: &[GroupSpec], network: &Network) -> Result<(), TrainError> {
    for GroupSpec { role, .. } in groups {
        if ids(network, &[*role]).is_empty() {
            return Err(TrainError::Optimizer(format!(
                "the network has no weights of the role \"{}\"; leave that group out of \
                 `optimizer.group`, or take a recipe for this network: `trainer recipes` lists them",
                role.name()
            )));
        }
    }
    Ok(())
}

fn ids(network: &Network, roles: &[Role]) -> Vec<ParamId> {
    let parameters = network.roles().into_iter();
    parameters
        .filter(|parameter| role_of(parameter.role).is_some_and(|role| roles.contains(&role)))
        .map(|parameter| parameter.id)
        .collect()
}

/// What recipes call a role of the model's; nothing for what never trains.
fn role_of(role: model::Role) -> Option<Role> {
    match role {
        model::Role::Filter => Some(Role::Filters),
        model::Role::Linear | model::Role::Head => Some(Role::Head),
        model::Role::Bias | model::Role::NormShift => Some(Role::Biases),
        model::Role::WhiteningBias => Some(Role::Whitening),
        model::Role::NormScale => Some(Role::Normalisation),
        model::Role::Frozen => None,
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
            ids(&network, &[role]).len()
        };
        let of = |kind| Role::ALL.map(|role| count(kind, role));
        // A stem, 18 convolutions in blocks and 2 projections, each with its normalisation; a linear layer.
        assert_eq!(of(NetworkKind::ResNet20), [21, 22, 21, 1, 0]);
        assert_eq!(of(NetworkKind::SimpleCnn), [2, 5, 0, 3, 0]);
        // The whitening layer's filters and the normalisations' scales stay as they are.
        assert_eq!(of(NetworkKind::Airbench94), [6, 6, 0, 1, 1]);
    }
}
