use std::sync::atomic::AtomicU64;

use super::*;
use crate::divide::Chunked;

/// Adds one to each element and its chunk's number to the first of a chunk.
fn mark(_: usize, chunk: usize, part: Chunked<'_, u64>) {
    for value in part.data.iter_mut() {
        *value += 1;
    }
    if let Some(value) = part.data.first_mut() {
        *value += 1_000 * chunk as u64;
    }
}

#[test]
fn every_chunk_is_done_once_with_any_number_of_helpers_and_chunks() {
    for helpers in [0, 1, 2, 5, 70] {
        let crew = Crew::start(helpers).unwrap();
        for chunks in [1, 2, 3, 16, 63, 64, 65, 200] {
            let mut data = vec![0_u64; 3 * chunks - 1];
            crew.divide(chunks, Chunked::new(&mut data, 3), mark);
            for (index, value) in data.into_iter().enumerate() {
                let first = if index % 3 == 0 {
                    1_000 * (index as u64 / 3)
                } else {
                    0
                };
                assert_eq!(
                    value,
                    1 + first,
                    "{helpers} helpers, {chunks} chunks, {index}"
                );
            }
        }
    }
}

#[test]
fn helpers_that_have_fallen_asleep_are_woken() {
    let crew = Crew::start(1).unwrap();
    for _ in 0..20 {
        thread::sleep(3 * LOOK_FOR);
        // Each chunk waits for the other, so that the two are not done by one thread.
        let begun = AtomicU64::new(0);
        let mut data = [0_u64; 2];
        crew.divide(2, Chunked::new(&mut data, 1), |_, _, _| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
        });
    }
}

/// Waits until each helper sleeps.
fn all_asleep(crew: &Crew) {
    while !(crew.shared.asleep.iter()).all(|asleep| asleep.load(Ordering::SeqCst)) {
        thread::yield_now();
    }
}

#[test]
fn helpers_beyond_the_pieces_of_an_operation_are_left_asleep() {
    let crew = Crew::start(5).unwrap();
    for pieces in [2, 3, 4] {
        all_asleep(&crew);
        for _ in 0..200 {
            let mut data = vec![0_u64; pieces];
            let participants = crew.divide(pieces, Chunked::new(&mut data, 1), mark);
            assert_eq!(participants, pieces);
            for asleep in &crew.shared.asleep[pieces - 1..] {
                assert!(asleep.load(Ordering::SeqCst), "{pieces} pieces");
            }
        }
    }
}

#[test]
fn an_operation_is_for_as_many_helpers_as_it_says_until_it_is_closed() {
    let crew = Crew::start(0).unwrap();
    let order = Order {
        work: |_, _| {},
        operation: std::ptr::null(),
    };
    let state = || crew.shared.state.load(Ordering::SeqCst);
    for helpers in [0, 1, 2, MOST_PARTICIPANTS - 1] {
        let before = round_of(state());
        crew.open(order, helpers);
        assert_ne!(round_of(state()), before);
        for number in 0..2 * MOST_PARTICIPANTS {
            // Helpers at work do not change it.
            for at_work in 0..=helpers {
                assert_eq!(is_for(state() + at_work, number), number < helpers);
            }
        }
        crew.close();
        assert!((0..2 * MOST_PARTICIPANTS).all(|number| !is_for(state(), number)));
    }
}

#[test]
fn helpers_that_are_awake_leave_an_operation_of_few_pieces_alone() {
    let crew = Crew::start(5).unwrap();
    let begun = AtomicU64::new(0);
    let at_work = |pieces: usize| {
        begun.store(0, Ordering::SeqCst);
        let numbers = Mutex::new(Vec::new());
        let mut data = vec![0_u64; pieces];
        // Each piece waits for the others, so that each has a participant of its own.
        crew.divide(pieces, Chunked::new(&mut data, 1), |number, _, _| {
            numbers.lock().unwrap().push(number);
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < pieces as u64 {
                thread::yield_now();
            }
        });
        let mut numbers = numbers.into_inner().unwrap();
        numbers.sort_unstable();
        numbers
    };
    for _ in 0..300 {
        // All six come, so that the helpers are awake when the operation of two pieces begins.
        assert_eq!(at_work(6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(at_work(2), [0, 1]);
        assert_eq!(at_work(3), [0, 1, 2]);
    }
}

#[test]
fn many_callers_at_a_time_each_get_their_own_results() {
    let crew = &Crew::start(2).unwrap();
    thread::scope(|scope| {
        for caller in 0..4_u64 {
            scope.spawn(move || {
                for _ in 0..500 {
                    let mut data = [caller; 40];
                    crew.divide(10, Chunked::new(&mut data, 4), |_, chunk, part| {
                        part.data.fill(10 * caller + chunk as u64);
                    });
                    for (index, value) in data.into_iter().enumerate() {
                        assert_eq!(value, 10 * caller + index as u64 / 4);
                    }
                }
            });
        }
    });
}

#[test]
fn an_operation_inside_of_another_is_done_by_its_caller() {
    let crew = Crew::start(2).unwrap();
    let mut data = vec![0_u64; 8 * 6];
    crew.divide(8, Chunked::new(&mut data, 6), |_, _, part| {
        crew.divide(6, Chunked::new(part.data, 1), |_, chunk, part| {
            part.data.fill(chunk as u64);
        });
    });
    for (index, value) in data.into_iter().enumerate() {
        assert_eq!(value, index as u64 % 6);
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_crew_works_on() {
    let crew = Crew::start(2).unwrap();
    for broken in 0..16 {
        let mut data = [0_u64; 16];
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            crew.divide(16, Chunked::new(&mut data, 1), |_, chunk, _| {
                assert!(chunk != broken, "chunk {chunk} is broken");
            });
        }));
        let payload = outcome.unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert_eq!(*message, format!("chunk {broken} is broken"));
        let mut data = [0_u64; 16];
        crew.divide(16, Chunked::new(&mut data, 1), |_, _, part| {
            part.data.fill(1);
        });
        assert_eq!(data, [1; 16]);
    }
}
