//! A trained network inside a program of its own: `cargo run -p model --example embed -- FILE PHOTO.png`
//! with what `trainer export --format safetensors` wrote, and a PNG of any size and colours. The picture is taken
//! as it is stored: unlike `trainer predict` this does not turn it by an orientation in its EXIF.

use std::{error::Error, fs, fs::File, io::BufReader};

use burn::tensor::Device;
use model::{ExportedNetwork, Picture};

/// What is most probably on a PNG, and how probably.
pub(crate) fn classify(file: &str, photo: &str) -> Result<(String, f32), Box<dyn Error>> {
    let network = ExportedNetwork::from_safetensors(fs::read(file)?, &Device::flex())?;
    let mut decoder = png::Decoder::new(BufReader::new(File::open(photo)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or("it is too large")?];
    let frame = reader.next_frame(&mut samples)?;
    samples.truncate(frame.buffer_size());
    let picture = Picture::new(frame.width as usize, frame.height as usize, &samples)?;
    let (class, probability) = network.classify(&picture)?.swap_remove(0);
    Ok((class.to_owned(), probability))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let files = words.next().zip(words.next());
    let (file, photo) = files.ok_or("give an exported file and a PNG")?;
    let (class, probability) = classify(&file, &photo)?;
    println!("{class} {:.1}%", 100.0 * probability);
    Ok(())
}
