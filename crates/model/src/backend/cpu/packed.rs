//! Packed weights of inference, kept for as long as the same weights come again.
//!
//! Packing a convolution's weights takes longer than convolving one image with them. A folded
//! network hands over the same tensors at each call, and they are recognised by their address: the
//! store holds a reference to them, so that nobody changes them and the address is not used again.
//! What nobody else holds any more goes when something new comes.

use std::sync::{Arc, Mutex, PoisonError};

use cpu_kernels::ConvShape;
use cpu_kernels::block::inference::Prepared;

use super::tensors::Values;
use super::{checked, context};

/// Convolutions that are kept: those of a few networks.
const MOST: usize = 128;

/// Weights, and what was made of them.
struct Entry {
    /// Keeps the weights' memory as it is.
    weights: Box<dyn Values + Send>,
    address: usize,
    prepared: Arc<Prepared<'static>>,
}

/// The least recently used first.
static STORE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The convolution of `shape` with `weights`, packed now or at an earlier call.
pub(super) fn prepared<V: Values + Send + 'static>(
    shape: &ConvShape,
    weights: V,
) -> Arc<Prepared<'static>> {
    let address = weights.as_slice().as_ptr().addr();
    let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = store
        .iter()
        .position(|entry| entry.address == address && entry.prepared.fits(shape));
    let entry = match known {
        Some(index) => store.remove(index),
        None => Entry {
            address,
            prepared: Arc::new(checked(Prepared::new(context(), shape, weights.as_slice()))),
            weights: Box::new(weights),
        },
    };
    let prepared = entry.prepared.clone();
    if known.is_none() {
        store.retain_mut(|entry| entry.weights.is_shared());
        if store.len() >= MOST {
            store.remove(0);
        }
    }
    store.push(entry);
    prepared
}
