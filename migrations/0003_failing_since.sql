-- The time of the first failure in the current run of failures. Null if there is none, or if an
-- earlier release wrote the row.
ALTER TABLE crl_status ADD COLUMN failing_since TEXT;
