//! Fetches CIFAR-10 into the cache and says what is there. An argument names the source: `cache`,
//! `archive` or `npm`.

use cifar10::{Error, Event, Source, SourceOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = match std::env::args().nth(1).as_deref() {
        None => None,
        Some("cache") => Some(Source::Cache),
        Some("archive") => Some(Source::Archive),
        Some("npm") => Some(Source::Npm),
        Some(other) => return Err(format!("{other} is no source: cache, archive or npm").into()),
    };
    let options = SourceOptions {
        data_dir: cifar10::source::data_dir_from_env(),
        source,
        ..SourceOptions::default()
    };
    let progress = |event: Event<'_>| match event {
        Event::Note(line) => eprintln!("{line}"),
        Event::Start { task, total } => eprintln!("{task}, {} MB", total / 1_000_000),
        _ => {}
    };
    let info = cifar10::load(&options, &progress).map(|data| data.info());
    let info = info.map_err(|error: Error| error.to_string())?;
    let folder = info.folder.display();
    match info.fetched_from {
        Some(source) => println!("fetched from {source} into {folder}"),
        None => println!("found in {folder}"),
    }
    for file in &info.files {
        println!("{} {} {}", file.sha256, file.md5, file.name);
    }
    Ok(())
}
