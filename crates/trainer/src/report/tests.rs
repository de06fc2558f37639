//! What a report promises.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use super::page::{Figure, page};
use super::*;

#[test]
fn a_text_with_markup_is_shown_and_not_obeyed() {
    let body = html! { p { ("<script>alert(1)</script>") } };
    let page = page("<b>run</b>", &body);
    assert!(!page.contains("<script>") && !page.contains("<b>run"));
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn plots_on_one_page_share_no_names_and_take_any_width() {
    let rows = [(1, 0.5), (2, 0.25)];
    let curve = curves::Curve::over("train", page::SERIES[0], &rows, |row| (row.0, Some(row.1)));
    let draw = |file| -> Figure {
        curves::figure(file, "", curves::LOSS, std::slice::from_ref(&curve)).unwrap()
    };
    let (first, second) = (draw("first").svg, draw("second").svg);
    assert!(first.contains("viewBox=\"0 0 480 300\""), "{first}");
    assert!(first.contains("first-clip-") && second.contains("second-clip-"));
    assert!(!first.contains("kuva-clip"));
}

#[test]
fn a_curve_of_many_points_is_thinned_to_its_means_and_numbers_that_are_none_are_left_out() {
    let rows: Vec<u64> = (0..100_000).collect();
    let curve = curves::Curve::over("", page::SERIES[0], &rows, |row| {
        (*row, Some(if *row == 7 { f64::NAN } else { 3.0 }))
    });
    assert_eq!(curve.points.len(), 99_999);
    let thinned = curve.thinned();
    assert!(thinned.points.len() <= 400);
    assert!(thinned.points.iter().all(|point| point.1 == 3.0));
}

#[test]
fn the_command_that_repeats_a_run_names_the_devices_that_were_asked_for() {
    let environment: crate::run::Environment = serde_json::from_str(
        r#"{ "version": "0.1.0", "rustc": "1.95", "burn": "0.22.1", "backend": "wgpu", "device": "a GPU",
        "asked_devices": ["discrete:0", "discrete:1"], "threads": 2, "cpu": "a processor", "os": "linux",
        "arch": "x86_64", "data": { "dataset": "cifar10", "origin": "cache", "sha256": [] },
        "recipe_hash": "00", "command": ["trainer"], "started": "2026-11-24T12:00:00Z" }"#,
    )
    .unwrap();
    let line = facts::again("/a b/config.toml", &environment);
    assert_eq!(
        line,
        "trainer train --config '/a b/config.toml' --backend wgpu --threads 2 --device discrete:0 \
         --device discrete:1"
    );
    let words = shlex::split(&line).unwrap();
    let read = crate::cli::command().try_get_matches_from(words).unwrap();
    let (_, read) = read.subcommand().unwrap();
    let devices: Vec<&String> = read.get_many("device").unwrap().collect();
    assert_eq!(devices, ["discrete:0", "discrete:1"]);
}
