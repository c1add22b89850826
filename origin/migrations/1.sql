-- Times are whole seconds since 1970. CRL numbers are 20 octets, big-endian, so that they sort as numbers do.

CREATE TABLE issuers (
    number      INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    certificate BLOB    NOT NULL,
    connector   TEXT    NOT NULL, -- JSON: where its CRLs come from
    watermark   INTEGER NOT NULL, -- grows with every change to the revocations
    created_at  INTEGER NOT NULL
) STRICT;

-- A key is PKCS#8, encrypted where the origin was given a passphrase.
CREATE TABLE keys (
    issuer INTEGER PRIMARY KEY REFERENCES issuers ON DELETE CASCADE,
    kind   TEXT    NOT NULL,
    pkcs8  BLOB    NOT NULL
) STRICT;

-- The CRLs that an issuer publishes. `number` is the last one given out, never to be used again.
CREATE TABLE lists (
    issuer             INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    name               TEXT    NOT NULL,
    distribution_point TEXT,
    validity           INTEGER NOT NULL, -- seconds from thisUpdate to nextUpdate
    overlap            INTEGER NOT NULL, -- seconds before nextUpdate at which the next CRL is due
    number             BLOB,
    this_update        INTEGER,
    PRIMARY KEY (issuer, name)
) STRICT, WITHOUT ROWID;

-- The CRLs made, until they have expired. `sha256` is absent while one is being signed.
CREATE TABLE issued (
    issuer      INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    number      BLOB    NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    watermark   INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    size        INTEGER,
    sha256      BLOB,
    PRIMARY KEY (issuer, name, number),
    FOREIGN KEY (issuer, name) REFERENCES lists ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Each certificate that was ever revoked. `entry` is its DER in a CRL: absent if it is on no list any more.
CREATE TABLE revocations (
    issuer          INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    position        INTEGER NOT NULL, -- its place in the CRL
    serial          BLOB    NOT NULL, -- big-endian, no leading zeros
    revoked_at      INTEGER NOT NULL,
    reason          INTEGER NOT NULL, -- RFC 5280, section 5.3.1
    invalidity_date INTEGER,
    not_after       INTEGER,
    shard           INTEGER,
    state           TEXT    NOT NULL CHECK (state IN ('listed', 'released', 'expired')),
    changed         INTEGER NOT NULL, -- the issuer's watermark at its last change
    entry           BLOB,
    PRIMARY KEY (issuer, position)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX revocations_by_serial ON revocations (issuer, serial);
CREATE INDEX revocations_by_change ON revocations (issuer, changed);
CREATE INDEX revocations_by_expiry ON revocations (issuer, not_after) WHERE entry IS NOT NULL AND not_after IS NOT NULL;

-- The certificates issued here.
CREATE TABLE certificates (
    issuer      INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    serial      BLOB    NOT NULL,
    subject     TEXT    NOT NULL,
    not_after   INTEGER NOT NULL,
    shard       INTEGER,
    certificate BLOB    NOT NULL,
    PRIMARY KEY (issuer, serial)
) STRICT, WITHOUT ROWID;

-- Bearer tokens, by their SHA-256: they are long and random, so that no slow hash is needed.
CREATE TABLE tokens (
    name       TEXT    PRIMARY KEY,
    sha256     BLOB    NOT NULL UNIQUE,
    scope      TEXT    NOT NULL CHECK (scope IN ('edge', 'admin')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
