-- The rules beyond RFC 5280's that an issuer is held to.
ALTER TABLE issuers ADD COLUMN profile TEXT NOT NULL DEFAULT 'rfc5280';

-- What has expired is found at each making.
CREATE INDEX issued_by_expiry ON issued (issuer, name, next_update);
