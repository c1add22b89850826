-- One row per event: what a refresh did. Columns keep their names, because operators query them.
CREATE TABLE crl_generation_events (
  id TEXT PRIMARY KEY, -- UUIDv7
  issuer_id TEXT NOT NULL,
  crl_name TEXT NOT NULL,
  trigger TEXT NOT NULL CHECK (trigger IN ('cron', 'alarm', 'request', 'operator', 'hook')),
  outcome TEXT NOT NULL CHECK (outcome IN ('published', 'unchanged', 'skipped', 'rejected', 'failed')),
  succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1)),
  crl_number TEXT, -- decimal: up to 20 octets do not fit an integer
  revoked_count INTEGER,
  size_bytes INTEGER,
  sha256 TEXT,
  this_update TEXT,
  next_update TEXT,
  started_at TEXT NOT NULL, -- RFC 3339, UTC, milliseconds
  duration_ms INTEGER NOT NULL,
  error_code TEXT,
  error TEXT
) STRICT;
CREATE INDEX crl_generation_events_by_issuer ON crl_generation_events (issuer_id, started_at DESC);
CREATE INDEX crl_generation_events_by_outcome ON crl_generation_events (outcome, started_at DESC);
CREATE INDEX crl_generation_events_by_time ON crl_generation_events (started_at);

-- One row per CRL: its state after the latest refresh, so that one query reads all of them.
CREATE TABLE crl_status (
  issuer_id TEXT NOT NULL,
  crl_name TEXT NOT NULL,
  revision INTEGER NOT NULL, -- grows with every refresh: an older report never overwrites a newer one
  crl_number TEXT,
  revoked_count INTEGER,
  size_bytes INTEGER,
  sha256 TEXT,
  this_update TEXT,
  next_update TEXT,
  refresh_after TEXT,
  generated_at TEXT,
  duration_ms INTEGER,
  last_outcome TEXT NOT NULL,
  consecutive_failures INTEGER NOT NULL,
  last_error_code TEXT,
  last_error TEXT,
  last_error_at TEXT,
  pinned_certificate_sha256 TEXT,
  waiting_certificate_sha256 TEXT,
  publish_owed INTEGER NOT NULL,
  events_owed INTEGER NOT NULL,
  PRIMARY KEY (issuer_id, crl_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX crl_status_by_next_update ON crl_status (next_update);
