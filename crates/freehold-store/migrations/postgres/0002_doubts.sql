-- Requests whose cost may differ from the invoice, and those whose upstream reported usage that cannot
-- be. Requests of earlier versions are not counted.
ALTER TABLE usage_hourly ADD COLUMN cost_gap_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN doubtful_usage_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN cost_gap_requests BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_daily ADD COLUMN doubtful_usage_requests BIGINT NOT NULL DEFAULT 0;
