-- How the CRL of an event differs from the one that it replaces, and what is odd about it.
ALTER TABLE crl_generation_events ADD COLUMN entries_added INTEGER; -- null if they were not compared
ALTER TABLE crl_generation_events ADD COLUMN entries_removed INTEGER;
ALTER TABLE crl_generation_events ADD COLUMN findings TEXT; -- JSON: [{"code":…,"count":…,"example":…}]

ALTER TABLE crl_status ADD COLUMN findings TEXT; -- those of the CRL that is held
-- JSON: the CRL that was refused last, if an operator may accept it
ALTER TABLE crl_status ADD COLUMN candidate TEXT;
