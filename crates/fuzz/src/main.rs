//! libFuzzer over the target that `FUZZ_TARGET` names; `cargo xtask fuzz` starts it.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::start(), |input: &[u8]| fuzz::run(input));
