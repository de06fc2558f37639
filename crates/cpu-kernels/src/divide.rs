//! Data that is cut into chunks which threads write apart from one another.

/// Something that can be cut at a whole number of chunks.
pub(crate) trait Divide: Send + Sized {
    /// The first `chunks` chunks, and the rest.
    fn split(self, chunks: usize) -> (Self, Self);
}

/// A slice with so many elements a chunk; the last chunk may have fewer.
pub(crate) struct Chunked<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) chunk_len: usize,
}

impl<'a, T> Chunked<'a, T> {
    pub(crate) fn new(data: &'a mut [T], chunk_len: usize) -> Self {
        Self { data, chunk_len }
    }
}

impl<T: Send> Divide for Chunked<'_, T> {
    fn split(self, chunks: usize) -> (Self, Self) {
        let at = (chunks * self.chunk_len).min(self.data.len());
        let (first, rest) = self.data.split_at_mut(at);
        (
            Self::new(first, self.chunk_len),
            Self::new(rest, self.chunk_len),
        )
    }
}

impl<A: Divide, B: Divide> Divide for (A, B) {
    fn split(self, chunks: usize) -> (Self, Self) {
        let (a, b) = (self.0.split(chunks), self.1.split(chunks));
        ((a.0, b.0), (a.1, b.1))
    }
}

impl<A: Divide, B: Divide, C: Divide> Divide for (A, B, C) {
    fn split(self, chunks: usize) -> (Self, Self) {
        let (a, b, c) = (
            self.0.split(chunks),
            self.1.split(chunks),
            self.2.split(chunks),
        );
        ((a.0, b.0, c.0), (a.1, b.1, c.1))
    }
}

impl<A: Divide, B: Divide, C: Divide, D: Divide> Divide for (A, B, C, D) {
    fn split(self, chunks: usize) -> (Self, Self) {
        let (a, b) = (self.0.split(chunks), self.1.split(chunks));
        let (c, d) = (self.2.split(chunks), self.3.split(chunks));
        ((a.0, b.0, c.0, d.0), (a.1, b.1, c.1, d.1))
    }
}
