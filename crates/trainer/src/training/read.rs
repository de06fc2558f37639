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
    pub fn register<const D: usize, K: kind::Transaction + 'static>(
        self,
        tensor: Tensor<D, K>,
    ) -> Self {
        match self {
            Self::Here(transaction) => Self::Here(transaction.register(tensor)),
            #[cfg(feature = "remote")]
            Self::There(mut answers) => {
                answers.push(there::answer(tensor.into_data_async()));
                Self::There(answers)
            }
        }
    }

    /// Asks for the tensors, where that can be done without a wait.
    pub fn asked(self) -> Self {
        match self {
            Self::Here(_) => self,
            #[cfg(feature = "remote")]
            Self::There(mut answers) => {
                there::ask(&mut answers);
                Self::There(answers)
            }
        }
    }

    /// Whether answers come by themselves, once asked for.
    pub fn is_under_way(&self) -> bool {
        !matches!(self, Self::Here(_))
    }

    /// Waits for the device, once it was asked, and gives the tensors in the order in which they were asked for.
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
    use std::task::{Context, Poll, Waker};

    use burn::backend::DispatchDevice;
    use burn::tensor::{Device, ExecutionError, TensorData};
    use futures_util::future::{MaybeDone, maybe_done};

    type Asked = Pin<Box<dyn Future<Output = Result<TensorData, ExecutionError>>>>;
    /// What a worker will have answered, or has.
    pub type Answer = MaybeDone<Asked>;

    /// Whether a worker serves `device`.
    pub fn is(device: &Device) -> bool {
        matches!(
            device.clone().inner().as_dispatch(),
            DispatchDevice::Remote(_)
        )
    }

    /// Asks for `tensor` where it is first looked at.
    pub fn answer(
        tensor: impl Future<Output = Result<TensorData, ExecutionError>> + 'static,
    ) -> Answer {
        let asked: Asked = Box::pin(tensor);
        maybe_done(asked)
    }

    /// Looks at every answer once.
    pub fn ask(answers: &mut [Answer]) {
        let mut nobody = Context::from_waker(Waker::noop());
        for answer in answers {
            let _: Poll<()> = Pin::new(answer).poll(&mut nobody);
        }
    }

    /// Every answer. Each was asked for before the first is waited for.
    pub fn all(answers: Vec<Answer>) -> Result<Vec<TensorData>, ExecutionError> {
        let given = answers.into_iter().map(|answer| match answer {
            MaybeDone::Future(asked) => burn::tensor::read_sync(asked),
            MaybeDone::Done(given) => given,
            MaybeDone::Gone => Err(ExecutionError::WithContext {
                reason: "an answer was taken twice".to_owned(),
            }),
        });
        given.collect()
    }
}
