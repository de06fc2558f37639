//! The kernels against loops in double precision, on the default device: a software adapter is enough.

#![cfg(feature = "wgpu")]

mod convolutions;
mod halves;
mod moments;
mod muon;
mod updates;

use cubecl::prelude::*;
use gpu_kernels::{Buffer, Element};

fn client() -> Client {
    cubecl::Device::default().client()
}

fn random(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn upload(client: &Client, values: &[f32]) -> Buffer {
    Buffer {
        handle: client.create_from_slice(f32::as_bytes(values)),
        length: values.len(),
        element: Element::Single,
    }
}

fn download(client: &Client, buffer: &Buffer) -> Vec<f32> {
    f32::from_bytes(&client.read_one_unchecked(buffer.handle.clone())).to_vec()
}

fn error(ours: &[f32], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    square(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - b))
        / square(&mut theirs.iter().copied())
}
