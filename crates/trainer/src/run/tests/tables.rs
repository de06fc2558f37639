//! The CSV tables of a run grow, are cut back, and read back as they were written.

use super::*;

const CLASS_NAMES: [&str; CLASSES] = [
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

#[test]
fn metrics_have_their_header_from_the_start_and_read_back() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("metrics.csv");
    let mut log = CsvLog::<MetricsRow>::create(&path).unwrap();
    let header = "epoch,step,train_loss,train_accuracy,valid_loss,valid_accuracy,learning_rate,seconds,images_per_second\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), header);
    let rows: Vec<_> = (1..=3).map(metrics_row).collect();
    for row in &rows {
        log.append(row).unwrap();
        log.flush().unwrap();
    }
    assert_eq!(read_rows::<MetricsRow>(&path).unwrap(), rows);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.lines()
            .nth(1)
            .unwrap()
            .starts_with("1,10,0.3333333333333333,0.5,,,"),
        "{text}"
    );
    assert!(
        CsvLog::<MetricsRow>::create(&path).is_err(),
        "a table is never overwritten"
    );
}

#[test]
fn a_resumed_table_equals_the_uninterrupted_one() {
    let home = TempDir::new().unwrap();
    let (whole, resumed) = (
        home.path().join("whole.csv"),
        home.path().join("resumed.csv"),
    );
    let row = |step| StepRow {
        step,
        epoch: 1,
        loss: 1.0 / f64::from(u32::try_from(step).unwrap()),
        learning_rate: 1e-3,
        seconds: 0.1,
    };
    let write = |mut log: CsvLog<StepRow>, steps: std::ops::RangeInclusive<u64>| {
        for step in steps {
            log.append(&row(step)).unwrap();
        }
        log.sync().unwrap()
    };
    write(CsvLog::create(&whole).unwrap(), 1..=9);
    write(CsvLog::resume(&resumed, 0).unwrap(), 1..=3);
    let saved = write(CsvLog::resume(&resumed, 0).unwrap(), 1..=5);
    write(CsvLog::resume(&resumed, saved).unwrap(), 6..=7);
    let mut text = fs::read_to_string(&resumed).unwrap();
    text.push_str("8,1,0.1");
    fs::write(&resumed, text).unwrap();
    write(CsvLog::resume(&resumed, saved).unwrap(), 6..=9);
    assert_eq!(fs::read(&whole).unwrap(), fs::read(&resumed).unwrap());

    fs::write(&resumed, &fs::read(&whole).unwrap()[..saved as usize - 3]).unwrap();
    let error = CsvLog::<StepRow>::resume(&resumed, saved).unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
    let error = CsvLog::<StepRow>::resume(&resumed, saved - 10).unwrap_err();
    assert!(error.to_string().contains("whole rows"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_survives_its_table() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("metrics.csv");
    let mut log = CsvLog::create(&path).unwrap();
    log.append(&MetricsRow {
        train_loss: Some(f64::NAN),
        ..metrics_row(1)
    })
    .unwrap();
    log.flush().unwrap();
    let rows = read_rows::<MetricsRow>(&path).unwrap();
    assert!(rows[0].train_loss.unwrap().is_nan());
}

#[test]
fn a_table_of_another_kind_is_refused() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("steps.csv");
    CsvLog::<StepRow>::create(&path).unwrap();
    let error = read_rows::<MetricsRow>(&path).unwrap_err().to_string();
    assert!(
        error.contains("steps.csv") && error.contains("line 1"),
        "{error}"
    );
    fs::write(
        &path,
        "step,epoch,loss,learning_rate,seconds\n1,1,what,1,1\n",
    )
    .unwrap();
    let error = read_rows::<StepRow>(&path).unwrap_err().to_string();
    assert!(
        error.contains("line: 2") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn predictions_and_confusion_name_the_classes() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("table.csv");
    let prediction = |index, label, class: usize| {
        let mut probabilities = [0.0625; CLASSES];
        probabilities[class] = 0.4375;
        Prediction {
            index,
            label,
            probabilities,
        }
    };
    let predictions = [
        prediction(0, 3, 3),
        prediction(1, 3, 5),
        prediction(2, 9, 9),
    ];
    write_predictions(&path, &CLASS_NAMES, &predictions).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("index,label,{}", CLASS_NAMES.join(",")));
    assert_eq!(
        lines[2],
        "1,3,0.0625,0.0625,0.0625,0.0625,0.0625,0.4375,0.0625,0.0625,0.0625,0.0625"
    );
    assert_eq!(lines.len(), 4);

    let counts = confusion(&predictions).unwrap();
    assert_eq!((counts[3][3], counts[3][5], counts[9][9]), (1, 1, 1));
    assert_eq!(counts.iter().flatten().sum::<u64>(), 3);
    write_confusion(&path, &CLASS_NAMES, &counts).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().nth(4), Some("cat,0,0,0,1,0,1,0,0,0,0"));
    assert!(matches!(
        confusion(&[prediction(7, 10, 0)]),
        Err(RunError::Label {
            index: 7,
            label: 10
        })
    ));
}
