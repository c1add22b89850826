//! What commands print: aligned columns for people, JSON for programs; and the files that they
//! write.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use super::error::CliError;

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints one value: as JSON, or as what `text` makes of it.
    pub(super) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            json_line(value)
        } else {
            print(&text(value))
        }
    }

    /// Prints values: as one line of JSON each, or as a table.
    pub(super) fn rows<T: Serialize, const N: usize>(
        self,
        values: &[T],
        heads: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> Result<(), CliError> {
        if self.json {
            return values.iter().try_for_each(json_line);
        }
        print(&table(heads, values.iter().map(cells).collect()))
    }
}

/// Rows in columns as wide as their widest cell.
fn table<const N: usize>(heads: [&str; N], mut rows: Vec<[String; N]>) -> String {
    rows.insert(0, heads.map(str::to_owned));
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn json_line<T: Serialize>(value: &T) -> Result<(), CliError> {
    let line = serde_json::to_string(value).map_err(|error| CliError::Print(error.into()))?;
    print(&line)
}

pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_bytes(format!("{text}\n").as_bytes())
}

pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(CliError::Print),
    }
}

/// Writes a file that anyone may read.
pub(super) fn write(path: &Path, contents: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, contents).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file from parts, without joining them.
pub(super) fn write_parts(path: &Path, parts: &[bytes::Bytes]) -> Result<(), CliError> {
    let written = std::fs::File::create(path)
        .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)));
    written.map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that its owner alone may read.
pub(super) fn write_secret(path: &Path, contents: &[u8]) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        // A file that was there already keeps its mode when it is opened.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.write_all(contents)
    });
    written.map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            ["a".to_owned(), "é".to_owned()],
            ["longer".to_owned(), String::new()],
        ];
        assert_eq!(table(["id", "b"], rows), "id      b\na       é\nlonger");
    }
}
