-- When the first of the failures was that last_error is the last of. Null where none is, and where an earlier release wrote the row.
ALTER TABLE crl_status ADD COLUMN failing_since TEXT;
