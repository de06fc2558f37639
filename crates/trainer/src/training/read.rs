//! Tensors that are read in one wait for their device, wherever it is.

use burn::tensor::{Device, ExecutionError, Tensor, TensorData, Transaction, kind};

/// Tensors of one device, to be read at once.
///
/// Burn's [`Transaction`] does so on a device of this machine. On a worker it would ask for one tensor after
/// the other, each for as long as an answer is under way: there every tensor is asked for before the first
/// answer is waited for.
pub enum ReadAtOnce {
    /// On this machine.
    Here(Transaction),
    /// On a worker.
    #[cfg(feature = "remote")]
    There(Vec<there::Answer>),
}

impl ReadAtOnce {
    /// Nothing yet, of `device`.
    pub fn of(device: &Device) -> Self {
        #[cfg(feature = "remote")]
        if there::is(device) {
            return Self::There(Vec::new());
        }
        let _ = device;
        Self::Here(Transaction::default())
    }

    /// Reads this tensor too.
    pub fn register<K: kind::Transaction + 'static>(self, tensor: Tensor<1, K>) -> Self {
        match self {
            Self::Here(transaction) => Self::Here(transaction.register(tensor)),
            #[cfg(feature = "remote")]
            Self::There(mut answers) => {
                answers.push(Box::pin(tensor.into_data_async()));
                Self::There(answers)
            }
        }
    }

    /// Waits for the device, and gives the tensors in the order in which they were asked for.
    ///
    /// # Errors
    /// Burn's, where the device could not compute one of them.
    pub fn read(self) -> Result<Vec<TensorData>, ExecutionError> {
        match self {
            Self::Here(transaction) => transaction.try_execute(),
            #[cfg(feature = "remote")]
            Self::There(answers) => there::all(answers),
        }
    }
}

#[cfg(feature = "remote")]
mod there {
    use std::pin::Pin;

    use burn::backend::DispatchDevice;
    use burn::tensor::{Device, ExecutionError, TensorData};
    use futures_util::future::try_join_all;

    /// What a worker will have answered.
    pub type Answer = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>>>>;

    /// Whether a worker serves `device`.
    pub fn is(device: &Device) -> bool {
        matches!(
            device.clone().inner().as_dispatch(),
            DispatchDevice::Remote(_)
        )
    }

    /// Every answer. Each is asked for where it is first looked at, which is before any is waited for.
    pub fn all(answers: Vec<Answer>) -> Result<Vec<TensorData>, ExecutionError> {
        burn::tensor::read_sync(try_join_all(answers))
    }
}
