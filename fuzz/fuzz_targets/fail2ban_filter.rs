#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nightlatch_fuzz::fail2ban_filter(data));
