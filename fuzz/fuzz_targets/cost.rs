//! Any bytes: reading them takes time in proportion to their number. The bound is far above what
//! the instrumented reader takes for honest lists, so that only a cost that is not linear reaches
//! it.
#![no_main]

use std::time::{Duration, Instant};

use crl::{Limits, Reader, Serial};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bound = Duration::from_micros(500) + Duration::from_micros(1) * data.len() as u32;
    let read = || {
        let start = Instant::now();
        let mut reader = Reader::new(Limits::default());
        if reader.push(data, &mut ()).is_ok() {
            if let Ok(crl) = reader.finish() {
                // What a caller does with names and findings.
                let issuer = &crl.header.issuer;
                assert!(issuer.matches(issuer));
                let _ = (issuer.to_string(), crl.findings(), crl.scope());
            }
        }
        let _ = crl::find(data, Serial::from_be_bytes(&[1]));
        start.elapsed()
    };
    // The machine may do something else meanwhile: the fastest of several runs counts.
    let mut fastest = read();
    for _ in 0..20 {
        if fastest <= bound {
            return;
        }
        fastest = fastest.min(read());
    }
    panic!("{fastest:?} for {} octets", data.len());
});
