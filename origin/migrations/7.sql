-- Every CRL that was made. The record outlives the CRL's expiry and the removal of the list: by it
-- the origin recognizes what an edge holds. `sha256` is absent while a CRL is being signed.
CREATE TABLE made_crls (
    issuer      INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    number      BLOB    NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    watermark   INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    size        INTEGER,
    sha256      BLOB,
    PRIMARY KEY (issuer, name, number)
) STRICT, WITHOUT ROWID;
INSERT INTO made_crls SELECT issuer, name, number, this_update, next_update, watermark, entries, size, sha256 FROM issued;
DROP TABLE issued;
CREATE INDEX made_crls_by_hash ON made_crls (issuer, name, sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX made_crls_by_expiry ON made_crls (issuer, name, next_update);

-- CRLs of an issuer that this database did not make: imported, or recovered from an edge.
CREATE TABLE adopted_crls (
    issuer      INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    sha256      BLOB    NOT NULL,
    number      BLOB    NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    PRIMARY KEY (issuer, name, sha256)
) STRICT, WITHOUT ROWID;

-- CRLs that an edge holds and this database does not know: evidence that it was restored from a
-- backup. While an issuer has such a row, no CRL of it is made.
CREATE TABLE unknown_crls (
    issuer    INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    sha256    BLOB    NOT NULL,
    number    BLOB    NOT NULL,
    watermark INTEGER NOT NULL, -- 0 if the edge named none
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (issuer, name, sha256)
) STRICT, WITHOUT ROWID;

-- What each edge holds of a list, by the SHA-256 of its token, as its last call said. Entries leave
-- a list by this, not by what was made. `this_update` and `watermark` are 0 if it holds nothing known.
CREATE TABLE holdings (
    issuer      INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    token       BLOB    NOT NULL,
    this_update INTEGER NOT NULL,
    watermark   INTEGER NOT NULL,
    asked_at    INTEGER NOT NULL,
    PRIMARY KEY (issuer, name, token)
) STRICT, WITHOUT ROWID;

-- The clock that expiry follows, in milliseconds since 1970.
CREATE TABLE expiry_clock (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    trusted   INTEGER,
    jumped_to INTEGER
) STRICT;

-- From when on an issuer keeps the entries of expired certificates on its CRLs; absent if it does not.
ALTER TABLE issuers ADD COLUMN keeps_expired_since INTEGER;
-- A CRL that was adopted has watermark 0, and must not count as current.
UPDATE issuers SET configured = 1 WHERE configured = 0;

-- An entry returns if its certificate turns out not to have expired.
CREATE INDEX revocations_expired ON revocations (issuer, not_after) WHERE state = 'expired';

-- Imports, and what each changed, so that one can be undone. `state` is absent if the certificate was
-- not revoked before; `changed` is the watermark that the import set.
CREATE TABLE imports (
    id         INTEGER PRIMARY KEY,
    issuer     INTEGER NOT NULL REFERENCES issuers ON DELETE CASCADE,
    source     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    undone_at  INTEGER
) STRICT;
CREATE TABLE import_changes (
    import          INTEGER NOT NULL REFERENCES imports ON DELETE CASCADE,
    serial          BLOB    NOT NULL,
    changed         INTEGER NOT NULL,
    revoked_at      INTEGER,
    reason          INTEGER,
    invalidity_date INTEGER,
    not_after       INTEGER,
    shard           INTEGER,
    state           TEXT,
    PRIMARY KEY (import, serial)
) STRICT, WITHOUT ROWID;

-- Two lists must not share a URL.
CREATE INDEX lists_by_url ON lists (distribution_point) WHERE distribution_point IS NOT NULL;
