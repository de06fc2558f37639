//! Mutations of seeds: what the usual damage to a file is, and what fuzzers try first.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers at which lengths and counters go wrong.
const NUMBERS: [u32; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];
/// The most mutations of one input.
const MOST_MUTATIONS: usize = 4;
/// No input grows beyond this many bytes.
const LONGEST: usize = 1 << 16;

/// Makes inputs without end, the same ones in every run.
pub struct Mutator {
    random: ChaCha8Rng,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(0),
            seeds,
            words,
        }
    }

    /// A seed with one to four mutations.
    pub fn next_input(&mut self) -> Vec<u8> {
        let seed = self.below(self.seeds.len());
        let mut input = self.seeds[seed].clone();
        for _ in 0..=self.below(MOST_MUTATIONS) {
            self.mutate(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let length = self.below((input.len() - at).min(64) + 1);
        match self.below(9) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..at + length)),
            2 => {
                let copy = input[at..at + length].to_vec();
                input.splice(at..at, copy);
            }
            3 => {
                let word = self.word();
                input.splice(at..at, word);
            }
            4 => {
                let word = self.word();
                overwrite(input, at, &word);
            }
            5 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let bytes = match self.below(4) {
                    0 => vec![number as u8],
                    1 => (number as u16).to_le_bytes().to_vec(),
                    2 => number.to_be_bytes().to_vec(),
                    _ => number.to_le_bytes().to_vec(),
                };
                overwrite(input, at, &bytes);
            }
            6 => {
                // The rest of another seed, from any place.
                let other = self.below(self.seeds.len());
                let from = self.below(self.seeds[other].len() + 1);
                input.truncate(at);
                input.extend(&self.seeds[other][from..]);
            }
            7 => {
                let bit = self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            _ => {
                let value = self.below(256) as u8;
                if let Some(byte) = input.get_mut(at) {
                    *byte = value;
                }
            }
        }
    }

    /// A word of the dictionary; without one, a few bytes of a seed.
    fn word(&mut self) -> Vec<u8> {
        if self.words.is_empty() {
            let seed = self.below(self.seeds.len());
            let at = self.below(self.seeds[seed].len() + 1);
            return self.seeds[seed][at..].iter().take(8).copied().collect();
        }
        let word = self.below(self.words.len());
        self.words[word].clone()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u64() as usize % bound.max(1)
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (old, new) in input[at..].iter_mut().zip(bytes) {
        *old = *new;
    }
}

/// The words of a dictionary in libFuzzer's form: a quoted text a line, with `\xAB`, `\\` and `\"`.
pub fn words(dictionary: &str) -> Vec<Vec<u8>> {
    dictionary
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"'))
        .map(|text| {
            let mut word = Vec::new();
            let mut rest = text.as_bytes();
            while let [first, after @ ..] = rest {
                rest = match after {
                    [b'x', digits @ ..] if *first == b'\\' => {
                        let (code, after) = digits.split_at(2);
                        let code = std::str::from_utf8(code).unwrap();
                        word.push(u8::from_str_radix(code, 16).unwrap());
                        after
                    }
                    [escaped, after @ ..] if *first == b'\\' => {
                        word.push(*escaped);
                        after
                    }
                    _ => {
                        word.push(*first);
                        after
                    }
                };
            }
            word
        })
        .collect()
}

#[test]
fn words_of_a_dictionary_are_read_with_their_escapes() {
    let words = words("# A comment.\n\"ab\"\n\"\\x80\\x02c\\\"\\\\\"\n");
    assert_eq!(words, [b"ab".to_vec(), b"\x80\x02c\"\\".to_vec()]);
}

#[test]
fn the_same_inputs_are_made_in_every_run_and_they_differ() {
    let make = || {
        let mut mutator = Mutator::new(vec![(0..100).collect()], Vec::new());
        (0..100).map(|_| mutator.next_input()).collect::<Vec<_>>()
    };
    let inputs = make();
    assert_eq!(inputs, make());
    let seed: Vec<u8> = (0..100).collect();
    assert!(inputs.iter().filter(|input| **input != seed).count() > 90);
}
