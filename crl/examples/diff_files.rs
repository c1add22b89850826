//! Shows what changed from one CRL to a later one: `diff_files EARLIER LATER`, both in DER.
//! The files are read where they are, whatever their size.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::process::ExitCode;

use crl::{Change, Source};

struct FileSource(File);

impl Source for FileSource {
    type Error = io::Error;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read(buffer)
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
    let [earlier, later] = &paths[..] else {
        return Err("usage: diff_files EARLIER LATER".into());
    };
    let mut earlier = FileSource(File::open(earlier)?);
    let mut later = FileSource(File::open(later)?);
    if crl::same_contents(&mut earlier, &mut later)? {
        println!("the same contents");
        return Ok(());
    }
    // A real program takes a random number, so that no list can be made slow to compare.
    let key = std::process::id().into();
    let differences = crl::diff(&mut earlier, &mut later, key, |change| {
        match change {
            Change::Added(entry) => println!("+ {} {}", entry.serial, entry.revocation_date),
            Change::Removed(entry) => println!("- {} {}", entry.serial, entry.revocation_date),
            Change::Changed { before, after } => println!(
                "! {} {} {:?}, was {} {:?}",
                after.serial,
                after.revocation_date,
                after.reason,
                before.revocation_date,
                before.reason
            ),
        }
        ControlFlow::Continue(())
    })?;
    println!(
        "{} added, {} removed, {} changed",
        differences.added, differences.removed, differences.changed
    );
    Ok(())
}
