-- Teams, and sums by day: a month's report reads thirty times fewer rows than by hour.
ALTER TABLE outcomes ADD COLUMN team TEXT;

ALTER TABLE usage_hourly RENAME TO usage_hourly_without_team;

CREATE TABLE usage_hourly (
    hour_unix_ms            INTEGER NOT NULL,
    key_name                TEXT    NOT NULL,
    team                    TEXT    NOT NULL,
    flow                    TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    deployment              TEXT    NOT NULL,
    backend                 TEXT    NOT NULL,
    perimeter               TEXT    NOT NULL,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    requests                INTEGER NOT NULL,
    attempts                INTEGER NOT NULL,
    input_tokens            INTEGER NOT NULL,
    cached_input_tokens     INTEGER NOT NULL,
    cache_write_tokens      INTEGER NOT NULL,
    output_tokens           INTEGER NOT NULL,
    reasoning_tokens        INTEGER NOT NULL,
    estimated_requests      INTEGER NOT NULL,
    cost_nano_usd           INTEGER NOT NULL,             -- what is known of it
    unknown_cost_requests   INTEGER NOT NULL,
    -- Completed requests that took at most so many milliseconds, and more than the bound before.
    latency_1               INTEGER NOT NULL,
    latency_2               INTEGER NOT NULL,
    latency_5               INTEGER NOT NULL,
    latency_10              INTEGER NOT NULL,
    latency_20              INTEGER NOT NULL,
    latency_50              INTEGER NOT NULL,
    latency_100             INTEGER NOT NULL,
    latency_200             INTEGER NOT NULL,
    latency_500             INTEGER NOT NULL,
    latency_1000            INTEGER NOT NULL,
    latency_2000            INTEGER NOT NULL,
    latency_5000            INTEGER NOT NULL,
    latency_10000           INTEGER NOT NULL,
    latency_20000           INTEGER NOT NULL,
    latency_50000           INTEGER NOT NULL,
    latency_100000          INTEGER NOT NULL,
    latency_200000          INTEGER NOT NULL,
    latency_500000          INTEGER NOT NULL,
    latency_more            INTEGER NOT NULL,
    PRIMARY KEY (hour_unix_ms, key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status)
) WITHOUT ROWID;

INSERT INTO usage_hourly (
    hour_unix_ms, team,
    key_name, flow, route, deployment, backend, perimeter, sensitivity, status,
    requests, attempts, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, estimated_requests, cost_nano_usd,
    unknown_cost_requests, latency_1, latency_2, latency_5, latency_10, latency_20,
    latency_50, latency_100, latency_200, latency_500, latency_1000, latency_2000,
    latency_5000, latency_10000, latency_20000, latency_50000, latency_100000,
    latency_200000, latency_500000, latency_more
)
SELECT
    hour_unix_ms, '',
    key_name, flow, route, deployment, backend, perimeter, sensitivity, status,
    requests, attempts, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, estimated_requests, cost_nano_usd,
    unknown_cost_requests, latency_1, latency_2, latency_5, latency_10, latency_20,
    latency_50, latency_100, latency_200, latency_500, latency_1000, latency_2000,
    latency_5000, latency_10000, latency_20000, latency_50000, latency_100000,
    latency_200000, latency_500000, latency_more
FROM usage_hourly_without_team;

DROP TABLE usage_hourly_without_team;

-- The same by day (UTC), written in the same transaction.
CREATE TABLE usage_daily (
    day_unix_ms             INTEGER NOT NULL,
    key_name                TEXT    NOT NULL,
    team                    TEXT    NOT NULL,
    flow                    TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    deployment              TEXT    NOT NULL,
    backend                 TEXT    NOT NULL,
    perimeter               TEXT    NOT NULL,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    requests                INTEGER NOT NULL,
    attempts                INTEGER NOT NULL,
    input_tokens            INTEGER NOT NULL,
    cached_input_tokens     INTEGER NOT NULL,
    cache_write_tokens      INTEGER NOT NULL,
    output_tokens           INTEGER NOT NULL,
    reasoning_tokens        INTEGER NOT NULL,
    estimated_requests      INTEGER NOT NULL,
    cost_nano_usd           INTEGER NOT NULL,             -- what is known of it
    unknown_cost_requests   INTEGER NOT NULL,
    -- Completed requests that took at most so many milliseconds, and more than the bound before.
    latency_1               INTEGER NOT NULL,
    latency_2               INTEGER NOT NULL,
    latency_5               INTEGER NOT NULL,
    latency_10              INTEGER NOT NULL,
    latency_20              INTEGER NOT NULL,
    latency_50              INTEGER NOT NULL,
    latency_100             INTEGER NOT NULL,
    latency_200             INTEGER NOT NULL,
    latency_500             INTEGER NOT NULL,
    latency_1000            INTEGER NOT NULL,
    latency_2000            INTEGER NOT NULL,
    latency_5000            INTEGER NOT NULL,
    latency_10000           INTEGER NOT NULL,
    latency_20000           INTEGER NOT NULL,
    latency_50000           INTEGER NOT NULL,
    latency_100000          INTEGER NOT NULL,
    latency_200000          INTEGER NOT NULL,
    latency_500000          INTEGER NOT NULL,
    latency_more            INTEGER NOT NULL,
    PRIMARY KEY (day_unix_ms, key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status)
) WITHOUT ROWID;

INSERT INTO usage_daily (
    day_unix_ms,
    key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status,
    requests, attempts, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, estimated_requests, cost_nano_usd,
    unknown_cost_requests, latency_1, latency_2, latency_5, latency_10, latency_20,
    latency_50, latency_100, latency_200, latency_500, latency_1000, latency_2000,
    latency_5000, latency_10000, latency_20000, latency_50000, latency_100000,
    latency_200000, latency_500000, latency_more
)
SELECT
    hour_unix_ms / 86400000 * 86400000,
    key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status,
    sum(requests), sum(attempts), sum(input_tokens), sum(cached_input_tokens),
    sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(estimated_requests), sum(cost_nano_usd), sum(unknown_cost_requests),
    sum(latency_1), sum(latency_2), sum(latency_5), sum(latency_10), sum(latency_20),
    sum(latency_50), sum(latency_100), sum(latency_200), sum(latency_500),
    sum(latency_1000), sum(latency_2000), sum(latency_5000), sum(latency_10000),
    sum(latency_20000), sum(latency_50000), sum(latency_100000), sum(latency_200000),
    sum(latency_500000), sum(latency_more)
FROM usage_hourly
GROUP BY
    hour_unix_ms / 86400000 * 86400000,
    key_name, team, flow, route, deployment, backend, perimeter, sensitivity, status;
