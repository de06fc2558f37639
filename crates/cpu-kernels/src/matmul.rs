//! Products of small matrices on one thread, by the `gemm` crate, which chooses the instruction
//! set of the processor at run time.

use gemm::{Parallelism, gemm};

/// A matrix of which one axis is contiguous, seen through a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    layout: Layout,
}

/// A matrix of which one axis is contiguous, to be written.
pub(crate) struct MatrixMut<'a> {
    data: &'a mut [f32],
    layout: Layout,
}

/// The place of element `(row, column)` is `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
struct Layout {
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl Layout {
    /// Rows of `columns` contiguous elements, each `row_stride` after the one before.
    ///
    /// # Panics
    ///
    /// A slice of `len` elements does not hold the matrix, or its rows overlap.
    fn of_rows(len: usize, rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(rows > 0 && columns > 0, "a matrix has rows and columns");
        assert!(columns <= row_stride || rows == 1, "rows do not overlap");
        let end = (rows - 1)
            .checked_mul(row_stride)
            .and_then(|last_row| last_row.checked_add(columns));
        assert!(
            end.is_some_and(|end| end <= len),
            "a matrix lies within its slice"
        );
        Self {
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` contiguous elements, without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(data, rows, columns, columns)
    }

    /// `rows` rows of `columns` contiguous elements, each `row_stride` after the one before.
    pub(crate) fn with_stride(
        data: &'a [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        let layout = Layout::of_rows(data.len(), rows, columns, row_stride);
        Self { data, layout }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            layout: self.layout.transposed(),
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// `rows` rows of `columns` contiguous elements, without gaps.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(data, rows, columns, columns)
    }

    /// `rows` rows of `columns` contiguous elements, each `row_stride` after the one before.
    pub(crate) fn with_stride(
        data: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        let layout = Layout::of_rows(data.len(), rows, columns, row_stride);
        Self { data, layout }
    }
}

/// What becomes of the values that the result of a product had before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// They are overwritten.
    Replaced,
    /// The product is added to them.
    Kept,
}

/// Writes the product of `left` and `right` to `result`, or adds it there.
///
/// # Panics
///
/// The sizes of the matrices disagree, which is a defect of the caller.
#[allow(unsafe_code)]
pub(crate) fn multiply(result: MatrixMut, before: Before, left: Matrix, right: Matrix) {
    let (out, a, b) = (result.layout, left.layout, right.layout);
    assert_eq!(out.rows, a.rows, "rows of the result and of the left");
    assert_eq!(
        out.columns, b.columns,
        "columns of the result and of the right"
    );
    assert_eq!(
        a.columns, b.rows,
        "columns of the left and rows of the right"
    );
    // SAFETY: `Layout::of_rows` checked that every element of each matrix lies within its slice,
    // and for the result that no two elements share a place; strides fit into `isize` because a
    // slice has at most `isize::MAX` bytes. The result is borrowed mutably, so it overlaps neither
    // factor. All elements are initialised `f32`.
    unsafe {
        gemm(
            out.rows,
            out.columns,
            a.columns,
            result.data.as_mut_ptr(),
            out.column_stride as isize,
            out.row_stride as isize,
            before == Before::Kept,
            left.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            right.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
