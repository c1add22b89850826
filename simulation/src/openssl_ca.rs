//! A CA in a directory of `openssl ca`, whose `index.txt` the origin follows.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use crl_origin::ca::{self, KeyKind, PrivateKey};
use crl_origin::connector_config::{ConnectorConfig, OpenSslConfig};
use crl_origin::list_config::{Lists, NewList};
use crl_origin::origin::{NewIssuer, NewKey, SignedBy};
use crl_origin::profile::Profile;
use origin_api::{CrlName, IssuerId, Timestamp};

use crate::clock::Timeline;
use crate::faults::Accident;
use crate::ledger::{Ledger, Revoked};
use crate::random::Random;
use crate::trace::Trace;

/// How long its CRLs are valid.
const VALIDITY: Duration = Duration::from_hours(24);
/// How long its own certificate is.
const LIFE: Duration = Duration::from_hours(24 * 3_650);
/// How many certificates it has issued before the run.
const ISSUED: u32 = 10;
/// How many lines its index has at most.
const MOST_LINES: usize = 200;
/// How many copies of its directory are kept.
const COPIES: usize = 3;
/// How long after its certificate has expired a line is deleted by hand. OpenSSL keeps them all,
/// and the index of a long run would grow.
const KEPT: Duration = Duration::from_hours(72);

/// What `openssl ca -revoke` writes after the time, by `-crl_reason` and others of its options.
const REASONS: [&str; 9] = [
    "",
    ",unspecified",
    ",keyCompromise",
    ",CACompromise",
    ",affiliationChanged",
    ",superseded",
    ",cessationOfOperation",
    ",certificateHold",
    ",holdInstruction,holdInstructionReject",
];

/// The CA.
pub(crate) struct OpensslCa {
    pub(crate) id: IssuerId,
    folder: PathBuf,
    timeline: Timeline,
    pub(crate) random: Random,
    trace: Trace,
    ledger: Ledger,
    state: RefCell<State>,
}

struct State {
    /// The index as it should be.
    lines: Vec<Line>,
    /// The index of an earlier copy of the directory, which somebody has put back.
    older: Option<Vec<Line>>,
    /// The last copies of the directory.
    copies: Vec<Copy>,
    /// When the index was written last.
    written_at: Timestamp,
    /// The file is not what OpenSSL wrote, which fails until it is mended.
    is_harmed: bool,
    /// How often something has been done to the file.
    harms: u32,
}

/// A copy of the directory.
#[derive(Clone)]
struct Copy {
    lines: Vec<Line>,
    written_at: Timestamp,
}

impl State {
    /// What OpenSSL works on.
    fn present(&self) -> &[Line] {
        self.older.as_ref().unwrap_or(&self.lines)
    }

    /// Changes the line of a certificate. OpenSSL adds what it does not find.
    fn put(&mut self, line: &Line) {
        for lines in [Some(&mut self.lines), self.older.as_mut()] {
            let Some(lines) = lines else { continue };
            match lines.iter_mut().find(|old| old.serial == line.serial) {
                Some(old) => old.clone_from(line),
                None => lines.push(line.clone()),
            }
        }
    }

    /// Those that can be revoked.
    fn valid(&self, now: Timestamp) -> Vec<Line> {
        let valid = self.lines.iter();
        let valid =
            valid.filter(|line| matches!(line.status, Status::Valid) && line.not_after > now);
        valid.cloned().collect()
    }
}

/// A line of the index.
#[derive(Clone)]
struct Line {
    status: Status,
    not_after: Timestamp,
    serial: Vec<u8>,
}

/// A revocation of the wrong certificate.
pub(crate) struct Mistake {
    wrong: Line,
    right: Line,
    reason: &'static str,
}

#[derive(Clone)]
enum Status {
    Valid,
    Revoked {
        at: Timestamp,
        /// With the comma before it.
        reason: &'static str,
    },
    Expired,
}

impl Line {
    /// As OpenSSL writes it.
    fn text(&self) -> String {
        let (status, revocation) = match &self.status {
            Status::Valid => ('V', String::new()),
            Status::Revoked { at, reason } => ('R', format!("{}{reason}", utc_time(*at))),
            Status::Expired => ('E', String::new()),
        };
        let serial = hex(&self.serial);
        let expiry = utc_time(self.not_after);
        format!("{status}\t{expiry}\t{revocation}\t{serial}\tunknown\t/CN={serial}\n")
    }
}

fn hex(serial: &[u8]) -> String {
    let mut hex = String::new();
    for byte in serial {
        let _ = write!(hex, "{byte:02X}");
    }
    hex
}

/// `YYMMDDHHMMSSZ`
fn utc_time(at: Timestamp) -> String {
    let time = at.as_unix_time().to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    format!("{}Z", &digits[2..])
}

impl OpensslCa {
    /// A CA with its directory in `folder`, and what `crl-origin issuer connect openssl` reads.
    pub(crate) fn new(
        folder: &Path,
        timeline: &Timeline,
        random: Random,
        trace: &Trace,
        ledger: &Ledger,
    ) -> anyhow::Result<(Self, NewIssuer)> {
        let id: IssuerId = "directory".parse()?;
        let folder = folder.join("ca");
        fs::create_dir(&folder)?;
        ledger.is_followed(&id);
        let ca = Self {
            id,
            folder,
            timeline: timeline.clone(),
            random,
            trace: trace.clone(),
            ledger: ledger.clone(),
            state: RefCell::new(State {
                lines: Vec::new(),
                older: None,
                copies: Vec::new(),
                written_at: timeline.now(),
                is_harmed: false,
                harms: 0,
            }),
        };
        fs::write(ca.file("crlnumber"), "1F\n")?;
        for _ in 0..ISSUED {
            ca.issue()?;
        }
        ca.copy();
        let new = ca.as_issuer()?;
        Ok((ca, new))
    }

    fn as_issuer(&self) -> anyhow::Result<NewIssuer> {
        let key = PrivateKey::generate(KeyKind::P256, &self.random)?;
        let subject = ca::parse_subject(&format!("CN={}", self.id))?;
        let now = self.timeline.now().as_unix_time();
        let certificate = ca::self_sign(&key, &subject, now, LIFE, &self.random)?;
        let list = NewList {
            name: CrlName::Full,
            distribution_point: None,
            validity: VALIDITY,
            overlap: None,
        };
        Ok(NewIssuer {
            id: self.id.clone(),
            subject,
            key: NewKey::Import(Box::new(key)),
            validity: LIFE,
            signed_by: SignedBy::Already(Box::new(certificate), None),
            connector: ConnectorConfig::OpenSsl(OpenSslConfig {
                index: self.file("index.txt"),
                crl_number: Some(self.file("crlnumber")),
            }),
            profile: Profile::Rfc5280,
            lists: Lists::new(vec![list])?,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Issues a certificate, which is valid for some hours or days.
    fn issue(&self) -> anyhow::Result<()> {
        let hours = self.random.between(6..24 * 20);
        let expiry = self.timeline.now().after(Duration::from_hours(hours));
        self.state.borrow_mut().put(&Line {
            status: Status::Valid,
            // An index has whole seconds.
            not_after: expiry.as_unix_time().into(),
            serial: [&[0x40], &self.random.bytes::<11>()[..]].concat(),
        });
        self.save()
    }

    /// `openssl ca -revoke`
    fn revoke(&self) -> anyhow::Result<()> {
        let valid = self.state.borrow().valid(self.timeline.now());
        if valid.is_empty() {
            return Ok(());
        }
        let reason = self.random.pick(&REASONS);
        self.list(self.random.pick(&valid), reason, true);
        self.save()
    }

    /// Revokes a certificate in the index, for good or by mistake.
    fn list(&self, line: &Line, reason: &'static str, for_good: bool) {
        let at = self.timeline.now();
        self.state.borrow_mut().put(&Line {
            status: Status::Revoked { at, reason },
            ..line.clone()
        });
        self.trace.line(format!("revoke from {}", self.id));
        let revoked = Revoked {
            serial: line.serial.clone(),
            not_after: Some(line.not_after),
            shard: None,
            is_acknowledged: for_good,
        };
        self.ledger.revoked(&self.id, revoked);
    }

    /// `openssl ca -updatedb`: valid certificates that have expired become so in the index. Those
    /// that were revoked stay revoked.
    fn update(&self) -> anyhow::Result<()> {
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for lines in [Some(&mut state.lines), state.older.as_mut()] {
            let Some(lines) = lines else { continue };
            lines.retain(|line| now < line.not_after.after(KEPT));
            for line in lines {
                if matches!(line.status, Status::Valid) && line.not_after < now {
                    line.status = Status::Expired;
                }
            }
        }
        self.save_lines(state)
    }

    /// Copies the directory. Few copies are kept.
    fn copy(&self) {
        let mut state = self.state.borrow_mut();
        let copy = Copy {
            lines: state.present().to_vec(),
            written_at: state.written_at,
        };
        state.copies.push(copy);
        if state.copies.len() > COPIES {
            state.copies.remove(0);
        }
    }

    /// Writes the index as OpenSSL does: a new file takes the place of the old one.
    fn save(&self) -> anyhow::Result<()> {
        self.save_lines(&mut self.state.borrow_mut())
    }

    fn save_lines(&self, state: &mut State) -> anyhow::Result<()> {
        self.begin_save(state)?;
        self.end_save()
    }

    /// After this the index has no name.
    fn begin_save(&self, state: &mut State) -> anyhow::Result<()> {
        let (index, new) = (self.file("index.txt"), self.file("index.txt.new"));
        state.written_at = self.timeline.now();
        write(&new, &text(state.present()), state.written_at)?;
        if index.exists() {
            fs::rename(index, self.file("index.txt.old"))?;
        }
        Ok(())
    }

    fn end_save(&self) -> anyhow::Result<()> {
        fs::rename(self.file("index.txt.new"), self.file("index.txt"))?;
        Ok(())
    }

    /// Writes to the index itself, as an editor or a copy does.
    fn overwrite(&self, text: &[u8], at: Timestamp) -> anyhow::Result<()> {
        write(&self.file("index.txt"), text, at)
    }

    /// Issues or revokes certificates, or runs `openssl ca -updatedb`. `None` while the index is
    /// harmed: OpenSSL refuses it.
    pub(crate) fn work(&self, random: &Random) -> Option<anyhow::Result<()>> {
        if self.state.borrow().is_harmed {
            return None;
        }
        let is_full = self.state.borrow().lines.len() >= MOST_LINES;
        let done = match random.below(10) {
            0..5 if !is_full => self.issue(),
            0..9 => self.revoke(),
            _ => self.update(),
        };
        if random.chance(200) {
            self.copy();
        }
        Some(done)
    }

    /// Revokes a certificate in place of another, which is to be corrected. Returns both, if there
    /// are two that can be revoked.
    pub(crate) fn revoke_wrongly(&self) -> anyhow::Result<Option<Mistake>> {
        if self.state.borrow().is_harmed {
            return Ok(None);
        }
        let valid = self.state.borrow().valid(self.timeline.now());
        let [wrong, .., right] = &valid[..] else {
            return Ok(None);
        };
        let reason = self.random.pick(&REASONS);
        self.list(wrong, reason, false);
        self.save()?;
        Ok(Some(Mistake {
            wrong: wrong.clone(),
            right: right.clone(),
            reason,
        }))
    }

    /// Whether nobody has mended what was harmed so.
    pub(crate) fn is_still_harmed(&self, number: u32) -> bool {
        self.state.borrow().harms == number
    }

    /// The new index gets its name.
    pub(crate) fn end_rename(&self) -> anyhow::Result<()> {
        self.state.borrow_mut().is_harmed = false;
        self.end_save()
    }

    /// Whether this can happen to the directory as it is.
    pub(crate) fn can_be_harmed(&self, accident: Accident) -> bool {
        let state = self.state.borrow();
        // Two lines are needed for that, and OpenSSL must be able to read them.
        let can_be_corrected = || !state.is_harmed && state.valid(self.timeline.now()).len() > 1;
        accident != Accident::IndexSameStamp || can_be_corrected()
    }

    /// Does something bad to the file. Returns the number of this harm: somebody mends it, unless
    /// another is done before.
    pub(crate) fn spoil(&self, accident: Accident) -> anyhow::Result<u32> {
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        state.harms += 1;
        let mut text = text(state.present());
        match accident {
            Accident::IndexCut => {
                text.truncate(self.cut(&text));
                state.is_harmed = true;
                self.overwrite(&text, now)?;
            }
            Accident::IndexGarbled => {
                let revoked = state.present().iter();
                let revoked = revoked.filter(|line| matches!(line.status, Status::Revoked { .. }));
                let serials: Vec<_> = revoked.map(|line| hex(&line.serial)).collect();
                let garbled = String::from_utf8(text)?;
                let garbled = match &serials[..] {
                    [] => format!("{garbled}R\tnever\n"),
                    // Of the same length, so that only the file's time differs.
                    serials => garbled.replace(self.random.pick(serials), &"?".repeat(24)),
                };
                state.is_harmed = true;
                self.overwrite(garbled.as_bytes(), now)?;
            }
            Accident::IndexMissing => {
                state.is_harmed = true;
                self.begin_save(&mut state)?;
            }
            _ => {
                let copy = self.random.pick(&state.copies).clone();
                self.overwrite(&self::text(&copy.lines), copy.written_at)?;
                state.is_harmed = false;
                state.written_at = copy.written_at;
                state.older = Some(copy.lines);
            }
        }
        Ok(state.harms)
    }

    /// Where a half-written index ends: within a line.
    fn cut(&self, text: &[u8]) -> usize {
        if text.is_empty() {
            return 0;
        }
        let at = self.random.index(text.len());
        // A line that is cut off before its end is one that OpenSSL refuses.
        if at > 0 && text[at - 1] == b'\n' {
            at + 1
        } else {
            at
        }
    }

    /// Mends the file: the index is as it should be.
    pub(crate) fn mend(&self) -> anyhow::Result<()> {
        let mut state = self.state.borrow_mut();
        if !state.is_harmed && state.older.is_none() {
            return Ok(());
        }
        state.harms += 1;
        (state.is_harmed, state.older) = (false, None);
        state.written_at = self.timeline.now();
        self.overwrite(&text(&state.lines), state.written_at)
    }

    /// Corrects a revocation within its second, by hand: it was another certificate's. The first
    /// one is valid again in the index, which has the same size as before.
    pub(crate) fn correct(&self, mistake: &Mistake) -> anyhow::Result<()> {
        let Mistake {
            wrong,
            right,
            reason,
        } = mistake;
        if self.state.borrow().is_harmed {
            return Ok(());
        }
        self.state.borrow_mut().put(wrong);
        self.list(right, reason, true);
        let state = self.state.borrow();
        self.overwrite(&text(state.present()), self.timeline.now())
    }
}

/// The index.
fn text(lines: &[Line]) -> Vec<u8> {
    let lines: String = lines.iter().map(Line::text).collect();
    lines.into_bytes()
}

/// Writes a file at this time. File systems may count whole seconds.
fn write(path: &Path, text: &[u8], at: Timestamp) -> anyhow::Result<()> {
    fs::write(path, text)?;
    let seconds = u64::try_from(at.as_unix_time().0)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = File::options().write(true).open(path)?;
    file.set_modified(time).context("a file's time")
}
