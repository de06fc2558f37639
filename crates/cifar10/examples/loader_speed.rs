//! Prints how many images a second the loader prepares, with crop and flip. Arguments: number of
//! threads (2) and seconds (3).

use std::time::{Duration, Instant};

use cifar10::synthetic::{self, Part};
use cifar10::{HostBatch, Loader, LoaderConfig, Prefetcher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(3.0), |text| text.parse())?;

    let start = Instant::now();
    let images = synthetic::generate(Part::Train, 50_000, 0);
    println!(
        "50000 synthetic images generated in {:.2} s",
        start.elapsed().as_secs_f64()
    );

    let loader = Loader::all(images, LoaderConfig::training(128, 0))?;
    let mut prefetcher = Prefetcher::new(loader, threads)?;
    let mut batch = HostBatch::default();
    let limit = Duration::try_from_secs_f64(seconds)?;
    let start = Instant::now();
    let mut count = 0;
    for epoch in 0.. {
        prefetcher.start(epoch, 0);
        while prefetcher.next(&mut batch)? {
            count += batch.len();
        }
        if start.elapsed() >= limit {
            break;
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} images/s with {threads} threads");
    Ok(())
}
