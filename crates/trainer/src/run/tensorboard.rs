//! A file of events that TensorBoard reads.
//!
//! Such a file is a row of records: the length of a record in eight bytes, a checksum of those, the
//! record, and its checksum (TensorFlow, `lib/io/record_writer.h`). Each record is an `Event` of
//! TensorFlow's `event.proto` in the wire format of protocol buffers. The few fields that are used
//! here have the numbers that stand beside them below.

use std::path::Path;

use super::error::RunError;
use super::grow::GrowingFile;

/// A file of TensorBoard's events.
#[derive(Debug)]
pub struct TensorBoardLog(GrowingFile);

impl TensorBoardLog {
    /// Begins the file, or goes on with it after its first `length` bytes. `started` is the time of
    /// day in seconds since 1970.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be used.
    pub fn resume(path: &Path, length: u64, started: f64) -> Result<Self, RunError> {
        // The version that every file begins with.
        let mut event = wall_time(started);
        put_bytes(&mut event, 3, b"brain.Event:2");
        GrowingFile::resume(path, length, &record(&event)).map(Self)
    }

    /// Adds figures of a step, each with its name.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn append(
        &mut self,
        time: f64,
        step: u64,
        figures: &[(&str, f64)],
    ) -> Result<(), RunError> {
        let mut summary = Vec::new();
        for (tag, figure) in figures {
            // Summary.Value: tag = 1, simple_value = 2.
            let mut value = Vec::new();
            put_bytes(&mut value, 1, tag.as_bytes());
            put_key(&mut value, 2, FIXED_32);
            value.extend((*figure as f32).to_le_bytes());
            // Summary: value = 1.
            put_bytes(&mut summary, 1, &value);
        }
        // Event: wall_time = 1, step = 2, summary = 5.
        let mut event = wall_time(time);
        put_key(&mut event, 2, VARINT);
        put_varint(&mut event, step);
        put_bytes(&mut event, 5, &summary);
        self.0.append(&record(&event))
    }

    /// Hands all events to the system.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn flush(&mut self) -> Result<(), RunError> {
        self.0.flush()
    }

    /// Flushes all events to the disk, and gives the file's length in bytes.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn sync(&mut self) -> Result<u64, RunError> {
        self.0.sync()
    }
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

/// An event with its first field.
fn wall_time(seconds: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_key(&mut event, 1, FIXED_64);
    event.extend(seconds.to_le_bytes());
    event
}

fn put_key(message: &mut Vec<u8>, field: u64, wire_type: u64) {
    put_varint(message, field << 3 | wire_type);
}

/// Seven bits a byte, the lowest first. All but the last byte have the eighth bit set.
fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(message, field, LENGTH_DELIMITED);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(event.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked_crc(event).to_le_bytes());
    record
}

/// TensorFlow turns a checksum and adds a constant, so that the checksum of data that holds checksums
/// is not special.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a file of TensorBoard's own writer, with time 0.
    #[test]
    fn the_first_record_is_the_one_that_tensorboard_writes() {
        let mut event = wall_time(0.0);
        put_bytes(&mut event, 3, b"brain.Event:2");
        let record = record(&event);
        assert_eq!(record[..8], 24_u64.to_le_bytes());
        // The masked checksum of a length of 24 begins every file of events.
        assert_eq!(record[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(record.len(), 8 + 4 + 24 + 4);
    }

    #[test]
    fn whole_numbers_take_seven_bits_a_byte() {
        let mut message = Vec::new();
        put_varint(&mut message, 300);
        assert_eq!(message, [0xac, 0x02]);
    }
}
