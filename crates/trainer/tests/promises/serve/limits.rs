//! What a page refuses, how much of the machine its clients can take, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::super::{finished, text};
use super::{Answer, Served, command, file, head, photo_head};

#[test]
fn what_is_not_served_is_refused_in_a_sentence() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    for path in [
        "/index.html",
        "/../Cargo.toml",
        "/config.toml",
        "/photos",
        "/%2e%2e/",
        "/test/",
        "/test/1/2",
    ] {
        served.get(path).refusal(404);
    }
    assert!(served.get("/photo").refusal(405).contains("POST"));
    let posted = served.send(&head("POST /", &["Content-Length: 0"]), &[]);
    assert!(posted.refusal(405).contains("GET"));
    let large = served.send(
        &head("POST /", &["Content-Length: 9000000"]),
        &[0; 9_000_000],
    );
    large.refusal(405);
    let chunked = head("POST /photo", &["Transfer-Encoding: chunked"]);
    served.send(&chunked, b"1\r\na\r\n0\r\n\r\n").refusal(415);
    // A client that sends on after its refusal may find its connection closed in place of reading it.
    let long = head("GET /", &[&format!("X: {}", "x".repeat(1 << 16))]);
    for nonsense in ["\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n", &long] {
        let mut stream = served.connect();
        let _ = stream.write_all(nonsense.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            text(&answer)
        );
    }
    assert_eq!(served.get("/").status, 200);
}

#[test]
fn other_machines_names_and_other_sites_pages_are_refused() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let by_name = |name: &str, more: &str| {
        let head = format!("GET /curves HTTP/1.1\r\nHost: {name}\r\n{more}\r\n");
        served.send(&head, &[])
    };
    for host in ["example.org", "localhost.example.org:80", "192.168.1.1"] {
        let refused = by_name(host, "").refusal(403);
        assert!(refused.contains("localhost"), "{refused}");
    }
    served.send("GET / HTTP/1.1\r\n\r\n", &[]).refusal(403);
    for host in ["127.0.0.1:1", "localhost", "[::1]:8000"] {
        assert_eq!(by_name(host, "").status, 200, "{host}");
    }
    let own = by_name("localhost:80", "Origin: http://localhost:80\r\n");
    assert_eq!(own.status, 200);
    for origin in ["http://example.org", "null", "http://localhost:81"] {
        by_name("localhost:80", &format!("Origin: {origin}\r\n")).refusal(403);
    }
}

/// The CRC-32 of a PNG's chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A PNG whose header says that it is of another size.
fn png_that_claims(side: u32) -> Vec<u8> {
    let mut bytes = file("turned.png");
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let crc = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A whole and valid PNG of `side` by `side` black pixels, which takes a few kilobytes.
fn png_of_black(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let rows = vec![0; side.div_ceil(8) as usize * side as usize];
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rows).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A JPEG whose header says that it is of 65,500 by 65,500 pixels.
fn jpeg_that_claims_much() -> Vec<u8> {
    let mut bytes = file("turned.jpg");
    let frame = bytes
        .windows(2)
        .position(|pair| matches!(pair, [0xff, 0xc0 | 0xc2]))
        .unwrap();
    let side = 65_500_u16.to_be_bytes();
    bytes[frame + 5..frame + 7].copy_from_slice(&side);
    bytes[frame + 7..frame + 9].copy_from_slice(&side);
    bytes
}

/// A lossless WebP whose header says that it is of 16,384 by 16,384 pixels.
fn webp_that_claims_much() -> Vec<u8> {
    let mut bytes = b"RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0\x2f".to_vec();
    bytes.extend(0x0fff_ffff_u32.to_le_bytes());
    bytes.extend([0; 9]);
    bytes
}

#[test]
fn two_hundred_bad_uploads_each_get_a_refusal_and_leave_memory_as_it_was() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    assert_eq!(served.photo(&file("turned.png")).status, 200);
    let (jpeg, webp) = (file("turned.jpg"), file("turned.webp"));
    let longest = 32_000_000;
    let mut padded = file("turned.png");
    padded.truncate(100);
    padded.resize(longest, 7);
    let bad: [(&str, u16, Vec<u8>); 12] = [
        ("empty", 400, Vec::new()),
        ("cut JPEG", 422, jpeg[..jpeg.len() / 2].to_vec()),
        ("cut WebP", 422, webp[..webp.len() / 2].to_vec()),
        ("longer than allowed", 413, vec![0; longest + 1]),
        ("as long as allowed, and no photo", 415, vec![0; longest]),
        ("as long as allowed, and damaged", 422, padded),
        ("text", 415, b"a text".to_vec()),
        ("GIF", 415, b"GIF89a\x01\x00\x01\x00".to_vec()),
        ("whole PNG of 256 million pixels", 413, png_of_black(16_000)),
        ("PNG that claims 64 million", 422, png_that_claims(8_000)),
        (
            "JPEG that claims four billion",
            413,
            jpeg_that_claims_much(),
        ),
        ("WebP that claims 268 million", 413, webp_that_claims_much()),
    ];
    let mut before = [0; 2];
    let memory = || ["VmRSS", "VmHWM"].map(|name| served.memory(name));
    for round in 0..17 {
        for (what, status, bytes) in &bad {
            let answer = served.photo(bytes);
            assert_eq!(answer.status, *status, "{what}: {}", answer.body);
            answer.refusal(*status);
        }
        if round == 1 {
            before = memory();
        }
    }
    let after = memory();
    println!("VmRSS and VmHWM in MB: {before:?}, and {after:?} after 204 uploads");
    // The allocator keeps freed memory for each thread, and a thread that begins later keeps an upload's.
    let kept = 2 * (longest / 1_000_000) as u64 + 8;
    for (after, before) in after.into_iter().zip(before) {
        assert!(after <= before + kept, "{before} MB grew to {after}");
    }
    assert_eq!(served.photo(&file("turned.png")).status, 200);
}

/// A small whole PNG with a chunk `name` whose content, after `head`, inflates to 128 million bytes.
fn png_with_a_bomb(name: &[u8; 4], head: &[u8]) -> Vec<u8> {
    let chunks = |bytes: &[u8]| {
        let (mut place, mut chunks) = (8, Vec::new());
        while place < bytes.len() {
            let length = u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap());
            let end = place + 12 + length as usize;
            chunks.push(bytes[place..end].to_vec());
            place = end;
        }
        chunks
    };
    // The rows of a large black picture are the compressed zeros.
    let zeros = chunks(&png_of_black(32_000));
    let zeros = zeros.iter().filter(|chunk| &chunk[4..8] == b"IDAT");
    let mut content = [name, head].concat();
    zeros.for_each(|chunk| content.extend(&chunk[8..chunk.len() - 4]));
    let photo = file("turned.png");
    let header = chunks(&photo)[0].len() + 8;
    let length = (content.len() - 4) as u32;
    [
        &photo[..header],
        &length.to_be_bytes(),
        &content,
        &crc(&content).to_be_bytes(),
        &photo[header..],
    ]
    .concat()
}

#[test]
fn a_profile_or_a_text_that_inflates_to_much_takes_no_memory() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let photo = file("turned.png");
    let answer = served.photo(&photo).json();
    let bombs = [
        png_with_a_bomb(b"iCCP", b"icc\0\0"),
        png_with_a_bomb(b"zTXt", b"Comment\0\0"),
        png_with_a_bomb(b"iTXt", b"Comment\0\x01\0\0\0"),
    ];
    // As much memory as small photos of the same length need.
    let padded = |length: usize| [&photo[..], &vec![0; length]].concat();
    bombs.iter().for_each(|bomb| {
        served.photo(&padded(bomb.len()));
    });
    let before = served.memory("VmHWM");
    for bomb in bombs.iter().cycle().take(9) {
        assert!(bomb.len() < 1_000_000, "{}", bomb.len());
        assert_eq!(served.photo(bomb).json()["classes"], answer["classes"]);
    }
    let after = served.memory("VmHWM");
    assert!(after <= before + 32, "{before} MB grew to {after}");
}

#[test]
fn an_upload_that_ends_early_or_claims_too_much_is_refused() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let cut = served.send(&photo_head(5000), &[0; 100]).refusal(400);
    assert!(cut.contains("after 100 bytes"), "{cut}");
    for length in ["32000001", "10000000000000000000"] {
        let refused = served.send(&photo_head(length), &[0; 100]).refusal(413);
        assert!(refused.contains("32 megabytes"), "{refused}");
        // A client that asks first is told before it sends anything.
        let asking = [&format!("Content-Length: {length}"), "Expect: 100-continue"];
        let mut stream = served.connect();
        let head = head("POST /photo", &asking);
        stream.write_all(head.as_bytes()).unwrap();
        Answer::read_one(&mut stream).refusal(413);
    }
    let answer = served.send(&photo_head("many"), &[]);
    assert_eq!(answer.status, 400, "{}", answer.body);
    // What is no HTTP never comes as far as the page's own sentences.
    let long = head("GET /", &[&format!("X: {}", "a".repeat(600_000))]);
    for (request, status) in [
        ("garbage\r\n\r\n", 400),
        (&head("POST /photo", &["Content-Length: -5"]), 400),
        (&long, 431),
    ] {
        let mut stream = served.connect();
        // It may be answered, and the connection closed, before all of it has arrived.
        let _ = stream.write_all(request.as_bytes());
        let answer = Answer::read_one(&mut stream);
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
    }
}

#[test]
fn fifty_connections_at_once_all_get_the_same_answer() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let bytes = file("turned.webp");
    let alone = served.photo(&bytes).json();
    let gate = std::sync::Barrier::new(50);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                // All are open before the first sends.
                let mut stream = served.connect();
                gate.wait();
                for _ in 0..4 {
                    let head = photo_head(bytes.len());
                    stream.write_all(head.as_bytes()).unwrap();
                    stream.write_all(&bytes).unwrap();
                    let answer = Answer::read_one(&mut stream);
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    assert_eq!(answer.json(), alone);
                }
            });
        }
    });
}

/// Sends a head byte by byte until the server has enough of it.
fn dribble(mut stream: TcpStream) {
    for byte in head("GET /", &["X: x"]).bytes().cycle().skip(1) {
        // A line's end would end the head.
        let byte = if byte == b'\r' { b'x' } else { byte };
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server without limits of time hangs this test.
#[test]
fn clients_that_stall_lose_their_connections_and_never_all_places_for_long() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let silent: Vec<TcpStream> = (0..200).map(|_| served.connect()).collect();
    let stalled_in = |sent: &str| {
        let mut stream = served.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        stream
    };
    let mut stalled_upload = stalled_in(&format!("{}a part", photo_head(5000)));
    let mut stalled_head = stalled_in("GET / HTTP/1.1\r\nHost: loc");
    let slow = served.connect();
    std::thread::scope(|scope| {
        scope.spawn(move || dribble(slow));
        // Two hundred silent ones stand before this one in the queue.
        assert_eq!(served.get("/").status, 200);
        #[cfg(target_os = "linux")]
        assert!(served.open_files() < 128 + 40, "{}", served.open_files());
        let refused = Answer::read_to_end(&mut stalled_upload).refusal(408);
        assert!(refused.contains("too long"), "{refused}");
        let mut rest = Vec::new();
        stalled_head.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"));
    });
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_signal_ends_it_cleanly_and_lets_what_is_under_way_be_answered() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    assert_eq!(Served::start(artifacts.path()).end("-TERM"), Some(0));
    let mut served = Served::start(artifacts.path());
    // One connection has asked nothing, one waits between two requests, one never ends its upload.
    let _fresh = served.connect();
    let mut idle = served.connect();
    idle.write_all(head("GET /", &[]).as_bytes()).unwrap();
    assert_eq!(Answer::read_one(&mut idle).status, 200);
    let mut stalled = served.connect();
    stalled.write_all(photo_head(5000).as_bytes()).unwrap();
    let photo = file("turned.png");
    let asking = [
        &format!("Content-Length: {}", photo.len()),
        "Expect: 100-continue",
    ];
    let mut under_way = served.connect();
    under_way
        .write_all(head("POST /photo", &asking).as_bytes())
        .unwrap();
    assert_eq!(Answer::read_one(&mut under_way).status, 100);
    served.tell("-INT");
    while TcpStream::connect(&served.address).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    under_way.write_all(&photo).unwrap();
    let answer = Answer::read_to_end(&mut under_way);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_address_no_address_and_no_run_are_refused() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let output = command(artifacts.path(), &served.address).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&served.address), "{message}");
    assert!(message.contains("--address"), "{message}");
    let output = command(artifacts.path(), "nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["serve", "--run", "absent", "--artifacts"])
        .arg(artifacts.path())
        .output()
        .unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("absent"), "{message}");
    let said: Value = served.get("/test/0").json();
    assert!(said["classes"].is_array(), "{said}");
}
