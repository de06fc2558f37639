//! Checksums made right again after a mutation. Without this nearly every input would end at one,
//! and what lies behind would hardly be tried.

use flate2::Crc;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const BLOCK: usize = 512;
/// Where a tar header holds its own checksum, as seven octal digits and a space.
const TAR_CHECKSUM: std::ops::Range<usize> = 148..156;
/// Where a tar header holds its entry's length, as octal digits.
const TAR_SIZE: std::ops::Range<usize> = 124..136;

/// The PNG file with the right CRC at the end of each whole chunk: length, type, data, CRC.
pub(super) fn png(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let Some((_, mut rest)) = bytes.split_at_mut_checked(SIGNATURE.len()) else {
        return bytes;
    };
    while let Some(length) = rest.first_chunk().copied().map(u32::from_be_bytes) {
        let end = (length as usize).saturating_add(8);
        let Some((chunk, after)) = rest.split_at_mut_checked(end) else {
            break;
        };
        let Some((checksum, next)) = after.split_first_chunk_mut() else {
            break;
        };
        let mut crc = Crc::new();
        crc.update(chunk.get(4..).unwrap_or_default());
        *checksum = crc.sum().to_be_bytes();
        rest = next;
    }
    bytes
}

/// The tar file with the right checksum in each header that follows the one before.
pub(super) fn tar(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut rest = bytes.as_mut_slice();
    while let Some((header, content)) = rest.split_first_chunk_mut::<BLOCK>() {
        // Two empty blocks end an archive, and an empty block with a checksum is no end.
        if header.iter().any(|byte| *byte != 0) {
            header[TAR_CHECKSUM].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[TAR_CHECKSUM].copy_from_slice(format!("{sum:07o} ").as_bytes());
        }
        let size = &header[TAR_SIZE];
        let digits = std::str::from_utf8(size).unwrap_or_default();
        let digits = digits.trim_matches(|character: char| !character.is_digit(8));
        let size = usize::from_str_radix(digits, 8).unwrap_or(0);
        let size = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        rest = content.get_mut(size..).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn seed(path: &str) -> Vec<u8> {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        std::fs::read(seeds.join(path)).unwrap()
    }

    #[test]
    fn a_file_with_right_checksums_stays_as_it_is() {
        assert_eq!(png(&seed("sheet/up")), seed("sheet/up"));
        let archive = seed("archive/readme_only");
        let ours = tar(&archive);
        // The digit count is the library's too; only what ends them differs.
        let digits = TAR_CHECKSUM.start..TAR_CHECKSUM.end - 1;
        assert_eq!(ours[..digits.end], archive[..digits.end]);
        assert_eq!(ours[TAR_CHECKSUM.end..], archive[TAR_CHECKSUM.end..]);
    }

    #[test]
    fn a_wrong_checksum_becomes_right() {
        let mut sheet = seed("sheet/up");
        let end = sheet.len() - 1;
        sheet[end] ^= 1;
        assert_eq!(png(&sheet), seed("sheet/up"));

        let mut archive = seed("archive/readme_only");
        archive[0] ^= 1;
        let archive = tar(&archive);
        let name = |bytes: &[u8]| {
            let mut archive = ::tar::Archive::new(bytes);
            let entry = archive.entries().unwrap().next().unwrap();
            entry.map(|entry| entry.path().unwrap().display().to_string())
        };
        assert_eq!(name(&archive).unwrap(), "bifar-10-batches-bin/readme.html");
    }
}
