//! The groups of weights that a recipe names by role.

use burn::module::{ParamGroup, ParamId};
use model::Network;

use crate::recipe::{GroupSpec, Role};

/// The parameters of `network` with one of `roles`.
#[must_use]
pub fn group_of(network: &Network, roles: &[Role]) -> ParamGroup {
    ParamGroup::from_ids(ids(network, roles))
}

/// A line for each group that none of `network`'s parameters belongs to: a recipe for one network may be
/// tried on another.
#[must_use]
pub fn idle(groups: &[GroupSpec], network: &Network, name: &str) -> Vec<String> {
    let idle = groups
        .iter()
        .filter(|group| ids(network, &[group.role]).is_empty());
    idle.map(|group| {
        format!(
            "{name} has no weights of the role \"{}\", so that this group of the optimiser has no effect",
            group.role.name()
        )
    })
    .collect()
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
    fn groups_that_fit_no_parameter_are_named_and_others_are_not() {
        #[allow(deprecated)]
        let device = Device::ndarray();
        let recipe = crate::recipe::load("default", &[], &NetworkKind::NAMES).unwrap();
        let idle = |kind: NetworkKind| {
            let network = Network::init(kind, 10, 0, &device).unwrap();
            idle(&recipe.groups, &network, kind.name())
        };
        let of_other_network = idle(NetworkKind::ResNet20);
        assert_eq!(of_other_network.len(), 1);
        assert!(
            of_other_network[0].starts_with("resnet20 has no weights of the role \"whitening\"")
        );
        assert!(idle(NetworkKind::AirbenchNarrow).is_empty());
    }

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
