//! libFuzzer target: see `farside_fuzz::jwks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farside_fuzz::jwks(data));
