//! What a comparison promises.

use super::*;

#[test]
fn a_difference_counts_the_less_the_more_tests_are_made_at_once() {
    let test = Paired::Tested {
        only_first: 20,
        only_other: 40,
        p: mcnemar(20, 40),
    };
    assert_eq!(test.is_larger_than_chance(1), Some(true));
    assert_eq!(test.is_larger_than_chance(10), Some(false));
    assert!(test.describe(1).contains("larger than chance"));
    assert!(test.describe(10).contains("may be chance"));
    let untested = Paired::NotComparable("a was not tested".to_owned());
    assert_eq!(untested.is_larger_than_chance(1), None);
}

#[test]
fn a_p_value_is_read_without_a_table_of_powers_and_is_never_zero() {
    let said = |only_first, only_other| {
        let p = mcnemar(only_first, only_other);
        let test = Paired::Tested {
            only_first,
            only_other,
            p,
        };
        test.describe(1)
    };
    for (first, other, words) in [
        (0, 0, "only, p = 1: may be chance"),
        (5, 5, "only, p = 1: "),
        (2, 8, "only, p = 0.109: may be chance"),
        (20, 40, "only, p = 0.013: larger than chance"),
        (0, 20, "only, p = 1.9e-6: larger"),
        (0, 5_000, "only, p below 1e-300: larger than chance"),
    ] {
        assert!(said(first, other).contains(words), "{}", said(first, other));
    }
}
