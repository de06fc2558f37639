//! Pickles written opcode by opcode in the two layouts that batches of CIFAR-10 have.

/// A string with a length of one byte.
fn short_string(text: &str, pickle: &mut Vec<u8>) {
    pickle.push(b'U');
    pickle.push(text.len() as u8);
    pickle.extend(text.bytes());
}

/// A text with a length of four bytes.
fn text(text: &str, pickle: &mut Vec<u8>) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.bytes());
}

/// Labels as a list that is filled in batches of a thousand, as Python does it.
fn labels_list(labels: &[u8], memo: u8, pickle: &mut Vec<u8>) {
    pickle.extend([b']', b'q', memo]);
    for batch in labels.chunks(1000) {
        pickle.push(b'(');
        for label in batch {
            pickle.extend([b'K', *label]);
        }
        pickle.push(b'e');
    }
}

/// A pickle as in the authors' archive: Python 2 and NumPy, protocol 2.
pub fn python2(pixels: &[u8], labels: &[u8], columns: u16) -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\x01(".to_vec();
    short_string("batch_label", &mut pickle);
    pickle.extend(b"q\x02");
    short_string("training batch 1 of 5", &mut pickle);
    pickle.extend(b"q\x03");
    short_string("labels", &mut pickle);
    pickle.extend(b"q\x04");
    labels_list(labels, 5, &mut pickle);
    short_string("data", &mut pickle);
    pickle.extend(b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08");
    pickle.extend(b"K\x00\x85q\x09U\x01bq\x0a\x87q\x0bRq\x0c(K\x01M");
    pickle.extend((labels.len() as u16).to_le_bytes());
    pickle.push(b'M');
    pickle.extend(columns.to_le_bytes());
    pickle.extend(b"\x86q\x0dcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11");
    pickle.extend(b"(K\x03U\x01|q\x12NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89T");
    pickle.extend((pixels.len() as u32).to_le_bytes());
    pickle.extend(pixels);
    pickle.extend(b"q\x14tq\x15b");
    short_string("filenames", &mut pickle);
    pickle.extend(b"q\x16]q\x17(");
    for index in 0..labels.len() {
        short_string(&format!("image_s_{index:06}.png"), &mut pickle);
        pickle.push(b'r');
        pickle.extend((24 + index as u32).to_le_bytes());
    }
    pickle.extend(b"eu.");
    pickle
}

/// The same batch as Python 3 and NumPy 2 write it in protocol 2: byte strings become texts that
/// are encoded when the pickle is read.
pub fn python3(pixels: &[u8], labels: &[u8], columns: u16) -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\x00(".to_vec();
    text("labels", &mut pickle);
    pickle.extend(b"q\x01");
    labels_list(labels, 2, &mut pickle);
    text("data", &mut pickle);
    pickle.extend(b"q\x03cnumpy._core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05");
    pickle.extend(b"K\x00\x85q\x06c_codecs\nencode\nq\x07");
    text("b", &mut pickle);
    pickle.extend(b"q\x08");
    text("latin1", &mut pickle);
    pickle.extend(b"q\x09\x86q\x0aRq\x0b\x87q\x0cRq\x0d(K\x01M");
    pickle.extend((labels.len() as u16).to_le_bytes());
    pickle.push(b'M');
    pickle.extend(columns.to_le_bytes());
    pickle.extend(b"\x86q\x0ecnumpy\ndtype\nq\x0f");
    text("u1", &mut pickle);
    pickle.extend(b"q\x10\x89\x88\x87q\x11Rq\x12(K\x03");
    text("|", &mut pickle);
    pickle.extend(b"q\x13NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89h\x07");
    let characters: String = pixels.iter().map(|byte| char::from(*byte)).collect();
    text(&characters, &mut pickle);
    pickle.extend(b"q\x15h\x09\x86q\x16Rq\x17tq\x18bu.");
    pickle
}
