//! docs/results.md and `cargo xtask reproduce` speak of the same rows.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What `cargo xtask reproduce` says to `arguments`.
fn reproduce(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("reproduce")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The cells of a table's row, without the marks of code.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix('|')?;
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    Some(inner.split('|').map(cell).collect())
}

#[test]
fn each_row_of_the_table_can_be_reproduced_by_the_command_beside_it_and_the_other_way_round() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs/results.md")).unwrap();
    let tables: Vec<Vec<String>> = text.lines().filter_map(cells).collect();
    let list = reproduce(&[]);
    let known: Vec<&str> = list
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    let rows: Vec<&str> = tables
        .iter()
        .filter(|cells| cells.len() == 7 && cells[0] != "row" && !cells[0].starts_with('-'))
        .map(|cells| cells[0].as_str())
        .collect();
    assert_eq!(rows, known);
    for row in known {
        let command = format!("cargo xtask reproduce {row}");
        let shown = tables.iter().find(|cells| cells[0] == command);
        let shown = shown.unwrap_or_else(|| panic!("{row} has no command"));
        assert_eq!(reproduce(&[row, "--print"]).trim_end(), shown[1], "{row}");
    }
}
