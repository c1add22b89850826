-- When the last refresh ended, whatever its outcome: refreshes that find nothing new leave no event.
ALTER TABLE crl_status ADD COLUMN last_checked_at TEXT;
