#![allow(clippy::unwrap_used)]

use super::*;

#[path = "../../../tests/common/pickles.rs"]
mod pickles;

const COLUMNS: usize = 12;

/// Six images of twelve bytes, every byte value among them.
fn small() -> (Vec<u8>, Vec<u8>) {
    let pixels = (0..6 * COLUMNS).map(|place| (place * 41) as u8).collect();
    (pixels, vec![3, 1, 4, 1, 5, 9])
}

fn both_layouts() -> [Vec<u8>; 2] {
    let (pixels, labels) = small();
    [pickles::python2, pickles::python3].map(|write| write(&pixels, &labels, COLUMNS as u16))
}

fn refusal(pickle: &[u8]) -> String {
    read_batch(pickle).unwrap_err().reason
}

/// A copy of `bytes` with the first `from` replaced by `to`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn both_pythons_pickles_are_read() {
    let (pixels, labels) = small();
    for pickle in both_layouts() {
        let batch = read_batch(&pickle).unwrap();
        assert_eq!(batch.labels, labels);
        assert_eq!(batch.pixels, pixels);
        assert_eq!(batch.columns, COLUMNS);
    }
}

#[test]
fn a_pickle_cut_off_anywhere_is_refused() {
    for pickle in both_layouts() {
        for end in 0..pickle.len() {
            assert!(read_batch(&pickle[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn a_pickle_with_any_byte_altered_is_read_or_refused_but_never_panics() {
    for pickle in both_layouts() {
        for place in 0..pickle.len() {
            for value in 0..=255 {
                let mut altered = pickle.clone();
                altered[place] = value;
                if let Ok(batch) = read_batch(&altered) {
                    assert_eq!(batch.pixels.len(), batch.labels.len() * batch.columns);
                }
            }
        }
    }
}

#[test]
fn a_pickle_that_calls_other_functions_is_refused_before_the_call() {
    for (module, name) in [
        ("posix", "system"),
        ("os", "system"),
        ("__builtin__", "eval"),
        ("builtins", "exec"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromstring"),
        ("_codecs", "decode"),
    ] {
        let pickle = format!("\u{2}c{module}\n{name}\nU\u{4}lsls\\x85R.");
        let pickle = [b"\x80".as_slice(), pickle.as_bytes()].concat();
        let reason = refusal(&pickle);
        assert!(reason.contains(&format!("`{module}.{name}`")), "{reason}");
    }
}

#[test]
fn allowed_names_cannot_be_called_in_other_ways() {
    for call in [
        b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.".as_slice(),
        b"cnumpy\nndarray\nK\x05\x85R.",
        b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.",
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
        b"U\x01aK\x00\x85R.",
    ] {
        assert!(refusal(call).contains("not allowed"));
    }
}

#[test]
fn other_protocols_and_opcodes_are_refused() {
    assert!(refusal(b"\x80\x04N.").contains("protocol"));
    // INST, OBJ, PERSID, EXT1, NEWOBJ and the memoising of protocol 4.
    for opcode in [b'i', b'o', b'P', 0x82, 0x81, 0x94] {
        let pickle = [0x80, 2, opcode, 0, 0, 0];
        assert!(refusal(&pickle).contains("opcode"), "0x{opcode:02x}");
    }
}

#[test]
fn what_a_pickle_can_make_the_reader_hold_is_bounded() {
    // Opcodes that push, that nest and that remember, each without end.
    for piece in [b"N".as_slice(), b"(", b"]", b"]a", b"}", b"]q\x01", b"(t"] {
        let pickle = [b"\x80\x02]".as_slice(), &piece.repeat(400_000)].concat();
        assert!(refusal(&pickle).contains("opcodes"), "{piece:?}");
    }
    // A text of a megabyte, encoded again and again.
    let mut pickle = b"\x80\x02c_codecs\nencode\nq\x01X\x00\x00\x10\x00".to_vec();
    pickle.extend(vec![b'a'; 1 << 20]);
    pickle.extend(b"q\x02X\x06\x00\x00\x00latin1q\x03");
    pickle.extend(b"h\x01h\x02h\x03\x86R".repeat(100));
    assert!(refusal(&pickle).contains("byte strings"));
    assert!(refusal(&vec![b'N'; MAX_BYTES + 1]).contains("longer"));
    // A length of four gigabytes where there are three bytes.
    assert!(refusal(b"\x80\x02T\xff\xff\xff\xffabc").contains("beyond"));
}

#[test]
fn data_that_is_no_matrix_of_bytes_is_refused() {
    let [python2, _] = both_layouts();
    for (from, to) in [
        (b"U\x02u1".as_slice(), b"U\x02f4".as_slice()),
        (b"M\x06\x00M", b"M\x07\x00M"),
        (b"M\x06\x00M", b"J\xff\xff\xff\xffM"),
        (b"K\x00tq\x13b\x89T", b"K\x00tq\x13b\x88T"),
        (b"U\x04data", b"U\x04dada"),
        (b"U\x06labels", b"U\x06lapels"),
        (b"K\x03K\x01K\x04", b"NK\x01K\x04"),
    ] {
        assert!(read_batch(&replaced(&python2, from, to)).is_err(), "{to:?}");
    }
}

#[test]
fn a_batch_of_another_size_is_refused_with_its_path() {
    let [python2, _] = both_layouts();
    let error = to_records(&python2, Path::new("some/data_batch_1")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("some/data_batch_1") && text.contains("6 by 12"),
        "{text}"
    );
}
