//! A run on a local web page: its curves while it trains, and its network's answers.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `server` | listens, within limits of connections and time, and ends |
//! | `routes` | which request gets which answer |
//! | `origin` | whether a request comes from this machine's own page |
//! | `upload` | takes in a photo, within limits |
//! | `refusal` | what a client did wrong, as a status and a sentence |
//! | `classifier` | the network's thread, and batches for it |
//! | `curves` | the run so far, drawn when it has grown |
//! | `page` | the page itself |
//!
//! One thread serves all connections. The network has a thread of its own, and photos are decoded and
//! curves drawn on tokio's threads for work that blocks.
//!
//! Everything that a client gets is made of numbers, names and pictures. Errors of the machine go to
//! standard error, since they name paths.

mod classifier;
mod curves;
mod origin;
mod page;
mod refusal;
mod routes;
mod server;
mod upload;

pub use classifier::Classifier;
pub use routes::Site;
pub use server::Server;
