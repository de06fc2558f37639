//! Numbers of a device, and how images are stored there.

use cubecl::ir::FloatKind;
use cubecl::prelude::*;
use cubecl::server::MemoryLayoutDescriptor;
use cubecl::zspace::Shape;

use crate::rows::elementwise;
use crate::{narrow, widen, width};

/// How a device stores the numbers of images. Everything is computed in single precision.
///
/// In half precision small gradients would be none: those by images are stored [`scale`](Element::scale) times as
/// large (Micikevicius et al., 2018, "Mixed precision training", section 3.2), and gradients by parameters, which are
/// in single precision, are made of them without that factor. What a number of half precision cannot hold becomes the
/// largest that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Four bytes, with 24 bits of a number.
    Single,
    /// Two bytes, with 11 bits of a number, none of which is above 65,504.
    Half,
}

impl Element {
    /// How much larger gradients by images are stored, for a batch of so many. A loss is a mean over the batch, and
    /// so are its gradients: those of an image's own loss may be from 2e-7 to 256.
    #[must_use]
    pub fn scale(self, batch: usize) -> f32 {
        match self {
            Self::Single => 1.0,
            // A power of two changes no digit.
            Self::Half => 256.0 * batch.next_power_of_two() as f32,
        }
    }

    /// Bytes of a number.
    fn bytes(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Half => 2,
        }
    }

    /// As kernels name it.
    pub(crate) fn kind(self) -> ElemType {
        ElemType::Float(match self {
            Self::Single => FloatKind::F32,
            Self::Half => FloatKind::F16,
        })
    }
}

/// Numbers of a device, side by side.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Where they are.
    pub handle: cubecl::server::Handle,
    /// How many they are.
    pub length: usize,
    /// How they are stored.
    pub element: Element,
}

impl Buffer {
    /// Room for so many numbers of four bytes, which are any.
    #[must_use]
    pub fn new(client: &Client, length: usize) -> Self {
        Self::of(client, length, Element::Single)
    }

    /// Room for so many numbers, which are any.
    #[must_use]
    pub fn of(client: &Client, length: usize, element: Element) -> Self {
        Self {
            // Devices see whole words.
            handle: client.empty((length * element.bytes()).next_multiple_of(4)),
            length,
            element,
        }
    }

    /// Room for several buffers of numbers of four bytes that live equally long, side by side: one reservation in
    /// place of many, whose cost is the host's.
    #[must_use]
    pub fn several<const N: usize>(client: &Client, lengths: [usize; N]) -> [Self; N] {
        let bytes = Element::Single.bytes();
        let descriptors =
            lengths.map(|length| MemoryLayoutDescriptor::contiguous(Shape::from([length]), bytes));
        let mut layouts = client.empty_tensors(descriptors.into()).into_iter();
        lengths.map(|length| match layouts.next() {
            Some(layout) => Self {
                handle: layout.memory,
                length,
                element: Element::Single,
            },
            None => Self::new(client, length),
        })
    }

    /// As vectors of `width` numbers.
    pub(crate) fn argument(&self, width: usize) -> BufferArg {
        // SAFETY: a buffer holds `length` numbers.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.length / width) }
    }
}

#[cube(launch_unchecked)]
fn store_kernel<A: Float, E: Float, N: Size>(
    x: &[Vector<A, N>],
    stored: &mut [Vector<E, N>],
    factor: f32,
    #[define(A)] _from: ElemType,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < stored.len() {
        stored[at] = narrow::<E, N>(widen::<A, N>(x[at]) * Vector::<f32, N>::new(factor));
    }
}

/// Images as they are stored with this element.
#[must_use]
pub fn stored_as(client: &Client, x: Buffer, element: Element) -> Buffer {
    stored_with(client, x, element, 1.0)
}

/// A gradient by images, of a batch of so many, as it is stored with this element.
#[must_use]
pub fn gradient_of(client: &Client, dy: Buffer, batch: usize, element: Element) -> Buffer {
    let factor = element.scale(batch) / dy.element.scale(batch);
    stored_with(client, dy, element, factor)
}

fn stored_with(client: &Client, x: Buffer, element: Element, factor: f32) -> Buffer {
    if element == x.element {
        return x;
    }
    let of = width(x.length);
    let stored = Buffer::of(client, x.length, element);
    let (count, dim) = elementwise(x.length / of);
    // SAFETY: the kernel stays below the length that both have.
    unsafe {
        store_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            x.argument(of),
            stored.argument(of),
            factor,
            x.element.kind(),
            element.kind(),
        );
    }
    stored
}
