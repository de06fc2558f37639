//! What a page shows and answers.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::super::finished;
use super::super::resume::{Running, last_step};
use super::{Answer, Served, file, head, path_of, photo_head};

#[test]
fn the_page_loads_nothing_and_its_answers_are_those_of_predict() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let page = served.get("/");
    assert_eq!(page.status, 200);
    let loading = [
        "src=\"http",
        "href=\"http",
        "url(",
        "@import",
        "<script src",
    ];
    for word in loading {
        assert!(!page.body.contains(word), "{word}");
    }
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    let curves = served.get("/curves");
    assert_eq!(curves.status, 200);
    assert!(curves.body.contains("<svg"), "{}", curves.body);
    assert!(curves.body.contains("finished"), "{}", curves.body);

    let predicted = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["predict", "--json", "--top", "10", "--backend", "ndarray"])
        .arg("--artifacts")
        .arg(artifacts.path())
        .arg(path_of("turned.jpg"))
        .output()
        .unwrap();
    let predicted: Value = serde_json::from_slice(&predicted.stdout).unwrap();
    let answer = served.photo(&file("turned.jpg"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["classes"], predicted["photos"][0]["classes"]);
    assert_eq!(answer.json()["label"], Value::Null);
    let picture = answer.json()["picture"].as_str().unwrap().to_owned();
    assert!(picture.starts_with("data:image/png;base64,"), "{picture}");
}

#[test]
fn a_test_image_has_the_answer_that_the_run_recorded() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let mut table = csv::Reader::from_path(run.join("predictions.csv")).unwrap();
    let columns = table.headers().unwrap().clone();
    for (index, row) in table.records().map(Result::unwrap).enumerate() {
        let answer = served.get(&format!("/test/{index}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let best = answer.json()["classes"][0].clone();
        let recorded = columns
            .iter()
            .zip(&row)
            .skip(2)
            .map(|(name, value)| (value.parse::<f64>().unwrap(), name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap();
        let (given, expected) = (best["probability"].as_f64().unwrap(), recorded.0);
        assert!(
            (given - expected).abs() < 1e-5,
            "image {index}: {given}, {expected}"
        );
        assert!(answer.json()["label"].is_string());
    }
    for number in ["100", "-1", "x", "%ff", "99999999999999999999999"] {
        let refused = served.get(&format!("/test/{number}")).refusal(404);
        assert!(refused.contains("0 to 99"), "{refused}");
    }
}

#[test]
fn one_connection_carries_many_requests_refused_ones_too() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let mut stream = served.connect();
    let photo = file("turned.png");
    for _ in 0..3 {
        for (head, body, status) in [
            (head("GET /test/1", &[]), &[][..], 200),
            (photo_head(photo.len()), &photo, 200),
            (photo_head(8), b"no photo", 415),
            (head("GET /absent", &[]), &[], 404),
        ] {
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
            let answer = Answer::read_one(&mut stream);
            assert_eq!(answer.status, status, "{}", answer.body);
        }
    }
}

#[test]
fn a_run_that_goes_on_is_shown_and_its_first_weights_are_taken_when_they_come() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start(artifacts.path(), &["--epochs", "400"]);
    running.wait_for_step(13);
    let served = Served::start(artifacts.path());
    let first = served.get("/curves").body;
    assert!(first.contains("not finished"), "{first}");
    assert!(first.contains("<svg"), "{first}");
    while served.get("/curves").body == first {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(running.signal("-INT"), Some(130));
    assert!(served.get("/curves").body.contains("interrupted"));
    drop(served);

    let mut killed = Running::start(artifacts.path(), &["--epochs", "400"]);
    killed.wait_for_step(13);
    killed.signal("-KILL");
    let checkpoints = killed.run.join("checkpoints");
    let aside = artifacts.path().join("aside");
    fs::rename(&checkpoints, &aside).unwrap();
    let served = Served::start(artifacts.path());
    let refused = served.photo(&file("turned.png")).refusal(409);
    assert!(refused.contains("first checkpoint"), "{refused}");
    fs::rename(&aside, &checkpoints).unwrap();
    // The folder is looked at every two seconds; a program that never looks hangs this test.
    while served.photo(&file("turned.png")).status != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_resumed_run_answers_by_what_it_has_learned_since() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start(artifacts.path(), &["--epochs", "400"]);
    running.wait_for_step(13);
    assert_eq!(running.signal("-INT"), Some(130));
    assert!(running.run.join("model.bpk").is_file());
    let served = Served::start(artifacts.path());
    let before = served.get("/test/0").json();
    assert_eq!(before["classes"].as_array().unwrap().len(), 10);
    let first = last_step(&running.run);
    let mut resumed = Running::resume(artifacts.path());
    resumed.wait_for_step(first + 26);
    // The weights of the interrupt lie in the folder until the run's end.
    while served.get("/test/0").json() == before {
        std::thread::sleep(Duration::from_millis(50));
    }
    resumed.signal("-KILL");
    let interrupted = Served::start(artifacts.path()).get("/test/0").json();
    assert_ne!(interrupted, before);
}

#[test]
fn no_answer_names_a_path_of_the_machine_whatever_is_broken() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let served = Served::start(artifacts.path());
    let ask = || {
        [
            served.get("/"),
            served.get("/curves"),
            served.get("/test/1"),
            served.get("/test/x"),
            served.get("/absent"),
            served.photo(&file("turned.png")),
            served.photo(b"no photo"),
        ]
    };
    let mut answers = Vec::from(ask());
    for table in ["metrics.csv", "steps.csv", "result.json"] {
        let good = fs::read(run.join(table)).unwrap();
        fs::write(run.join(table), "a,b\n1,2\n").unwrap();
        let answer = served.get("/curves");
        let sentence = answer.refusal(500);
        assert!(sentence.contains("terminal"), "{sentence}");
        answers.push(answer);
        fs::write(run.join(table), good).unwrap();
    }
    fs::remove_dir_all(&run).unwrap();
    answers.extend(ask());
    let folder = fs::canonicalize(artifacts.path()).unwrap();
    let paths = [folder.to_str().unwrap(), "/root", "/home/", "/tmp"];
    for answer in &answers {
        for path in paths {
            let found = answer.body.contains(path) || answer.head.contains(path);
            assert!(!found, "{path} in {}", answer.body);
        }
    }
}
