//! libFuzzer target: see `farside_fuzz::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farside_fuzz::header(data));
