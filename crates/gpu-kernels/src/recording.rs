//! Work that is asked of a device once, and then again at little cost to the host.
//!
//! To launch a kernel the host finds its program, reserves what it writes, and binds what it reads, which takes longer
//! than many kernels. Of recorded work all that is done: asked for again, a kernel is a few words in a queue.

use cubecl::client::Graph;
use cubecl::prelude::*;
use cubecl::server::ServerError;

/// How often work is done before it is recorded: inside a recording no memory is reserved, so that what was let go of
/// before must be enough.
const BEFORE: usize = 3;

/// Recorded work, with what it reads and what it makes.
#[derive(Debug)]
pub struct Recording<I, R> {
    graph: Graph,
    inputs: I,
    result: R,
}

impl<I, R> Recording<I, R> {
    /// Records the kernels that `work` launches from this thread. They are the same each time, and read nothing that
    /// is let go of but `inputs`. `work` is done several times, and writes nothing to a device but by kernels, and
    /// reads nothing from it.
    ///
    /// # Errors
    /// [`ServerError`] where the device refuses. It computes as before then.
    pub fn of(
        client: &Client,
        inputs: I,
        mut work: impl FnMut(&I) -> R,
    ) -> Result<Self, ServerError> {
        client.graph_prepare()?;
        let under_way = UnderWay(client);
        for _ in 0..BEFORE {
            let result = work(&inputs);
            cubecl::future::block_on(client.sync())?;
            drop(result);
        }
        client.start_capture()?;
        let result = work(&inputs);
        std::mem::forget(under_way);
        let graph = client.stop_capture()?;
        Ok(Self {
            graph,
            inputs,
            result,
        })
    }

    /// What the work reads. What is written there is read the next time.
    pub fn inputs(&self) -> &I {
        &self.inputs
    }

    /// What the work makes, with the numbers of the last time that it was asked for; before the first they are any.
    pub fn result(&self) -> &R {
        &self.result
    }

    /// Asks for the work, from the thread that recorded it.
    ///
    /// # Errors
    /// [`ServerError`] where the device refuses.
    pub fn again(&self) -> Result<(), ServerError> {
        // SAFETY: what the kernels read and write is alive: inputs and results are here, and what is between them lies
        // on pages that CubeCL keeps for the recording. Other work of this thread is done before it or after it.
        unsafe { self.graph.replay() }
    }
}

/// A recording that is to be ended whatever comes between.
struct UnderWay<'a>(&'a Client);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // It comes to an end this way too, and there is nothing to record.
        let _ = self.0.stop_capture();
    }
}
