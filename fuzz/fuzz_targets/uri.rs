//! libFuzzer target: see `farside_fuzz::uri`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farside_fuzz::uri(data));
