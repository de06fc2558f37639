//! What a worker says of itself before the first tensor of a run.

use burn::backend::ir::{BackendIr, CustomOpIr, TensorIr};
use burn::backend::ops::IntTensorOps;
use burn::backend::{DispatchDevice, Remote};
use burn::remote::CustomOpClient;
use burn::server::CustomOpRegistry;
use burn::tensor::{DType, Device, Shape, TensorData};

/// The operation that asks for it. Its result is text, a number a byte.
const NAME: &str = "about";

/// A worker said nothing that can be read.
#[derive(Debug, thiserror::Error)]
pub enum AboutError {
    /// The device is not one of another machine.
    #[error("the device is none of another machine")]
    NotRemote,
    /// There was no answer: what serves there is another program, or it ended.
    #[error("it gave no answer ({0})")]
    NoAnswer(String),
    /// The answer is no text.
    #[error("its answer is no text")]
    NoText,
}

/// Asks the worker of `device` what it is, and waits for the answer: the text that
/// [`server`](super::server) was given.
///
/// # Errors
///
/// [`AboutError`] where no worker of this program answers.
pub fn about(device: &Device) -> Result<String, AboutError> {
    let device = device.clone().inner();
    let DispatchDevice::Remote(remote) = device.as_dispatch() else {
        return Err(AboutError::NotRemote);
    };
    let client = CustomOpClient::new(remote);
    // Only the worker knows how long its text is, and Burn takes the answer's own length.
    let text = TensorIr::uninit(client.create_empty_handle(), Shape::from([1]), DType::I32);
    let mut answer = client.register(CustomOpIr::new(NAME, &[], &[text]));
    let answer = answer.pop().ok_or(AboutError::NoText)?;
    let read = <Remote as IntTensorOps<Remote>>::int_into_data(answer);
    let data =
        burn::tensor::read_sync(read).map_err(|error| AboutError::NoAnswer(error.to_string()))?;
    let bytes = data
        .iter::<i64>()
        .map(u8::try_from)
        .collect::<Result<Vec<_>, _>>();
    bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(AboutError::NoText)
}

/// Has a worker answer with `text`.
pub(super) fn answer<B: BackendIr>(answers: &mut CustomOpRegistry<B>, text: String) {
    answers.register(NAME, move |handles, asked: &CustomOpIr, device| {
        let numbers: Vec<i32> = text.bytes().map(i32::from).collect();
        let count = numbers.len();
        let tensor = B::int_from_data(TensorData::new(numbers, [count]), device);
        for output in &asked.outputs {
            handles.register_int_tensor::<B>(&output.id, tensor.clone());
        }
    });
}
