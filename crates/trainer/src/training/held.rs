//! State whose tensors are read at once, where Burn's records read one after the other.
//!
//! On a worker each tensor that is read for itself takes as long as an answer is under way. So a network is read
//! into the memory of this machine first, and its record is made of that; and what an optimiser keeps for a
//! parameter is [`Held`], which is asked for before the record is made, and taken from the answers then.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, ExecutionError, Tensor, TensorData};

use super::read::ReadAtOnce;
use crate::{RecordState, StateSink, StateSource};

/// `module` without autodiff, in this machine's memory. Its tensors are read at once.
///
/// # Errors
/// Burn's, where the device could not compute one of them.
pub fn on_host<M: Module>(module: &M) -> Result<M, ExecutionError> {
    AskedModule::of(module).read()
}

/// A module whose tensors are on their way.
pub struct AskedModule<M> {
    module: M,
    reading: Option<ReadAtOnce>,
}

impl<M: Module> AskedModule<M> {
    /// Asks for the tensors of `module`.
    pub fn of(module: &M) -> Self {
        // A copy without autodiff has running statistics of its own, those of the last batch among them.
        let module = module.valid();
        let mut asking = Asking::default();
        module.visit(&mut asking);
        let reading = asking.0.map(ReadAtOnce::asked);
        Self { module, reading }
    }

    /// The module in this machine's memory, once its tensors have come.
    ///
    /// # Errors
    /// Burn's, where the device could not compute one of them.
    pub fn read(self) -> Result<M, ExecutionError> {
        let read = self.reading.map(ReadAtOnce::read).transpose()?;
        let mut given = Given(read.unwrap_or_default().into_iter());
        Ok(self.module.map(&mut given))
    }
}

/// Asks for tensors of one device.
#[derive(Default)]
struct Asking(Option<ReadAtOnce>);

impl Asking {
    fn add<const D: usize>(&mut self, tensor: Tensor<D>) {
        let reading = self.0.take();
        let reading = reading.unwrap_or_else(|| ReadAtOnce::of(&tensor.device()));
        self.0 = Some(reading.register(tensor));
    }
}

impl ModuleVisitor for Asking {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.val());
    }
}

/// Puts tensors in the place of those that [`Asking`] saw, in its order.
struct Given(std::vec::IntoIter<TensorData>);

impl ModuleMapper for Given {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.0.next();
        param.map(|tensor| data.map_or(tensor, on_this_machine))
    }
}

fn on_this_machine<const D: usize>(data: TensorData) -> Tensor<D> {
    let dtype = data.dtype();
    Tensor::from_data(data, (&Device::flex(), dtype))
}

/// A tensor of an optimiser's state.
#[derive(Debug, Clone)]
pub struct Held<const D: usize>(pub Tensor<D>);

/// As Burn's derive stores a tensor: under the name of its field.
impl<const D: usize> RecordState for Held<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.tensors.push((prefix.to_owned(), data(prefix, &self.0)));
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let (parent, field) = prefix.rsplit_once('.')?;
        let data = source.take_tensor(parent, field)?;
        Some(Self(Tensor::from_data(data, device)))
    }
}

/// What a record of an optimiser that this thread makes is made of.
enum Making {
    /// Each tensor is read from its device.
    Plain,
    /// Each tensor is asked for, and the record is of no use.
    Asking(Vec<String>, Asking),
    /// Tensors that have come, by their names.
    Given(HashMap<String, TensorData>),
}

thread_local! {
    static MAKING: RefCell<Making> = const { RefCell::new(Making::Plain) };
}

/// The data of a tensor's place in a record.
fn data<const D: usize>(name: &str, tensor: &Tensor<D>) -> TensorData {
    MAKING.with_borrow_mut(|making| match making {
        Making::Plain => tensor.clone().into_data(),
        Making::Asking(names, asking) => {
            names.push(name.to_owned());
            asking.add(tensor.clone());
            TensorData::new(Vec::<f32>::new(), [0])
        }
        Making::Given(given) => {
            let given = given.remove(name);
            given.unwrap_or_else(|| tensor.clone().into_data())
        }
    })
}

/// The tensors of an optimiser's state, on their way.
pub struct AskedState {
    names: Vec<String>,
    reading: Option<ReadAtOnce>,
}

impl AskedState {
    /// Asks for the state of `optimizer`.
    pub fn of(optimizer: &ModuleOptimizer) -> Self {
        MAKING.set(Making::Asking(Vec::new(), Asking::default()));
        drop(optimizer.to_record());
        match MAKING.replace(Making::Plain) {
            Making::Asking(names, asking) => Self {
                names,
                reading: asking.0.map(ReadAtOnce::asked),
            },
            Making::Plain | Making::Given(_) => Self {
                names: Vec::new(),
                reading: None,
            },
        }
    }

    /// The tensors, once they have come.
    ///
    /// # Errors
    /// Burn's, where the device could not compute one of them.
    pub fn read(self) -> Result<ReadState, ExecutionError> {
        let read = self.reading.map(ReadAtOnce::read).transpose()?;
        let named = self.names.into_iter().zip(read.unwrap_or_default());
        Ok(ReadState(named.collect()))
    }
}

/// The tensors of an optimiser's state, in this machine's memory.
pub struct ReadState(HashMap<String, TensorData>);

impl ReadState {
    /// Does `work`, in which a record of the optimiser is made of these tensors.
    pub fn during<R>(self, work: impl FnOnce() -> R) -> R {
        MAKING.set(Making::Given(self.0));
        let result = work();
        MAKING.set(Making::Plain);
        result
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::collections::BTreeMap;

    use burn::optim::GradientsParams;
    use burn::tensor::Bytes;
    use burn_pack::Reader;
    use model::{Network, NetworkKind};

    use super::*;
    use crate::recipe::{GroupSpec, OptimizerSpec, Role};
    use crate::training::optimizer;

    /// The tensors of a record by name: Burn's order is that of a hash table.
    fn tensors(record: Bytes) -> BTreeMap<String, Vec<u8>> {
        let tensors = Reader::from_bytes(record).unwrap().into_tensors().unwrap();
        let parts = tensors.into_iter().map(|tensor| {
            let (name, .., bytes) = tensor.into_parts().unwrap();
            (name, bytes.to_vec())
        });
        parts.collect()
    }

    /// A network and its optimiser after two steps on `device`.
    fn trained(device: &Device) -> (Network, ModuleOptimizer) {
        let device = device.clone().autodiff();
        let mut network = Network::init(NetworkKind::ResNet20, 10, 0, &device).unwrap();
        let spec = OptimizerSpec::AdamW {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.01,
            decay_norm_and_bias: false,
        };
        let filters = GroupSpec {
            role: Role::Filters,
            optimizer: OptimizerSpec::Muon {
                lr: 0.01,
                momentum: 0.6,
                nesterov: true,
                weight_decay: 0.0,
                newton_schulz_steps: 3,
                rescale: true,
            },
            epochs: None,
            own_schedule: false,
        };
        let mut optimizer = optimizer::optimizer(&spec, &[filters], &network);
        for step in 0..2 {
            let values: Vec<f32> = (0..2 * 3 * 32 * 32)
                .map(|index| ((index * 31 + step) % 17) as f32 / 8.0 - 1.0)
                .collect();
            let images = Tensor::from_data(TensorData::new(values, [2, 3, 32, 32]), &device);
            let loss = network.forward(images).unwrap().square().mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(0.01, network, gradients);
        }
        (network, optimizer)
    }

    fn records_are_those_of_burn(device: &Device) {
        let (network, optimizer) = trained(device);
        // With the last batch's running statistics, as a save has them.
        let plain = network.valid().into_record().into_bytes().unwrap();
        let held = on_host(&network).unwrap();
        let host = held.clone().into_record().into_bytes().unwrap();
        assert!(plain == host, "the network's record");
        assert_eq!(held.devices(), [Device::flex()]);

        let plain = tensors(optimizer.to_record().into_bytes().unwrap());
        let state = AskedState::of(&optimizer).read().unwrap();
        assert_eq!(state.0.len(), plain.len());
        let given = state.during(|| {
            let record = optimizer.to_record();
            // Every tensor was given, and none is read.
            let left = MAKING.with_borrow(|making| match making {
                Making::Given(left) => left.len(),
                Making::Plain | Making::Asking(..) => usize::MAX,
            });
            assert_eq!(left, 0);
            record
        });
        assert!(plain == tensors(given.into_bytes().unwrap()), "the state");
        assert!(plain == tensors(optimizer.to_record().into_bytes().unwrap()));
    }

    #[test]
    fn what_is_read_at_once_gives_the_bytes_of_what_is_read_one_after_the_other() {
        records_are_those_of_burn(&Device::flex());
        #[cfg(feature = "remote")]
        records_are_those_of_burn(&crate::remote::local::worker());
    }
}
