//! The names of checkpoints' folders.

use std::fmt;
use std::str::FromStr;

/// `step-390`, or `step-390-2` where the same step was saved before. Later saves are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Steps done in the whole run.
    pub step: u64,
    /// Which save of this step it is, from 1.
    pub revision: u32,
}

/// What begins with this was not finished, or is being deleted.
const HIDDEN: &str = ".step-";
/// What begins with this was a checkpoint and is altered.
const DAMAGED: &str = "damaged-step-";

impl Name {
    /// The folder's name before it is whole.
    pub(super) fn unfinished(self) -> String {
        format!(".{self}.tmp")
    }

    /// The folder's name while it is deleted.
    pub(super) fn deleted(self) -> String {
        format!(".{self}.old")
    }

    /// The folder's name after it was found to be altered.
    pub(super) fn damaged(self) -> String {
        format!("damaged-{self}")
    }
}

/// Whether a folder of this name was not finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.starts_with(HIDDEN) && name.ends_with(".tmp")
}

/// Whether a folder of this name is of no use once a newer checkpoint is there.
pub(super) fn is_leftover(name: &str) -> bool {
    name.starts_with(HIDDEN) || name.starts_with(DAMAGED)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step-{}", self.step)?;
        if self.revision > 1 {
            write!(f, "-{}", self.revision)?;
        }
        Ok(())
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("step-").ok_or(())?;
        let (step, revision) = rest.split_once('-').unwrap_or((rest, "1"));
        let name = Self {
            step: step.parse().map_err(|_| ())?,
            revision: revision.parse().map_err(|_| ())?,
        };
        // One folder has one name: no signs, no leading zeros, no `-1`.
        (name.to_string() == text).then_some(name).ok_or(())
    }
}
