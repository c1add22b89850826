//! The CPU time of a server, as Linux counts it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The CPU time of a process and its descendants so far, in steps of 10 ms.
pub(crate) fn time_of(process: u32) -> Duration {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    // utime and stime are fields 14 and 15; field 2, the name, may contain spaces.
    let ticks: u64 = stat.rsplit_once(") ").map_or(0, |(_, fields)| {
        let ticks = fields.split(' ').skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    });
    let threads = fs::read_dir(folder.join("task"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let descendants = children
        .flat_map(|ids| {
            ids.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        })
        .map(time_of);
    Duration::from_millis(ticks * 10) + descendants.sum()
}
