//! What a report promises.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use super::page::{Figure, page};
use super::*;
use crate::run::MetricsRow;

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
    assert!(first.contains("viewBox=\"0 0 480 348\""), "{first}");
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
    let thinned = curve.means(400);
    assert!(thinned.points.len() <= 400);
    assert_eq!(thinned.each, 250);
    assert!(thinned.points.iter().all(|point| point.1 == 3.0));
    // It ends where its data end, although the last group is not whole.
    assert_eq!(thinned.points.last().unwrap().0, 99_999.0);
}

/// A row of `metrics.csv`, with a hold-out or without.
fn epoch(epoch: u64, valid: Option<f64>) -> MetricsRow {
    MetricsRow {
        epoch,
        step: 90 * epoch,
        train_loss: Some(1.0),
        train_accuracy: Some(0.5),
        valid_loss: valid,
        valid_accuracy: valid,
        learning_rate: 0.1,
        // Seconds that are no number of an epoch.
        seconds: 5000.0,
        images_per_second: 9.0,
    }
}

#[test]
fn captions_and_legends_say_what_is_drawn_and_no_more() {
    let steps = |count: u64| -> Vec<crate::run::StepRow> {
        let row = |step| crate::run::StepRow {
            step,
            epoch: 1,
            loss: 1.0 / step as f64,
            learning_rate: 0.1,
            seconds: 1.0,
        };
        (1..=count).map(row).collect()
    };
    let say = |valid, count| -> String {
        let figures = curves::figures(&[epoch(1, valid)], &steps(count));
        let texts = figures.into_iter().map(|one| one.caption + &one.svg);
        texts.collect()
    };
    let held_out = say(Some(0.5), 12_800);
    assert!(held_out.contains("hold-out") && held_out.contains("validation"));
    assert!(held_out.contains(">means of 32 steps<") && !held_out.contains("each step"));
    let all_trained_on = say(None, 90);
    assert!(!all_trained_on.contains("hold-out") && !all_trained_on.contains("valid"));
    assert!(all_trained_on.contains(">each step<") && !all_trained_on.contains("means of"));
}

#[test]
fn a_mark_at_the_last_step_is_whole_although_an_axis_could_end_there() {
    for count in [1, 2, 10] {
        // 100, 200 and 1,000 steps: numbers that an axis likes to end with.
        let rows: Vec<MetricsRow> = (1..=count)
            .map(|number| MetricsRow {
                step: 100 * number,
                ..epoch(number, None)
            })
            .collect();
        let figures = curves::figures(&rows, &[]);
        let accuracy = figures.iter().find(|figure| figure.file == "accuracy");
        let svg = &accuracy.unwrap().svg;
        let attribute = |element: &str, key: &str| {
            let from = element.split_once(&format!(" {key}=\"")).unwrap().1;
            let text = from.split('"').next().unwrap();
            text.parse::<f64>().unwrap()
        };
        let clip = svg.split("<clipPath").nth(1).unwrap();
        let end = attribute(clip, "x") + attribute(clip, "width");
        let marks = svg.split("<circle").skip(1);
        let last = marks.map(|mark| attribute(mark, "cx") + attribute(mark, "r"));
        let last = last.fold(0.0, f64::max);
        assert!(last > 0.5 * end && last <= end, "{count}: {last} of {end}");
    }
}

/// The numbers along the axes of a plot.
fn ticks(figure: &Figure) -> Vec<f64> {
    let texts = figure
        .svg
        .split('>')
        .filter_map(|part| part.split('<').next());
    texts.filter_map(|text| text.trim().parse().ok()).collect()
}

#[test]
fn a_value_that_never_changes_stands_in_a_range_that_says_how_large_it_is() {
    // Steps that no value is as large as.
    let steps = [10_000, 90_000];
    for value in [0.001, 0.5, 1.0, 60.0] {
        let curve = curves::Curve::over("", page::SERIES[0], &steps, |step| (*step, Some(value)));
        for axes in [curves::LOSS, curves::ACCURACY] {
            let figure = curves::figure("rate", "", axes, std::slice::from_ref(&curve)).unwrap();
            let ticks = ticks(&figure);
            let of_value: Vec<f64> = ticks.into_iter().filter(|tick| *tick < 5_000.0).collect();
            let largest = of_value.iter().copied().fold(0.0, f64::max);
            assert!(
                of_value.contains(&0.0) && of_value.len() > 3,
                "{value}: {of_value:?}"
            );
            assert!(
                (value..=2.0 * value).contains(&largest),
                "{value}: {of_value:?}"
            );
        }
    }
}

#[test]
fn epochs_are_counted_in_whole_numbers_however_few_they_are() {
    for count in [1, 2, 3, 7, 30, 200] {
        let rows: Vec<MetricsRow> = (1..=count).map(|number| epoch(number, None)).collect();
        let figures = curves::figures(&rows, &[]);
        let time = figures.iter().find(|figure| figure.file == "epoch-time");
        let epochs = ticks(time.unwrap())
            .into_iter()
            .filter(|tick| *tick <= 200.0);
        let epochs: Vec<f64> = epochs.collect();
        assert!((2..=10).contains(&epochs.len()), "{count}: {epochs:?}");
        assert!(
            epochs.iter().all(|tick| tick.fract() == 0.0),
            "{count}: {epochs:?}"
        );
    }
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
    // How a worker computed is no option of who computes on it.
    let on_worker = crate::run::Environment {
        backend: "remote".to_owned(),
        asked_devices: vec!["ws://127.0.0.1:3000".to_owned()],
        precision: "exact".to_owned(),
        ..environment
    };
    assert_eq!(
        facts::again("config.toml", &on_worker),
        "trainer train --config config.toml --backend remote --device ws://127.0.0.1:3000"
    );
}

/// The numbers that `element` has as `key`.
fn attribute(element: &str, key: &str) -> f64 {
    let (_, from) = element.split_once(&format!(" {key}=\"")).unwrap();
    from.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn no_legend_stands_where_curves_can() {
    let steps: Vec<crate::run::StepRow> = (1..=90)
        .map(|step| crate::run::StepRow {
            step,
            epoch: 1,
            loss: 2.0,
            learning_rate: 0.1,
            seconds: 1.0,
        })
        .collect();
    let mut figures = curves::figures(&[epoch(1, Some(0.5)), epoch(2, Some(0.6))], &steps);
    let answer = crate::run::Prediction {
        index: 0,
        label: 1,
        probabilities: [0.1; crate::run::CLASSES],
    };
    figures.push(reliability::diagram(&[answer], Some(1.5)));
    for (file, legend) in [
        ("loss", &["each step", "train", "valid"][..]),
        ("accuracy", &["train", "valid"]),
        (
            "reliability",
            &["well calibrated", "this network", "with temperature"],
        ),
    ] {
        let svg = &figures.iter().find(|one| one.file == file).unwrap().svg;
        let clip = svg.split("<clipPath").nth(1).unwrap();
        let end = attribute(clip, "y") + attribute(clip, "height");
        for name in legend {
            let (before, _) = svg.split_once(&format!(">{name}<")).unwrap();
            let text = &before[before.rfind("<text").unwrap()..];
            let (x, y) = (attribute(text, "x"), attribute(text, "y"));
            assert!(y > end + 10.0, "{file}, {name}: {y} of {end}");
            assert!(y < attribute(svg, "height") && x < attribute(svg, "width"));
        }
    }
}

#[test]
fn a_loss_that_diverges_leaves_room_for_its_curve() {
    let rows = [(1, 2.5), (2, 3.1e13)];
    let curve = curves::Curve::over("", page::SERIES[0], &rows, |row| (row.0, Some(row.1)));
    let figure = curves::figure("loss", "", curves::LOSS, &[curve]).unwrap();
    assert!(figure.svg.contains(">1e13<"), "{}", figure.svg);
    let clip = figure.svg.split("<clipPath").nth(1).unwrap();
    assert!(attribute(clip, "width") > 380.0, "{clip}");
}
