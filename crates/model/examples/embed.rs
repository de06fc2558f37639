//! A trained network inside a program of its own: `cargo run -p model --example embed -- RUN PHOTO.png`
//! with a run's folder and a PNG of 32 by 32 pixels in red, green and blue.

use std::{error::Error, fs::File, io::BufReader, path::Path};

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor, TensorData};
use model::{Network, NetworkKind};

const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, run, photo] = arguments.as_slice() else {
        return Err("give a run and a PNG".into());
    };
    let device = Device::flex();
    let network = Network::init(NetworkKind::ResNet20, CLASSES.len(), 0, &device)?;
    let network = network.try_load_record(ModuleRecord::load(Path::new(run).join("model.bpk"))?)?;
    let mut pixels = [0; 32 * 32 * 3];
    png::Decoder::new(BufReader::new(File::open(photo)?))
        .read_info()?
        .next_frame(&mut pixels)?;
    // The recipe's `normalize`: here that of the channels (`trainer export` writes the constants too).
    let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
    let pixel = |i: usize| (f32::from(pixels[i]) / 255.0 - mean[i % 3]) / std[i % 3];
    let image = TensorData::new((0..pixels.len()).map(pixel).collect(), [1, 32, 32, 3]);
    let image = Tensor::<4>::from_data(image, &device).permute([0, 3, 1, 2]);
    let class = network
        .folded()
        .forward(image)?
        .argmax(1)
        .into_data()
        .iter::<i64>()
        .next();
    println!(
        "{}",
        class
            .and_then(|class| CLASSES.get(class as usize))
            .unwrap_or(&"nothing")
    );
    Ok(())
}
