//! How the arguments and results of an operation travel.
//!
//! Burn's description of a custom operation has two lists: tensors, and scalars. An argument puts
//! itself there piece by piece, a structure field after field, and is taken out in the same order
//! on the other side. Burn serialises the description, with everything else that it sends. A tensor
//! stays where it is, and its number travels.

use std::cell::Cell;
use std::slice::Iter;
use std::vec::IntoIter;

use burn::backend::ir::{BackendIr, CustomOpIr, HandleContainer, ScalarIr, TensorIr};
use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, Remote, TensorMetadata};
use burn::remote::CustomOpClient;

use super::shapes::{Like, Slot, slot};
use crate::backend::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, ConvGroup, ConvNorm, ConvNormGradients,
    ConvNormRelu, Convolved, CrossEntropy, Means, MuonStep, Pooled, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients, SgdStep, Statistics, Stepped, Stored, StoredBatch,
};

/// Where pieces are put.
pub trait Sink<B: Backend> {
    /// Puts a tensor of numbers.
    fn float(&mut self, tensor: FloatTensor<B>);
    /// Puts a tensor of whole numbers.
    fn int(&mut self, tensor: IntTensor<B>);
    /// Puts a scalar.
    fn scalar(&mut self, scalar: ScalarIr);
}

/// Where they are taken from, in the same order.
pub trait Source<B: Backend> {
    /// Takes a tensor of numbers.
    fn float(&mut self) -> FloatTensor<B>;
    /// Takes a tensor of whole numbers.
    fn int(&mut self) -> IntTensor<B>;
    /// Takes a scalar.
    fn scalar(&mut self) -> ScalarIr;
}

/// What travels as one piece or several.
pub trait Wire<B: Backend>: Sized {
    /// Puts every piece.
    fn put(self, sink: &mut impl Sink<B>);
    /// Takes every piece.
    fn take(source: &mut impl Source<B>) -> Self;
}

/// A type that travels as one scalar, which holds every value of it exactly.
macro_rules! scalar {
    ($($type:ty: $variant:ident as $wide:ty;)*) => {$(
        impl<B: Backend> Wire<B> for $type {
            fn put(self, sink: &mut impl Sink<B>) {
                sink.scalar(ScalarIr::$variant(self as $wide));
            }

            fn take(source: &mut impl Source<B>) -> Self {
                source.scalar().elem()
            }
        }
    )*};
}

scalar! {
    f32: Float as f64;
    f64: Float as f64;
    bool: Bool as bool;
}

impl<B: Backend> Wire<B> for usize {
    fn put(self, sink: &mut impl Sink<B>) {
        sink.scalar(ScalarIr::UInt(self as u64));
    }

    fn take(source: &mut impl Source<B>) -> Self {
        source.scalar().elem::<u64>() as usize
    }
}

impl<B: Backend> Wire<B> for [f32; 2] {
    fn put(self, sink: &mut impl Sink<B>) {
        self.into_iter()
            .for_each(|value| Wire::<B>::put(value, sink));
    }

    fn take(source: &mut impl Source<B>) -> Self {
        [(); 2].map(|()| Wire::<B>::take(source))
    }
}

/// The settings of a step, and their fields in the order in which they travel.
macro_rules! settings {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl<B: Backend> Wire<B> for $name {
            fn put(self, sink: &mut impl Sink<B>) {
                $(Wire::<B>::put(self.$field, sink);)*
            }

            fn take(source: &mut impl Source<B>) -> Self {
                // Fields are evaluated in the order in which they stand here, which is that of `put`.
                Self { $($field: Wire::<B>::take(source)),* }
            }
        }
    )*};
}

settings! {
    SgdStep { lr, momentum, nesterov, weight_decay }
    AdamWStep { lr, beta1, beta2, epsilon, weight_decay, shares }
    MuonStep { lr, momentum, nesterov, weight_decay, newton_schulz_steps, rescale }
}

/// A structure of tensors, and its fields in the order in which they travel. A field is a tensor,
/// `float` or `int`, or itself such a structure, `all`.
macro_rules! structure {
    ($($name:ident { $($field:ident: $kind:ident),* })*) => {$(
        impl<B: Backend> Wire<B> for $name<B> {
            fn put(self, sink: &mut impl Sink<B>) {
                $(structure!(@put $kind, sink, self.$field);)*
            }

            fn take(source: &mut impl Source<B>) -> Self {
                Self { $($field: structure!(@take $kind, source)),* }
            }
        }

        impl Like for $name<Remote> {
            fn slots(&self, slots: &mut Vec<Slot>) {
                $(structure!(@slots $kind, slots, &self.$field);)*
            }
        }
    )*};
    (@slots all, $slots:ident, $value:expr) => { $value.slots($slots) };
    (@slots $kind:ident, $slots:ident, $value:expr) => { $slots.push(slot($value)) };
    (@put all, $sink:ident, $value:expr) => { $value.put($sink) };
    (@put $kind:ident, $sink:ident, $value:expr) => { $sink.$kind($value) };
    (@take all, $source:ident) => { Wire::take($source) };
    (@take $kind:ident, $source:ident) => { $source.$kind() };
}

structure! {
    ConvNorm { weight: float, gamma: float, beta: float }
    Affine { weight: float, bias: float }
    Convolved { output: float, mean: float, variance: float }
    Statistics { mean: float, variance: float }
    ConvNormRelu { y: float, convolved: all }
    Residual { y: float, first: all, second: all }
    ProjectedResidual { main: all, projection: all }
    ConvNormGradients { x: float, parameters: all }
    ResidualGradients { x: float, first: all, second: all }
    ProjectedResidualGradients { main: all, projection: all }
    ConvGroup { y: float, places: int, first: all, second: all }
    ResidualConvGroup { group: all, third: all }
    ResidualConvGroupGradients { group: all, third: all }
    Pooled { y: float, indices: int }
    AffineGradients { x: float, parameters: all }
    CrossEntropy { loss: float, gradient: float }
    Stepped { weight: float, velocity: float }
    Means { first: float, second: float }
    AdamWStepped { weight: float, means: all }
    Stored { first: int, rest: int, tables: float }
    StoredBatch { images: float, classes: int }
}

/// After so many operations they are handed over.
///
/// Burn hands what a worker is asked for to a thread of its own, in a queue of 32, and spins where that is full. On
/// few cores this keeps from that thread, and from a worker of the same machine, what they need to empty it. Who
/// waits for the queue before it is full sleeps. Tensors that are given up go through it too, and Burn's own
/// operations, about one to three of these.
const HANDED_OVER: usize = 8;

thread_local! {
    /// Operations of this thread that were not handed over.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// What is asked of a worker.
#[derive(Default)]
pub struct Request {
    tensors: Vec<TensorIr>,
    scalars: Vec<ScalarIr>,
    device: Option<Device<Remote>>,
}

impl Request {
    /// Notes a tensor, and with the first one whose worker is asked.
    fn tensor(&mut self, tensor: FloatTensor<Remote>) {
        self.device.get_or_insert_with(|| tensor.device());
        self.tensors.push(tensor.into_ir());
    }

    /// Asks for `operation`. The results are there at once as far as this side is concerned: what
    /// they hold is known where they are read.
    pub fn send(self, operation: &'static str, results: Vec<Slot>) -> Reply {
        let device = agreed(self.device);
        let client = CustomOpClient::new(&device);
        let results: Vec<TensorIr> = results
            .into_iter()
            .map(|slot| TensorIr::uninit(client.create_empty_handle(), slot.shape, slot.dtype))
            .collect();
        let asked = CustomOpIr::with_scalars(operation, &self.tensors, &results, self.scalars);
        let reply = Reply(client.register(asked).into_iter());
        ASKED.set(ASKED.get() + 1);
        if ASKED.get() == HANDED_OVER {
            ASKED.set(0);
            // That a worker is gone is said where a result is read.
            let _ = Remote::flush(&device);
        }
        reply
    }
}

impl Sink<Remote> for Request {
    fn float(&mut self, tensor: FloatTensor<Remote>) {
        self.tensor(tensor);
    }

    fn int(&mut self, tensor: IntTensor<Remote>) {
        self.tensor(tensor);
    }

    fn scalar(&mut self, scalar: ScalarIr) {
        self.scalars.push(scalar);
    }
}

/// The results of an operation that was asked for.
pub struct Reply(IntoIter<FloatTensor<Remote>>);

impl Source<Remote> for Reply {
    fn float(&mut self) -> FloatTensor<Remote> {
        agreed(self.0.next())
    }

    fn int(&mut self) -> IntTensor<Remote> {
        agreed(self.0.next())
    }

    fn scalar(&mut self) -> ScalarIr {
        agreed(None)
    }
}

/// The arguments of an operation, at the worker.
pub struct Arguments<'a, B: BackendIr> {
    handles: &'a mut HandleContainer<B::Handle>,
    tensors: Iter<'a, TensorIr>,
    scalars: Iter<'a, ScalarIr>,
}

impl<'a, B: BackendIr> Arguments<'a, B> {
    /// Those of `asked`, among the tensors of its session.
    pub fn new(handles: &'a mut HandleContainer<B::Handle>, asked: &'a CustomOpIr) -> Self {
        Self {
            handles,
            tensors: asked.inputs.iter(),
            scalars: asked.scalars.iter(),
        }
    }
}

impl<B: BackendIr> Source<B> for Arguments<'_, B> {
    fn float(&mut self) -> FloatTensor<B> {
        self.handles
            .get_float_tensor::<B>(agreed(self.tensors.next()))
    }

    fn int(&mut self) -> IntTensor<B> {
        self.handles
            .get_int_tensor::<B>(agreed(self.tensors.next()))
    }

    fn scalar(&mut self) -> ScalarIr {
        *agreed(self.scalars.next())
    }
}

/// The results of an operation, at the worker.
pub struct Results<'a, B: BackendIr> {
    handles: &'a mut HandleContainer<B::Handle>,
    tensors: Iter<'a, TensorIr>,
}

impl<'a, B: BackendIr> Results<'a, B> {
    /// Those that `asked` names.
    pub fn new(handles: &'a mut HandleContainer<B::Handle>, asked: &'a CustomOpIr) -> Self {
        Self {
            handles,
            tensors: asked.outputs.iter(),
        }
    }
}

impl<B: BackendIr> Sink<B> for Results<'_, B> {
    fn float(&mut self, tensor: FloatTensor<B>) {
        let id = &agreed(self.tensors.next()).id;
        self.handles.register_float_tensor::<B>(id, tensor);
    }

    fn int(&mut self, tensor: IntTensor<B>) {
        let id = &agreed(self.tensors.next()).id;
        self.handles.register_int_tensor::<B>(id, tensor);
    }

    fn scalar(&mut self, _scalar: ScalarIr) {
        agreed::<()>(None);
    }
}

/// A piece that the other side put. One that is missing is a defect, since both sides are made from
/// one table and compare their versions first: it ends as every wrong shape ends in Burn, which at a
/// worker is the end of that one session.
#[allow(clippy::panic)]
fn agreed<T>(piece: Option<T>) -> T {
    match piece {
        Some(piece) => piece,
        None => panic!("the two sides do not agree on the pieces of an operation"),
    }
}
