-- Keys that are in a PKCS#11 token: the URI (RFC 7512) that leads to it. The key itself is never here.
CREATE TABLE token_keys (
    issuer INTEGER PRIMARY KEY REFERENCES issuers ON DELETE CASCADE,
    kind   TEXT    NOT NULL,
    uri    TEXT    NOT NULL
) STRICT;
