-- One row per request. The columns are what is searched and summed; `detail` is the whole outcome
-- as JSON, attempts and decision included. Text instead of numbers for labels: people read this
-- with psql. Table names are not qualified: the tables go where the role's search_path leads.
CREATE TABLE outcomes (
    id                      UUID    NOT NULL PRIMARY KEY, -- UUIDv7
    started_unix_ms         BIGINT  NOT NULL,
    dialect                 TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    key_name                TEXT    NOT NULL,
    team                    TEXT,
    flow                    TEXT,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    http_status             BIGINT  NOT NULL,
    error_kind              TEXT,
    error_side              TEXT,
    streamed                BOOLEAN NOT NULL,
    attempts                BIGINT  NOT NULL,
    -- Of the attempt that served the request, else of the last one.
    deployment              TEXT,
    backend                 TEXT,
    reported_model          TEXT,
    perimeter               TEXT,
    region                  TEXT,
    -- Of all attempts that were billed.
    input_tokens            BIGINT  NOT NULL,
    cached_input_tokens     BIGINT  NOT NULL,
    cache_write_tokens      BIGINT  NOT NULL,
    cache_write_1h_tokens   BIGINT  NOT NULL,
    input_audio_tokens      BIGINT  NOT NULL,
    output_tokens           BIGINT  NOT NULL,
    reasoning_tokens        BIGINT  NOT NULL,
    output_audio_tokens     BIGINT  NOT NULL,
    usage_basis             TEXT    NOT NULL,
    cost_nano_usd           BIGINT,                       -- NULL: unknown, never zero
    total_us                BIGINT  NOT NULL,
    first_token_us          BIGINT,
    overhead_us             BIGINT  NOT NULL,
    difficulty              DOUBLE PRECISION,
    detail                  TEXT    NOT NULL
);

CREATE INDEX outcomes_by_time ON outcomes (started_unix_ms);

-- Reports are sums of these rows, never scans of outcomes. Written in the same transaction as the
-- outcomes they sum up. '' stands for "none". The rows of the hour are updated again and again:
-- the free space lets PostgreSQL do that without touching the index.
CREATE TABLE usage_hourly (
    hour_unix_ms            BIGINT  NOT NULL,
    -- Of the names below: they may be longer than an index takes.
    digest                  BYTEA   NOT NULL,
    key_name                TEXT    NOT NULL,
    team                    TEXT    NOT NULL,
    flow                    TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    deployment              TEXT    NOT NULL,
    backend                 TEXT    NOT NULL,
    perimeter               TEXT    NOT NULL,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    requests                BIGINT  NOT NULL,
    attempts                BIGINT  NOT NULL,
    input_tokens            BIGINT  NOT NULL,
    cached_input_tokens     BIGINT  NOT NULL,
    cache_write_tokens      BIGINT  NOT NULL,
    output_tokens           BIGINT  NOT NULL,
    reasoning_tokens        BIGINT  NOT NULL,
    estimated_requests      BIGINT  NOT NULL,
    cost_nano_usd           BIGINT  NOT NULL,             -- what is known of it
    unknown_cost_requests   BIGINT  NOT NULL,
    -- Completed requests that took at most so many milliseconds, and more than the bound before.
    latency_1               BIGINT  NOT NULL,
    latency_2               BIGINT  NOT NULL,
    latency_5               BIGINT  NOT NULL,
    latency_10              BIGINT  NOT NULL,
    latency_20              BIGINT  NOT NULL,
    latency_50              BIGINT  NOT NULL,
    latency_100             BIGINT  NOT NULL,
    latency_200             BIGINT  NOT NULL,
    latency_500             BIGINT  NOT NULL,
    latency_1000            BIGINT  NOT NULL,
    latency_2000            BIGINT  NOT NULL,
    latency_5000            BIGINT  NOT NULL,
    latency_10000           BIGINT  NOT NULL,
    latency_20000           BIGINT  NOT NULL,
    latency_50000           BIGINT  NOT NULL,
    latency_100000          BIGINT  NOT NULL,
    latency_200000          BIGINT  NOT NULL,
    latency_500000          BIGINT  NOT NULL,
    latency_more            BIGINT  NOT NULL,
    PRIMARY KEY (hour_unix_ms, digest)
) WITH (fillfactor = 70);

-- The same by day (UTC).
CREATE TABLE usage_daily (
    day_unix_ms             BIGINT  NOT NULL,
    -- Of the names below: they may be longer than an index takes.
    digest                  BYTEA   NOT NULL,
    key_name                TEXT    NOT NULL,
    team                    TEXT    NOT NULL,
    flow                    TEXT    NOT NULL,
    route                   TEXT    NOT NULL,
    deployment              TEXT    NOT NULL,
    backend                 TEXT    NOT NULL,
    perimeter               TEXT    NOT NULL,
    sensitivity             TEXT    NOT NULL,
    status                  TEXT    NOT NULL,
    requests                BIGINT  NOT NULL,
    attempts                BIGINT  NOT NULL,
    input_tokens            BIGINT  NOT NULL,
    cached_input_tokens     BIGINT  NOT NULL,
    cache_write_tokens      BIGINT  NOT NULL,
    output_tokens           BIGINT  NOT NULL,
    reasoning_tokens        BIGINT  NOT NULL,
    estimated_requests      BIGINT  NOT NULL,
    cost_nano_usd           BIGINT  NOT NULL,             -- what is known of it
    unknown_cost_requests   BIGINT  NOT NULL,
    -- Completed requests that took at most so many milliseconds, and more than the bound before.
    latency_1               BIGINT  NOT NULL,
    latency_2               BIGINT  NOT NULL,
    latency_5               BIGINT  NOT NULL,
    latency_10              BIGINT  NOT NULL,
    latency_20              BIGINT  NOT NULL,
    latency_50              BIGINT  NOT NULL,
    latency_100             BIGINT  NOT NULL,
    latency_200             BIGINT  NOT NULL,
    latency_500             BIGINT  NOT NULL,
    latency_1000            BIGINT  NOT NULL,
    latency_2000            BIGINT  NOT NULL,
    latency_5000            BIGINT  NOT NULL,
    latency_10000           BIGINT  NOT NULL,
    latency_20000           BIGINT  NOT NULL,
    latency_50000           BIGINT  NOT NULL,
    latency_100000          BIGINT  NOT NULL,
    latency_200000          BIGINT  NOT NULL,
    latency_500000          BIGINT  NOT NULL,
    latency_more            BIGINT  NOT NULL,
    PRIMARY KEY (day_unix_ms, digest)
) WITH (fillfactor = 70);

-- How far each gateway's spool has been drained: committed together with the outcomes, so that a
-- crash between the two cannot lose or double anything.
CREATE TABLE spool_cursors (
    epoch                   TEXT    NOT NULL PRIMARY KEY,
    segment                 BIGINT  NOT NULL,
    offset_bytes            BIGINT  NOT NULL,
    updated_unix_ms         BIGINT  NOT NULL
);
