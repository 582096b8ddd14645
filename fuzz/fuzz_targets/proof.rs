//! libFuzzer target: see `farside_fuzz::proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farside_fuzz::proof(data));
