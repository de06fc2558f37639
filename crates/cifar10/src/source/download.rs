//! A download over HTTP that goes on where an earlier one broke off.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::error::Error;
use crate::progress::{Progress, Task};

/// How often a connection that broke off is opened again.
const RESUMPTIONS: usize = 10;
/// A server that sends nothing for this long counts as gone.
const SILENCE: Duration = Duration::from_secs(30);
const BUFFER_BYTES: usize = 64 * 1024;

/// What to download.
pub(super) struct Download<'a> {
    pub url: &'a str,
    /// The length that the whole must have.
    pub bytes: u64,
    /// Time to find and reach the server.
    pub connect_timeout: Duration,
}

impl Download<'_> {
    /// Downloads to `part`, of which the bytes already there are kept and not asked for again.
    /// They stay there on failure, for the next call. The length is then right; the caller
    /// compares checksums.
    pub(super) fn run(&self, part: &Path, progress: &dyn Progress) -> Result<(), Error> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(self.connect_timeout))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        let name = self.url.rsplit('/').next().unwrap_or(self.url);
        let mut task = Task::start(progress, &format!("downloading {name}"), self.bytes);
        let mut reason = String::new();
        for _ in 0..=RESUMPTIONS {
            let before = length(part);
            if before == self.bytes {
                return Ok(());
            }
            if before > self.bytes {
                remove(part)?;
                continue;
            }
            task.set(before);
            match self.transfer(&agent, part, before, &mut task)? {
                Ended::Complete => return Ok(()),
                Ended::StartAgain => remove(part)?,
                Ended::Broken(why) if length(part) > before => reason = why,
                Ended::Broken(why) => return Err(self.failed(why)),
            }
        }
        Err(self.failed(format!(
            "the connection broke {RESUMPTIONS} times, last: {reason}"
        )))
    }

    /// Asks once, for what comes after the first `have` bytes, and appends it to `part`.
    fn transfer(
        &self,
        agent: &Agent,
        part: &Path,
        have: u64,
        task: &mut Task<'_>,
    ) -> Result<Ended, Error> {
        let mut request = agent.get(self.url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Ended::Broken(error.to_string())),
        };
        let mut options = File::options();
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => {
                options.append(true);
                have
            }
            // The server sends everything, whatever was asked.
            StatusCode::OK => {
                options.write(true).truncate(true);
                0
            }
            // There is nothing beyond what we have, or another part was sent: ours is not a
            // beginning of the server's file.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT if have > 0 => {
                return Ok(Ended::StartAgain);
            }
            status => return Err(self.failed(format!("the server answered {status}"))),
        };
        let file = options.create(true).open(part);
        let mut file = file.map_err(Error::io("create", part))?;
        let mut body = response.into_body().into_reader();
        self.copy(&mut body, &mut file, start, task, part)
    }

    fn copy(
        &self,
        body: &mut dyn Read,
        file: &mut File,
        start: u64,
        task: &mut Task<'_>,
        part: &Path,
    ) -> Result<Ended, Error> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut done = start;
        let ended = loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if done == self.bytes => break Ended::Complete,
                Ok(0) => {
                    break Ended::Broken(format!("it ended after {done} of {} bytes", self.bytes));
                }
                Ok(count) => count,
                Err(error) => break Ended::Broken(format!("{error} after {done} bytes")),
            };
            done += count as u64;
            if done > self.bytes {
                remove(part)?;
                return Err(self.failed(format!("it is longer than {} bytes", self.bytes)));
            }
            let written = file.write_all(buffer.get(..count).unwrap_or_default());
            written.map_err(Error::io("write", part))?;
            task.set(done);
        };
        file.sync_all().map_err(Error::io("write", part))?;
        Ok(ended)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Download {
            url: self.url.to_owned(),
            reason,
        }
    }
}

/// How one connection ended.
enum Ended {
    Complete,
    /// What we have is of no use.
    StartAgain,
    Broken(String),
}

/// Length of a file in bytes, 0 if there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Removes a file that may exist.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The first byte's place that a partial answer says, as in `Content-Range: bytes 100-199/200`.
fn range_start<B>(response: &Response<B>) -> Option<u64> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}
