//! Trains image classifiers on CIFAR-10 with Burn: command line, recipes, run folders, training.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`batches`] | batches on a device, and who makes them |
//! | [`calibration`] | probabilities that agree with shares of right answers |
//! | [`check`] | whether a device may be trusted |
//! | [`cli`] | the command line, one file a command |
//! | [`compare`] | runs beside each other |
//! | [`sweep`] | a recipe with several settings and seeds |
//! | [`recipe`] | what a run trains, with which settings |
//! | [`training`] | the Learner and the loop around it |
//! | [`trained`] | a run's network, for use |
//! | [`export`] | a network in a file for other programs |
//! | [`evaluation`] | a network's answers on a set of images |
//! | [`photo`] | photographs to what a network sees |
//! | [`progress`] | progress bars |
//! | [`remote`] | a device of another machine |
//! | [`report`] | a run on one page |
//! | [`robustness`] | a network's answers on corrupted images |
//! | [`run`] | a run's folder |
//! | [`screen`] | text for a terminal or for others: width, names, paths, tables |
//! | [`serve`] | a run on a local web page |
//! | [`shell`] | commands that are shown to be typed |
//! | [`statistics`] | intervals, tests, calibration |
//! | [`terminal`] | the terminal under the dashboard |
//! | [`weight_file`] | weights from files of other programs |
//! | [`device`] | which device a run uses |

#![warn(missing_docs)]

pub mod batches;
pub mod calibration;
pub mod check;
pub mod cli;
pub mod compare;
pub mod device;
pub mod evaluation;
pub mod export;
pub mod photo;
pub mod progress;
pub mod recipe;
pub mod remote;
pub mod report;
pub mod robustness;
pub mod run;
pub mod screen;
pub mod serve;
pub mod shell;
pub mod statistics;
pub mod sweep;
#[cfg(unix)]
pub mod terminal;
pub mod trained;
pub mod training;
pub mod weight_file;

// Burn's derive of `RecordState` names these at the root of the crate that uses it.
pub(crate) use burn::optim::{RecordState, StateSink, StateSource, join_path};
