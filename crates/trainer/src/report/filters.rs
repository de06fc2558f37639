//! The first layer's weights as a picture.

use std::path::Path;

use cifar10::file;
use maud::{Markup, html};
use png::{ColorType, EncodingError};
use safetensors::{Dtype, SafeTensors};

use super::ReportError;
use super::picture::{data_uri, png};
use crate::run::RunError;
use crate::weight_file;

/// Filters in a row of the picture.
const COLUMNS: usize = 16;

/// Pixels of the picture for one weight, in each direction.
const SCALE: usize = 8;

/// The colour of a weight of zero: the middle of the range of a byte.
const ZERO: f32 = 127.5;

/// The weights of the first layer, `[filters, 3, size, size]`.
#[derive(Debug, Clone)]
pub struct Filters {
    name: String,
    size: usize,
    weights: Vec<f32>,
}

/// The first layer's filters from a file of weights; nothing where the file is absent or no layer
/// sees colours.
///
/// # Errors
/// [`ReportError`] where the file cannot be read.
pub fn picture(path: &Path) -> Result<Option<Filters>, ReportError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = file::read(path, weight_file::LONGEST).map_err(RunError::read(path))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| ReportError::Weights {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    let first = tensors
        .iter()
        .find_map(|(name, tensor)| match tensor.shape() {
            [_, 3, height, width] if height == width && tensor.dtype() == Dtype::F32 => {
                let (values, _) = tensor.data().as_chunks::<4>();
                Some(Filters {
                    name: name.to_owned(),
                    size: *height,
                    weights: values
                        .iter()
                        .map(|value| f32::from_le_bytes(*value))
                        .collect(),
                })
            }
            _ => None,
        });
    Ok(first)
}

impl Filters {
    fn count(&self) -> usize {
        self.weights.len() / (3 * self.size * self.size).max(1)
    }

    /// Width and height of [`Filters::png`], in pixels.
    fn extent(&self) -> (u32, u32) {
        let cell = self.size + 1;
        let columns = self.count().clamp(1, COLUMNS);
        let rows = self.count().div_ceil(COLUMNS);
        let pixels = |cells: usize| ((cells * cell + 1) * SCALE) as u32;
        (pixels(columns), pixels(rows))
    }

    /// Each filter as a small picture: grey is zero, and its largest weight is full colour. What lies around
    /// the filters is grey too, so that a white one has an edge on a white page and a black one on a dark page.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn png(&self) -> Result<Vec<u8>, EncodingError> {
        let (width, height) = self.extent();
        let area = self.size * self.size;
        let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
        for y in 0..height as usize {
            for x in 0..width as usize {
                let (x, y) = (x / SCALE, y / SCALE);
                let cell = self.size + 1;
                let filter = y / cell * COLUMNS + x / cell;
                let weights = self.weights.get(3 * area * filter..3 * area * (filter + 1));
                // A cell begins with its edge.
                let place = (x % cell).checked_sub(1).zip((y % cell).checked_sub(1));
                let Some((weights, (x, y))) = weights.zip(place) else {
                    pixels.extend([ZERO as u8; 3]);
                    continue;
                };
                let most = weights.iter().fold(1e-12, |most: f32, w| most.max(w.abs()));
                for channel in 0..3 {
                    let at = channel * area + y * self.size + x;
                    let weight = weights.get(at).copied().unwrap_or_default();
                    pixels.push((ZERO + ZERO * weight / most) as u8);
                }
            }
        }
        png((width, height), ColorType::Rgb, &pixels)
    }
}

/// The picture in the page.
///
/// # Errors
/// As [`Filters::png`].
pub fn section(filters: &Filters) -> Result<Markup, EncodingError> {
    let (width, height) = filters.extent();
    let uri = data_uri(&filters.png()?);
    Ok(html! {
        h2 { "First layer" }
        p.faint {
            "The " (filters.count()) " filters of " code { (filters.name) }
            ", each scaled to its largest weight. Grey is zero."
        }
        img.filters src=(uri) width=(width) height=(height)
            style="height:auto" alt="filters of the first layer";
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_white_filter_has_a_grey_edge_on_every_side() {
        let filters = Filters {
            name: "first.weight".to_owned(),
            size: 2,
            weights: vec![1.0; 2 * 3 * 4],
        };
        let bytes = filters.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        // A row through the first line of weights: edge, filter, edge, filter, edge.
        let width = 3 * frame.width as usize;
        let row = &pixels[(SCALE + 1) * width..(SCALE + 2) * width];
        let cells: Vec<u8> = row.iter().step_by(3 * SCALE).copied().collect();
        assert_eq!(cells, [127, 255, 255, 127, 255, 255, 127]);
        for edge in [&pixels[..width], &pixels[pixels.len() - width..]] {
            assert!(edge.iter().all(|byte| *byte == 127));
        }
    }
}
