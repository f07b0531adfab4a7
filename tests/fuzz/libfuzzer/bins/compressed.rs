#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tempoform_fuzz::check("compressed", data));
