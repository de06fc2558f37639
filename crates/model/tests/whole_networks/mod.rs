//! The gradients of whole networks against the same networks made of Burn's own operations in
//! double precision. The precision is set once for a process, so that exact and fast convolutions
//! have a binary each.

use burn::tensor::Device;
use model::NetworkKind;
use model::backend::{Precision, set_precision};
use model::check::networks;

/// Images of the batches.
const SIZES: [usize; 5] = [1, 2, 3, 4, 5];

/// How far the gradients of a network are from those of Burn's own operations, on some batches in
/// order of size.
fn distances(kind: NetworkKind, device: &Device) -> Vec<f64> {
    let network = networks::network(kind, device).unwrap();
    let parameters = networks::parameters(&network).unwrap();
    let mut distances: Vec<f64> = SIZES
        .map(|size| {
            let found = networks::answer(&network, networks::batch(size, 3, device)).unwrap();
            let expected = networks::expected(kind, &parameters, size, 3).unwrap();
            found.distance(&expected)
        })
        .into();
    distances.sort_by(f64::total_cmp);
    println!("{}: {distances:?}", kind.name());
    distances
}

/// Asserts that the gradients of every network agree with those of Burn's own operations, on ndarray
/// and on Flex.
///
/// A rectifier whose input is zero but for rounding may open on one side alone, and then gradients
/// differ by a thousand times what rounding does; Burn's own in single precision do so too. So on
/// every batch they differ by a few hundredths at most, and by less than `bound` on one at least, where
/// no rectifier does so.
pub fn assert_gradients_agree(precision: Precision, bound: impl Fn(NetworkKind) -> f64) {
    set_precision(precision).unwrap();
    for kind in NetworkKind::ALL {
        for device in [Device::ndarray(), Device::flex()].map(Device::autodiff) {
            let distances = distances(kind, &device);
            assert!(distances[0] < bound(kind), "{}", kind.name());
            assert!(distances[SIZES.len() - 1] < 5e-2, "{}", kind.name());
        }
    }
}
