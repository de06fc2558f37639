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
    assert_eq!(Paired::NotComparable("x").is_larger_than_chance(1), None);
}
