//! How a batch is cut into chunks. The cut depends on the shape alone, never on the number of
//! threads, so that sums over chunks are the same bit for bit with any number of threads.

/// The most chunks into which a batch is cut.
const GREATEST_CHUNKS: usize = 16;

/// The most elements that the private partial sums of all chunks may take together (32 MiB).
const GREATEST_PARTIAL_ELEMENTS: usize = 1 << 23;

/// The fewest chunks that large partial sums may force upon a batch.
const FEWEST_CHUNKS: usize = 4;

/// The fewest images in a chunk: fewer would pay more for their partial sums than for their work.
const LEAST_IMAGES: usize = 4;

/// Images in each chunk (the last may have fewer) where every chunk keeps a private partial sum of
/// `partial_len` elements.
pub(crate) fn images_per_chunk(batch: usize, partial_len: usize) -> usize {
    let affordable = GREATEST_PARTIAL_ELEMENTS / partial_len.max(1);
    let chunks = affordable.clamp(FEWEST_CHUNKS, GREATEST_CHUNKS);
    batch.div_ceil(chunks).max(LEAST_IMAGES.min(batch))
}
