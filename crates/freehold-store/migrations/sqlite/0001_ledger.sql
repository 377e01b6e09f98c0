-- One row per request. The columns are what is searched and summed; `detail` is the whole outcome
-- as JSON, attempts and decision included. Text instead of numbers for labels: people read this
-- with the sqlite3 shell.
CREATE TABLE outcomes (
    id                      BLOB    NOT NULL PRIMARY KEY, -- UUIDv7, 16 bytes: hex(id)
    started_unix_ms         INTEGER NOT NULL,
    dialect                 TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    key_name                TEXT    NOT NULL,
    flow                    TEXT,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    http_status             INTEGER NOT NULL,
    error_kind              TEXT,
    error_side              TEXT,
    streamed                INTEGER NOT NULL,
    attempts                INTEGER NOT NULL,
    -- Of the attempt that served the request, else of the last one.
    deployment              TEXT,
    backend                 TEXT,
    reported_model          TEXT,
    perimeter               TEXT,
    region                  TEXT,
    -- Of all attempts that were billed.
    input_tokens            INTEGER NOT NULL,
    cached_input_tokens     INTEGER NOT NULL,
    cache_write_tokens      INTEGER NOT NULL,
    cache_write_1h_tokens   INTEGER NOT NULL,
    input_audio_tokens      INTEGER NOT NULL,
    output_tokens           INTEGER NOT NULL,
    reasoning_tokens        INTEGER NOT NULL,
    output_audio_tokens     INTEGER NOT NULL,
    usage_basis             TEXT    NOT NULL,
    cost_nano_usd           INTEGER,                      -- NULL: unknown, never zero
    total_us                INTEGER NOT NULL,
    first_token_us          INTEGER,
    overhead_us             INTEGER NOT NULL,
    difficulty              REAL,
    detail                  TEXT    NOT NULL
);

CREATE INDEX outcomes_by_time ON outcomes (started_unix_ms);

-- Reports are sums of these rows, never scans of outcomes. Written in the same transaction as the
-- outcomes they sum up. '' stands for "none".
CREATE TABLE usage_hourly (
    hour_unix_ms            INTEGER NOT NULL,
    key_name                TEXT    NOT NULL,
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
    PRIMARY KEY (hour_unix_ms, key_name, flow, route, deployment, backend, perimeter, sensitivity, status)
) WITHOUT ROWID;

-- How far each spool has been drained: committed together with the outcomes, so that a crash
-- between the two cannot lose or double anything.
CREATE TABLE spool_cursors (
    epoch                   TEXT    NOT NULL PRIMARY KEY,
    segment                 INTEGER NOT NULL,
    offset_bytes            INTEGER NOT NULL,
    updated_unix_ms         INTEGER NOT NULL
);
