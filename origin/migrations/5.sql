-- The issuer's watermark when its settings were last changed: CRLs from before that are not current.
ALTER TABLE issuers ADD COLUMN configured INTEGER NOT NULL DEFAULT 0;
