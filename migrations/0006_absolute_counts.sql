-- Refreshes are counted by the issuer's object, which writes its own totals: what happened again is no event, and
-- a write that is repeated changes nothing.
DROP TRIGGER crl_generation_events_counted;
-- As in crl_status: an older report never overwrites a newer one.
ALTER TABLE crl_refresh_counts ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER crl_refresh_counts_inserted AFTER INSERT ON crl_refresh_counts
BEGIN
  INSERT INTO crl_refresh_totals VALUES (NEW.trigger, NEW.outcome, NEW.refreshes, NEW.duration_ms)
    ON CONFLICT DO UPDATE SET refreshes = refreshes + excluded.refreshes, duration_ms = duration_ms + excluded.duration_ms;
END;

-- An object that lost its storage counts from zero. The totals never decrease.
CREATE TRIGGER crl_refresh_counts_updated AFTER UPDATE ON crl_refresh_counts
BEGIN
  INSERT INTO crl_refresh_totals VALUES (
    NEW.trigger, NEW.outcome,
    NEW.refreshes - iif(NEW.refreshes < OLD.refreshes, 0, OLD.refreshes),
    NEW.duration_ms - iif(NEW.refreshes < OLD.refreshes, 0, OLD.duration_ms)
  ) ON CONFLICT DO UPDATE SET refreshes = refreshes + excluded.refreshes, duration_ms = duration_ms + excluded.duration_ms;
END;
