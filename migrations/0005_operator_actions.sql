-- Who did what: one row for each act of an operator, and each sign-in and refused sign-in.
CREATE TABLE operator_actions (
  id TEXT PRIMARY KEY, -- UUIDv7
  at TEXT NOT NULL, -- RFC 3339, UTC, milliseconds
  action TEXT NOT NULL, -- as `Act` in edge/src/actions.rs lists them
  role TEXT, -- operator or viewer: the setting of the token; null if it opens nothing
  token_name TEXT, -- the name before the token in its setting
  address TEXT, -- the network that the request came from: a /24 or /48
  issuer_id TEXT,
  crl_name TEXT,
  sha256 TEXT -- what the act named
) STRICT;
CREATE INDEX operator_actions_by_time ON operator_actions (at);
