//! Verifies a CRL of any size from a file, piece by piece, and counts its entries by reason:
//! `stream_file CRL ISSUER-CERTIFICATE`, both in DER. Memory does not grow with the CRL.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crl::{
    CrlKind, Entry, Examination, Issuer, Limits, Reason, Requirements, RustCrypto, UnixTime,
    Verification, Visitor,
};

#[derive(Default)]
struct ByReason(BTreeMap<&'static str, u64>);

impl Visitor for ByReason {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        let reason = entry.reason.unwrap_or(Reason::Unspecified);
        *self.0.entry(reason.name()).or_default() += 1;
        ControlFlow::Continue(())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [crl, issuer] = &paths[..] else {
        return Err("usage: stream_file CRL ISSUER-CERTIFICATE".into());
    };
    let mut file = File::open(crl)?;
    let issuer = Issuer::from_der(&std::fs::read(issuer)?)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();

    let limits = Limits {
        max_bytes: file.metadata()?.len(),
        ..Limits::default()
    };
    let mut by_reason = ByReason::default();
    let mut examination = Examination::<RustCrypto>::new(limits);
    each_piece(&mut file, |piece| {
        Ok(examination.push_with(piece, &mut by_reason)?)
    })?;
    let examined = examination.finish()?;

    let now = UnixTime(i64::try_from(seconds)?);
    let requirements = Requirements::new(&issuer, CrlKind::Full, now);
    let verified = match crl::verify(&examined, &requirements)? {
        Verification::Verified(verified) => verified,
        // Ed25519 needs the bytes again.
        Verification::NeedsSecondPass(mut pass) => {
            file.rewind()?;
            each_piece(&mut file, |piece| {
                pass.push(piece);
                Ok(())
            })?;
            pass.finish()?
        }
    };
    println!(
        "number {}, valid until {}, {} entries",
        verified.number(),
        verified.next_update(),
        verified.crl().entry_count
    );
    for (reason, count) in by_reason.0 {
        println!("{count:>10} {reason}");
    }
    for finding in verified.findings() {
        println!(
            "{}: {} ({} times)",
            finding.kind.code(),
            finding.kind,
            finding.count
        );
    }
    Ok(())
}

fn each_piece(
    file: &mut File,
    mut each: impl FnMut(&[u8]) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => each(&piece[..count])?,
        }
    }
}
