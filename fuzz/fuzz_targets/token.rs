//! libFuzzer target: see `farside_fuzz::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farside_fuzz::token(data));
