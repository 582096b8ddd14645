//! libFuzzer target: see `crossing::cedar`.
#![no_main]

#[path = "../src/crossing.rs"]
#[allow(dead_code, reason = "each target uses a part of it")]
mod crossing;
#[path = "../../crates/crossing/tests/crossing/support.rs"]
#[allow(dead_code, reason = "each target uses a part of it")]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| crossing::cedar(data));
