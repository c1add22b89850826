//! A CA that its staff keep with `openssl ca`: they revoke in its `index.txt`, which the origin
//! follows.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use crl_origin::ca::{self, KeyKind, PrivateKey};
use crl_origin::connector_config::{ConnectorConfig, OpenSslConfig};
use crl_origin::list_config::{Lists, NewList};
use crl_origin::origin::{NewIssuer, NewKey, SignedBy};
use crl_origin::profile::Profile;
use origin_api::{CrlName, IssuerId, Timestamp};

use crate::clock::Timeline;
use crate::ledger::{Ledger, Revoked};
use crate::random::Random;
use crate::trace::Trace;
use crate::world::World;

/// How long its CRLs are valid.
const VALIDITY: Duration = Duration::from_hours(24);
/// How long its own certificate is.
const LIFE: Duration = Duration::from_hours(24 * 3_650);
/// How many certificates that have not expired it has at most.
const MOST_VALID: usize = 200;
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
    random: Random,
    trace: Trace,
    ledger: Ledger,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The index as it should be.
    lines: Vec<Line>,
}

/// A line of the index.
#[derive(Clone)]
struct Line {
    status: Status,
    not_after: Timestamp,
    serial: Vec<u8>,
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
        let serial = self.serial.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02X}");
            hex
        });
        let expiry = utc_time(self.not_after);
        format!("{status}\t{expiry}\t{revocation}\t{serial}\tunknown\t/CN={serial}\n")
    }
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
            state: RefCell::default(),
        };
        fs::write(ca.file("crlnumber"), "1F\n")?;
        ca.save()?;
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
        self.state.borrow_mut().lines.push(Line {
            status: Status::Valid,
            // An index has whole seconds.
            not_after: expiry.as_unix_time().into(),
            serial: [&[0x40], &self.random.bytes::<11>()[..]].concat(),
        });
        self.save()
    }

    /// `openssl ca -revoke`
    fn revoke(&self) -> anyhow::Result<()> {
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        let valid = state.lines.iter_mut();
        let mut valid: Vec<_> = valid
            .filter(|line| matches!(line.status, Status::Valid) && line.not_after > now)
            .collect();
        if valid.is_empty() {
            return Ok(());
        }
        let index = self.random.index(valid.len());
        let line = &mut *valid[index];
        line.status = Status::Revoked {
            at: now,
            reason: *self.random.pick(&REASONS),
        };
        let revoked = Revoked {
            serial: line.serial.clone(),
            not_after: Some(line.not_after),
            shard: None,
            is_acknowledged: true,
        };
        self.trace.line(format!("revoke from {}", self.id));
        drop(state);
        self.save()?;
        self.ledger.revoked(&self.id, revoked);
        Ok(())
    }

    /// `openssl ca -updatedb`: valid certificates that have expired become so in the index. Those
    /// that were revoked stay revoked.
    fn update(&self) -> anyhow::Result<()> {
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        state
            .lines
            .retain(|line| now.since(line.not_after) < KEPT || now < line.not_after);
        for line in &mut state.lines {
            if matches!(line.status, Status::Valid) && line.not_after < now {
                line.status = Status::Expired;
            }
        }
        drop(state);
        self.save()
    }

    /// Writes the index as OpenSSL does: a new file takes the place of the old one.
    fn save(&self) -> anyhow::Result<()> {
        let index = self.file("index.txt");
        let new = self.file("index.txt.new");
        fs::write(&new, self.text())?;
        self.date(&new)?;
        if index.exists() {
            fs::rename(&index, self.file("index.txt.old"))?;
        }
        fs::rename(&new, &index)?;
        Ok(())
    }

    fn text(&self) -> String {
        self.state.borrow().lines.iter().map(Line::text).collect()
    }

    /// A file was written now, by virtual time. The file system counts whole seconds.
    fn date(&self, file: &Path) -> anyhow::Result<()> {
        let seconds = u64::try_from(self.timeline.now().as_unix_time().0)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = File::options().write(true).open(file)?;
        file.set_modified(time).context("a file's time")
    }
}

/// Lets the CA's staff act.
pub(crate) fn start(world: &Rc<World>) {
    world.spawn(staff(Rc::clone(world)));
}

async fn staff(world: Rc<World>) {
    let ca = &world.directory;
    let random = world.chance("staff of openssl ca");
    loop {
        world.timeline.sleep(random.seconds(30..5_400)).await;
        let is_full = ca.state.borrow().lines.len() >= MOST_VALID;
        let done = match random.below(10) {
            0..5 if !is_full => ca.issue(),
            0..9 => ca.revoke(),
            _ => ca.update(),
        };
        if let Err(error) = done {
            let what = format!("{error:#}");
            return world.ledger.violated("a CA's files can be written", &what);
        }
        world.directory_changed();
    }
}
