//! Filters that whiten the patches of images: patches of 2 by 2 pixels, seen through them, have no
//! correlation and deviation 1 or less.

use crate::{IMAGE_CHANNELS, IMAGE_SIZE};

/// Height and width of a patch in pixels.
pub(crate) const PATCH_SIZE: usize = 2;
/// Values of a patch.
pub(crate) const PATCH: usize = IMAGE_CHANNELS * PATCH_SIZE * PATCH_SIZE;
/// Output channels: a filter for each direction, and its negative.
pub(crate) const CHANNELS: usize = 2 * PATCH;
/// What is added to a variance before its root is taken.
const EPSILON: f64 = 5e-4;
/// Values of an image.
const IMAGE: usize = IMAGE_CHANNELS * IMAGE_SIZE * IMAGE_SIZE;
/// Sweeps after which a matrix of 12 by 12 is diagonal to the last bit; six are the rule.
const SWEEPS: usize = 30;

/// A symmetric matrix, by rows.
type Matrix = [[f64; PATCH]; PATCH];

/// The filters `[24, 3, 2, 2]` for normalised `images`, `[count, 3, 32, 32]`, row by row: the
/// eigenvectors of the patches' uncentred covariance, the greatest eigenvalue first, each divided by
/// `sqrt(eigenvalue + 5e-4)`, and then their negatives. The largest value of each of the first
/// twelve is positive, so that the same images give the same filters everywhere. What is left after
/// the last whole image does not count.
#[must_use]
pub fn filters(images: &[f32]) -> Vec<f32> {
    let (values, vectors) = eigen(covariance(images));
    let mut order: Vec<usize> = (0..PATCH).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut filters = Vec::with_capacity(CHANNELS * PATCH);
    for &index in &order {
        let vector = vectors.map(|row| row[index]);
        let largest = vector
            .into_iter()
            .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let scale = largest.signum() / (values[index].max(0.0) + EPSILON).sqrt();
        filters.extend(vector.map(|value| (scale * value) as f32));
    }
    for index in 0..PATCH * PATCH {
        filters.push(-filters[index]);
    }
    filters
}

/// The mean of the outer products of all patches with themselves. A patch is `[3, 2, 2]`.
fn covariance(images: &[f32]) -> Matrix {
    let mut sums = [[0.0; PATCH]; PATCH];
    let mut patches = 0.0_f64;
    for image in images.chunks_exact(IMAGE) {
        // Sums of one image in single precision lose nothing that matters.
        let mut of_image = [[0.0_f32; PATCH]; PATCH];
        for y in 0..=IMAGE_SIZE - PATCH_SIZE {
            for x in 0..=IMAGE_SIZE - PATCH_SIZE {
                let patch: [f32; PATCH] = std::array::from_fn(|value| {
                    let (channel, place) = (value / 4, value % 4);
                    let row = channel * IMAGE_SIZE + y + place / PATCH_SIZE;
                    image[row * IMAGE_SIZE + x + place % PATCH_SIZE]
                });
                for (row, a) in of_image.iter_mut().zip(patch) {
                    for (sum, b) in row.iter_mut().zip(patch) {
                        *sum += a * b;
                    }
                }
                patches += 1.0;
            }
        }
        for (row, of_image) in sums.iter_mut().zip(of_image) {
            for (sum, of_image) in row.iter_mut().zip(of_image) {
                *sum += f64::from(of_image);
            }
        }
    }
    sums.map(|row| row.map(|sum| sum / patches.max(1.0)))
}

/// Eigenvalues and eigenvectors, which are columns, by Jacobi's method of rotations (Golub and Van
/// Loan, Matrix Computations, 8.5).
fn eigen(mut matrix: Matrix) -> ([f64; PATCH], Matrix) {
    let mut vectors: Matrix =
        std::array::from_fn(|row| std::array::from_fn(|column| f64::from(u8::from(row == column))));
    for _ in 0..SWEEPS {
        for p in 0..PATCH {
            for q in p + 1..PATCH {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
    }
    (std::array::from_fn(|index| matrix[index][index]), vectors)
}

/// Makes element `[p][q]` zero by a rotation of rows and columns `p` and `q`.
fn rotate(matrix: &mut Matrix, vectors: &mut Matrix, p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in matrix.iter_mut().chain(vectors.iter_mut()) {
        let (a, b) = (row[p], row[q]);
        row[p] = cosine * a - sine * b;
        row[q] = sine * a + cosine * b;
    }
    let (above, below) = matrix.split_at_mut(q);
    for (upper, lower) in above[p].iter_mut().zip(&mut below[0]) {
        let (a, b) = (*upper, *lower);
        *upper = cosine * a - sine * b;
        *lower = sine * a + cosine * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images whose neighbours are alike, as in photographs.
    fn images(count: usize) -> Vec<f32> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut last = 0.0;
        (0..count * IMAGE)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                last = 0.7 * last + (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.45;
                last
            })
            .collect()
    }

    #[test]
    fn patches_seen_through_the_filters_are_white() {
        let images = images(20);
        let filters = filters(&images);
        assert_eq!(filters.len(), CHANNELS * PATCH);
        let covariance = covariance(&images);
        for (i, a) in filters.chunks_exact(PATCH).enumerate() {
            for (j, b) in filters.chunks_exact(PATCH).enumerate() {
                let product: f64 = (0..PATCH)
                    .flat_map(|row| (0..PATCH).map(move |column| (row, column)))
                    .map(|(row, column)| {
                        f64::from(a[row]) * covariance[row][column] * f64::from(b[column])
                    })
                    .sum();
                if i % PATCH == j % PATCH {
                    // An eigenvalue v becomes v / (v + 5e-4), with the sign of the two filters.
                    let sign = if i == j { 1.0 } else { -1.0 };
                    assert!(
                        (0.9..=1.0).contains(&(sign * product)),
                        "{i}, {j}: {product}"
                    );
                } else {
                    assert!(product.abs() < 1e-5, "{i}, {j}: {product}");
                }
            }
        }
    }

    #[test]
    fn the_greatest_direction_comes_first_and_its_largest_value_is_positive() {
        let filters = filters(&images(5));
        let norms: Vec<f32> = (filters.chunks_exact(PATCH).take(PATCH))
            .map(|filter| filter.iter().map(|value| value * value).sum())
            .collect();
        assert!(norms.is_sorted(), "{norms:?}");
        for filter in filters.chunks_exact(PATCH).take(PATCH) {
            let largest = filter
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()));
            assert!(largest > Some(0.0));
        }
    }

    #[test]
    fn no_images_give_finite_filters() {
        assert!(filters(&[]).iter().all(|value| value.is_finite()));
    }
}
