-- The service reads these sets every second; without an index it would read every issuer's row, certificate included.
CREATE INDEX issuers_owed_a_push ON issuers (id, watermark) WHERE watermark > pushed;
CREATE INDEX issuers_of_openssl ON issuers (id) WHERE connector ->> '$.kind' = 'openssl';
