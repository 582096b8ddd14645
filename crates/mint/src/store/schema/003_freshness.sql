-- Freshness by what a token is shown for, in place of one figure for all.
ALTER TABLE audience DROP COLUMN stale_seconds_max;
ALTER TABLE audience ADD COLUMN stale_read_seconds_max INTEGER;
ALTER TABLE audience ADD COLUMN stale_write_seconds_max INTEGER;
ALTER TABLE audience ADD COLUMN stale_safety_seconds_max INTEGER;
