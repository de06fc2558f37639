use std::path::Path;

use super::*;

#[test]
fn what_a_terminal_would_obey_is_written_out_and_letters_of_every_script_stay() {
    assert_eq!(escaped("cat\u{1b}[31m.png"), "cat\\u{1b}[31m.png");
    assert_eq!(escaped("a\nb\tc\u{7f}\u{9b}"), "a\\nb\\tc\\u{7f}\\u{9b}");
    assert_eq!(escaped("gnp.\u{202e}exe"), "gnp.\\u{202e}exe");
    assert_eq!(escaped("猫 Käse 'quoted' \\"), "猫 Käse 'quoted' \\");
    assert_eq!(escaped_message("one\ntwo\u{7}"), "one\ntwo\\u{7}");
}

#[test]
fn a_path_is_one_that_terminals_know() {
    for (path, shown) in [
        ("artifacts/a", "./artifacts/a"),
        ("./artifacts", "./artifacts"),
        ("../artifacts", "../artifacts"),
        ("/tmp/a b", "/tmp/a b"),
        ("a\u{1b}c", "./a\\u{1b}c"),
    ] {
        assert_eq!(shown_path(Path::new(path)), shown);
    }
    assert_eq!(
        link(Path::new("/tmp/a b/\u{1b}é%"), "text"),
        "\u{1b}]8;;file:///tmp/a%20b/%1B%C3%A9%25\u{1b}\\text\u{1b}]8;;\u{1b}\\"
    );
}

#[test]
fn a_name_keeps_its_end_and_fits() {
    assert_eq!(shortened("short.png", 9), "short.png");
    assert_eq!(shortened("holidays/2026/beach.png", 14), "holi…beach.png");
    for width in 1..20 {
        let text = shortened("猫猫猫猫猫猫/猫猫猫猫猫猫.png", width);
        assert!(text.width() <= width, "{text} in {width}");
    }
}

#[test]
fn lines_are_broken_between_words_and_nowhere_without_a_terminal() {
    let text = "  only the first is right on 12 images";
    assert_eq!(wrapped(text, None, 4), text);
    assert_eq!(
        wrapped(text, Some(16), 4),
        "  only the first\n    is right on\n    12 images"
    );
    assert_eq!(
        wrapped("of artifacts/a-long-name", Some(12), 2),
        "of\n  art…g-name"
    );
}

fn columns() -> Vec<Column> {
    let column = |heading: &str, cells: [&str; 2], kind, rank| Column {
        heading: heading.to_owned(),
        cells: cells.map(str::to_owned).to_vec(),
        kind,
        rank,
    };
    vec![
        column("run", ["smoke-20261124-120000", "b"], Kind::Name(10), 0),
        column("network", ["simple_cnn", "resnet20"], Kind::Text, 2),
        column("test", ["54.83%", "9.9%"], Kind::Figure, 0),
        column("seconds", ["10.0", "211.0"], Kind::Figure, 1),
    ]
}

#[test]
fn a_table_leaves_out_what_matters_least_and_then_shortens_names() {
    let whole = "\
run                   network      test seconds
smoke-20261124-120000 simple_cnn 54.83%    10.0
b                     resnet20     9.9%   211.0
";
    assert_eq!(table(columns(), None), whole);
    assert_eq!(table(columns(), Some(47)), whole);
    let headings = |width| {
        table(columns(), Some(width))
            .lines()
            .next()
            .map(str::to_owned)
    };
    let words = |width| headings(width).map(|line| line.split_whitespace().count());
    assert_eq!(words(46), Some(3));
    assert_eq!(
        table(columns(), Some(28)),
        "run                     test\nsmoke-20261124-120000 54.83%\nb                       9.9%\n"
    );
    for width in 17..60 {
        let table = table(columns(), Some(width));
        assert!(
            table.lines().all(|line| line.width() <= width),
            "{width}:\n{table}"
        );
        assert!(
            table.contains("54.83%") && table.contains("120000"),
            "{width}:\n{table}"
        );
    }
}
