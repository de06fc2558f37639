//! A run on a local page: what it answers, what it refuses, and how it ends.

mod answers;
mod limits;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::text;

/// The program while it serves.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    /// Serves the latest run of `artifacts` on a free port.
    fn start(artifacts: &Path) -> Self {
        let mut child = command(artifacts, "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&head(&format!("GET {path}"), &[]), &[])
    }

    fn photo(&self, bytes: &[u8]) -> Answer {
        self.send(&photo_head(bytes.len()), bytes)
    }

    /// Sends a request and nothing after it, and reads the answer to its end.
    fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        Answer::read_to_end(&mut stream)
    }

    /// A line of the process's entry in `/proc`, in megabytes.
    #[cfg(target_os = "linux")]
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes / 1024
    }

    /// The process's open files and connections.
    #[cfg(target_os = "linux")]
    fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(folder).unwrap().count()
    }

    fn tell(&self, signal: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(told.success());
    }

    /// Sends a signal and gives the exit code.
    fn end(&mut self, signal: &str) -> Option<i32> {
        self.tell(signal);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read_to_end(stream: &mut TcpStream) -> Self {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = text(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Self::new(head, body.to_owned())
    }

    /// Reads one answer of a connection that stays open.
    fn read_one(stream: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = text(&head);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        Self::new(&head, text(&body))
    }

    fn new(head: &str, body: String) -> Self {
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The one sentence of a refusal with `status`.
    fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        let sentence = self.json()["error"].as_str().unwrap().to_owned();
        assert!(
            !sentence.is_empty() && sentence.lines().count() == 1,
            "{sentence}"
        );
        sentence
    }
}

/// The head of a request to localhost.
fn head(line: &str, more: &[&str]) -> String {
    let more: Vec<_> = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        more.concat()
    )
}

/// The head of an upload of `length` bytes.
fn photo_head(length: impl std::fmt::Display) -> String {
    head("POST /photo", &[&format!("Content-Length: {length}")])
}

fn command(artifacts: &Path, address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .args(["serve", "--run", "latest", "--backend", "ndarray", "--json"])
        .args(["--address", address])
        .arg("--artifacts")
        .arg(artifacts)
        .stdin(Stdio::null());
    command
}

fn path_of(name: &str) -> String {
    format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> Vec<u8> {
    fs::read(path_of(name)).unwrap()
}
