//! Gradients of whole networks with fast convolutions.
#![allow(deprecated, clippy::unwrap_used)]

mod whole_networks;

use model::NetworkKind;
use model::backend::Precision;

#[test]
fn gradients_of_every_network_agree_with_burns_own_operations() {
    whole_networks::assert_gradients_agree(Precision::Fast, |kind| match kind {
        // Half a million rectifiers an image: with the rounding of Winograd's algorithm one or two of
        // them open on one side alone in any batch.
        NetworkKind::ResNet18 => 5e-3,
        _ => 1e-3,
    });
}
