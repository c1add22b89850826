-- Refreshes are counted when their events are inserted. Pruning does not lower the counters, and
-- reading them does not scan the events. An event that is inserted again conflicts with its primary
-- key and is not counted again.
CREATE TABLE crl_refresh_counts (
  issuer_id TEXT NOT NULL,
  crl_name TEXT NOT NULL,
  trigger TEXT NOT NULL,
  outcome TEXT NOT NULL,
  refreshes INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL, -- of all of them together
  PRIMARY KEY (issuer_id, crl_name, trigger, outcome)
) STRICT, WITHOUT ROWID;

-- Totals over all CRLs: at most 25 rows.
CREATE TABLE crl_refresh_totals (
  trigger TEXT NOT NULL,
  outcome TEXT NOT NULL,
  refreshes INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  PRIMARY KEY (trigger, outcome)
) STRICT, WITHOUT ROWID;

-- Count the events that exist already.
INSERT INTO crl_refresh_counts
  SELECT issuer_id, crl_name, trigger, outcome, count(*), sum(duration_ms)
  FROM crl_generation_events GROUP BY issuer_id, crl_name, trigger, outcome;
INSERT INTO crl_refresh_totals
  SELECT trigger, outcome, count(*), sum(duration_ms) FROM crl_generation_events GROUP BY trigger, outcome;

CREATE TRIGGER crl_generation_events_counted AFTER INSERT ON crl_generation_events
BEGIN
  INSERT INTO crl_refresh_counts VALUES (NEW.issuer_id, NEW.crl_name, NEW.trigger, NEW.outcome, 1, NEW.duration_ms)
    ON CONFLICT DO UPDATE SET refreshes = refreshes + 1, duration_ms = duration_ms + excluded.duration_ms;
  INSERT INTO crl_refresh_totals VALUES (NEW.trigger, NEW.outcome, 1, NEW.duration_ms)
    ON CONFLICT DO UPDATE SET refreshes = refreshes + 1, duration_ms = duration_ms + excluded.duration_ms;
END;
