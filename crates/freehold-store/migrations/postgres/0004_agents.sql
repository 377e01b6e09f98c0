-- What agents' work shows: tools that fail, calls that repeat, circles, retries. Requests of earlier versions are
-- not counted.
ALTER TABLE usage_hourly ADD COLUMN tool_results BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN tool_errors BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN repeated_calls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN looping_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN retried_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN tool_results BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN tool_errors BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN repeated_calls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN looping_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN retried_requests BIGINT NOT NULL DEFAULT 0;
