-- Up to which watermark the edge was told of an issuer's revocations.
ALTER TABLE issuers ADD COLUMN pushed INTEGER NOT NULL DEFAULT 0;
