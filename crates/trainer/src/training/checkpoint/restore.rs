//! Finds the newest checkpoint that is whole.

use std::path::PathBuf;

use super::commit::Store;
use super::error::{CheckpointError, Problem};
use super::files::FileSystem;
use super::manifest::{Identity, Manifest, seal};
use super::name::{self, Name};

/// The longest manifest that is read, in bytes: some hundred times what one has.
const LONGEST_MANIFEST: u64 = 1 << 20;

/// A checkpoint that was read and verified whole.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its name.
    pub name: Name,
    /// Its folder.
    pub path: PathBuf,
    /// Where the run stood.
    pub manifest: Manifest,
    parts: Vec<(String, Vec<u8>)>,
}

/// What was looked at until a whole checkpoint was found.
#[derive(Debug)]
pub struct Found {
    /// The newest whole checkpoint; none where the run has not saved any yet.
    pub checkpoint: Option<Checkpoint>,
    /// Those that were passed over.
    pub refused: Vec<Refused>,
}

/// A checkpoint that was passed over.
#[derive(Debug)]
pub struct Refused {
    /// Its folder.
    pub path: PathBuf,
    /// Why.
    pub problem: Problem,
    name: Option<Name>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: passed over, {}", self.path.display(), self.problem)
    }
}

impl Checkpoint {
    /// Takes a part's content out.
    ///
    /// # Errors
    /// [`CheckpointError::Load`] where the checkpoint has no such part.
    pub fn take(&mut self, part: &'static str) -> Result<Vec<u8>, CheckpointError> {
        self.parts
            .iter_mut()
            .find(|(file, _)| file == part)
            .map(|(_, content)| std::mem::take(content))
            .ok_or_else(|| CheckpointError::Load {
                path: self.path.clone(),
                part,
                reason: "this checkpoint has none".to_owned(),
            })
    }

    /// Refuses a checkpoint of another recipe, other data or another seed.
    ///
    /// # Errors
    /// [`CheckpointError::OtherRun`] with what differs.
    pub fn check(&self, expected: &Identity) -> Result<(), CheckpointError> {
        let found = &self.manifest.identity;
        let differs = [
            ("recipe", found.recipe != expected.recipe),
            ("data set", found.data != expected.data),
            ("seed", found.seed != expected.seed),
        ];
        match differs.into_iter().find(|(_, differs)| *differs) {
            None => Ok(()),
            Some((what, _)) => Err(CheckpointError::OtherRun {
                path: self.path.clone(),
                what,
            }),
        }
    }
}

impl<F: FileSystem> Store<F> {
    /// The newest whole checkpoint. Everything in it is compared with its hash.
    ///
    /// # Errors
    /// [`CheckpointError::NoneWhole`] where there are checkpoints and none is whole;
    /// [`CheckpointError::Io`] where the folder cannot be read.
    pub fn latest(&self) -> Result<Found, CheckpointError> {
        let mut refused: Vec<Refused> = self
            .entries()?
            .into_iter()
            .filter(|entry| name::is_unfinished(entry))
            .map(|entry| Refused {
                path: self.folder.join(entry),
                problem: Problem::Unfinished,
                name: None,
            })
            .collect();
        for name in self.names()? {
            match self.load(name) {
                Ok(checkpoint) => {
                    return Ok(Found {
                        checkpoint: Some(checkpoint),
                        refused,
                    });
                }
                Err(problem) => refused.push(Refused {
                    path: self.path(name),
                    problem,
                    name: Some(name),
                }),
            }
        }
        if refused.iter().any(|one| one.name.is_some()) {
            return Err(CheckpointError::NoneWhole {
                folder: self.folder.clone(),
                refused: refused.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(Found {
            checkpoint: None,
            refused,
        })
    }

    /// Reads a checkpoint and compares everything with its hash. Of no file is more read than the manifest
    /// says that it has.
    ///
    /// # Errors
    /// [`Problem`] with the first thing that is wrong.
    pub fn load(&self, name: Name) -> Result<Checkpoint, Problem> {
        let manifest_text = self.read(name, "manifest.json", LONGEST_MANIFEST)?;
        let seal = seal(&manifest_text);
        if self.read(name, "manifest.sha256", seal.len() as u64)? != seal.as_bytes() {
            return Err(Problem::Altered("manifest.json".to_owned()));
        }
        let manifest = Manifest::parse(&manifest_text)?;
        let mut parts = Vec::with_capacity(manifest.parts.len());
        for part in &manifest.parts {
            let content = self.read(name, &part.file, part.bytes)?;
            part.check(&content)?;
            parts.push((part.file.clone(), content));
        }
        Ok(Checkpoint {
            name,
            path: self.path(name),
            manifest,
            parts,
        })
    }

    /// Renames altered checkpoints, so that they are not looked at again. They are deleted after the
    /// next save.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] where one cannot be renamed.
    pub fn set_aside(&self, refused: &[Refused]) -> Result<(), CheckpointError> {
        for (one, name) in refused
            .iter()
            .filter_map(|one| one.name.map(|name| (one, name)))
        {
            let aside = self.folder.join(name.damaged());
            // An older one of the same name makes room.
            self.remove(&aside)?;
            self.files
                .rename(&one.path, &aside)
                .map_err(CheckpointError::io("rename", &one.path))?;
        }
        Ok(())
    }
}
