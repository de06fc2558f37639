//! What is done to a sum of products.

/// A function of each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The element itself.
    None,
    /// The positive part.
    Relu,
    /// The Gaussian error linear unit, exact.
    Gelu,
}
