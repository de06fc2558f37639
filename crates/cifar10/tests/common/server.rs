//! A web server for one file that can be told to misbehave.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    /// Sends what was asked for: everything, or from the start of the range on.
    Good,
    /// As `Good`, but closes the connection after this many bytes.
    CutAfter(usize),
    /// Sends everything, whatever range was asked for.
    IgnoreRange,
    /// Sends a range that nobody asked for.
    OtherRange,
    /// Says that there is nothing at that range.
    NoSuchRange,
    /// Sends this many bytes too many.
    TooLong(usize),
    /// Answers with this status and no contents.
    Status(u16),
}

pub struct Server {
    pub url: String,
    /// Where the range of each request began; `None` for a request of everything.
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    /// Serves `body`. The requests get the `replies` in turn, and good ones after that.
    pub fn start(body: &'static [u8], replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/cifar-10-binary.tar.gz",
            listener.local_addr().unwrap()
        );
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut replies = VecDeque::from(replies.to_vec());
        let seen = Arc::clone(&requests);
        // The thread lives until the test's process ends.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let range = read_request(&stream);
                seen.lock().unwrap().push(range);
                // A client that hangs up is its own business.
                let _ = answer(
                    stream,
                    body,
                    range,
                    replies.pop_front().unwrap_or(Reply::Good),
                );
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a request's head and returns where its range begins.
fn read_request(stream: &TcpStream) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = value.strip_suffix('-').and_then(|start| start.parse().ok());
        }
    }
    range
}

fn answer(
    mut stream: TcpStream,
    body: &[u8],
    range: Option<usize>,
    reply: Reply,
) -> std::io::Result<()> {
    let total = body.len();
    let good = match range {
        Some(start) => (206, start),
        None => (200, 0),
    };
    let (status, start, sent) = match reply {
        Reply::Good | Reply::TooLong(_) => (good.0, good.1, total),
        Reply::CutAfter(count) => (good.0, good.1, total.min(good.1 + count)),
        Reply::IgnoreRange => (200, 0, total),
        Reply::OtherRange => (206, 1, total),
        Reply::NoSuchRange => (416, total, total),
        Reply::Status(status) => (status, total, total),
    };
    let surplus = match reply {
        Reply::TooLong(count) => count,
        _ => 0,
    };
    write!(
        stream,
        "HTTP/1.1 {status} Reply\r\nConnection: close\r\nContent-Length: {}\r\n",
        total - start + surplus
    )?;
    if status == 206 {
        write!(
            stream,
            "Content-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        )?;
    }
    write!(stream, "\r\n")?;
    stream.write_all(&body[start..sent])?;
    stream.write_all(&vec![0; surplus])
}
