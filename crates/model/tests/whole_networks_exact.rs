//! Gradients of whole networks with exact convolutions.
#![allow(deprecated, clippy::unwrap_used)]

mod whole_networks;

use model::backend::Precision;

#[test]
fn gradients_of_every_network_agree_with_burns_own_operations() {
    whole_networks::assert_gradients_agree(Precision::Exact, |_| 1e-4);
}
