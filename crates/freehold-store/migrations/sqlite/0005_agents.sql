-- What agents' work shows: tools that fail, calls that repeat, circles, retries. Requests of earlier versions are
-- not counted.
ALTER TABLE usage_hourly ADD COLUMN tool_results INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN tool_errors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN repeated_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN looping_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN retried_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN tool_results INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN tool_errors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN repeated_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN looping_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN retried_requests INTEGER NOT NULL DEFAULT 0;
