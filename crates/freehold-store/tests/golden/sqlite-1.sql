PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'ledger','2026-11-21 14:33:25',1,X'cde1ddb26273cfee435509ae272dda7bbe416977bfab3fe91fd10ad1181f0629f296b5252927bec1ee734070d61a1290',9166084);
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
INSERT INTO outcomes VALUES(X'019aa491a601745a9c23aae78ab619dc',1763697600001,'openai-chat','auto','team-a','support','internal','completed',200,NULL,NULL,1,1,'embedded/smol','embedded','smol','inside','eu-central-1',120,20,0,0,0,30,5,0,'counted',1500,42000,9000,130,0.3000000000000000444,'{"id":"req_019aa491a601745a9c23aae78ab619dc","started_unix_ms":1763697600001,"dialect":"openai-chat","route":"auto","key":"team-a","flow":"support","sensitivity":"internal","findings":{"EMAIL":2},"redacted":{"phone_number":1},"status":"completed","http_status":200,"error":null,"streamed":true,"attempts":[{"deployment":"embedded/smol","backend":"embedded","reported_model":"smol","perimeter":"inside","region":"eu-central-1","started_us":140,"duration_us":41000,"first_token_us":8900,"error":null,"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":{"total":1500,"idle_share":500,"basis":"hours"}}],"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":1500,"timing":{"total_us":42000,"first_token_us":9000,"overhead_us":130},"decision":{"objective":"cheapest","difficulty":0.30000000000000004,"candidates":[{"deployment":"embedded/smol","rank":0,"score":0.12345678901234568,"reason":"cheapest that is good enough"},{"deployment":"openai/gpt","rank":null,"score":null,"reason":"outside"}],"inputs":{"version":1,"route":"auto","objective":"cheapest","quality_margin":0.3333333333333333,"max_attempts":3,"features":{"prompt_tokens":120,"turns":3},"needs":["chat"],"permit":["internal by the default"],"candidates":[{"deployment":"embedded/smol","window_tokens":8192,"quality":0.3,"cost":1500,"first_token_ms":80,"tokens_per_second":41.7}]}}}');
INSERT INTO outcomes VALUES(X'019aa491a6007125a233678830c419d3',1763697600000,'openai-chat','auto','team-a','support','internal','completed',200,NULL,NULL,1,1,'embedded/smol','embedded','smol','inside','eu-central-1',120,20,0,0,0,30,5,0,'counted',1500,42000,9000,130,0.3000000000000000444,'{"id":"req_019aa491a6007125a233678830c419d3","started_unix_ms":1763697600000,"dialect":"openai-chat","route":"auto","key":"team-a","flow":"support","sensitivity":"internal","findings":{"EMAIL":2},"redacted":{"phone_number":1},"status":"completed","http_status":200,"error":null,"streamed":true,"attempts":[{"deployment":"embedded/smol","backend":"embedded","reported_model":"smol","perimeter":"inside","region":"eu-central-1","started_us":140,"duration_us":41000,"first_token_us":8900,"error":null,"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":{"total":1500,"idle_share":500,"basis":"hours"}}],"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":1500,"timing":{"total_us":42000,"first_token_us":9000,"overhead_us":130},"decision":{"objective":"cheapest","difficulty":0.30000000000000004,"candidates":[{"deployment":"embedded/smol","rank":0,"score":0.12345678901234568,"reason":"cheapest that is good enough"},{"deployment":"openai/gpt","rank":null,"score":null,"reason":"outside"}],"inputs":{"version":1,"route":"auto","objective":"cheapest","quality_margin":0.3333333333333333,"max_attempts":3,"features":{"prompt_tokens":120,"turns":3},"needs":["chat"],"permit":["internal by the default"],"candidates":[{"deployment":"embedded/smol","window_tokens":8192,"quality":0.3,"cost":1500,"first_token_ms":80,"tokens_per_second":41.7}]}}}');
INSERT INTO outcomes VALUES(X'019aa491a60279709ff2202ba3c778d9',1763697600002,'openai-chat','auto','team-a','support','internal','completed',200,NULL,NULL,1,1,'embedded/smol','embedded','smol','inside','eu-central-1',120,20,0,0,0,30,5,0,'counted',1500,42000,9000,130,0.3000000000000000444,'{"id":"req_019aa491a60279709ff2202ba3c778d9","started_unix_ms":1763697600002,"dialect":"openai-chat","route":"auto","key":"team-a","flow":"support","sensitivity":"internal","findings":{"EMAIL":2},"redacted":{"phone_number":1},"status":"completed","http_status":200,"error":null,"streamed":true,"attempts":[{"deployment":"embedded/smol","backend":"embedded","reported_model":"smol","perimeter":"inside","region":"eu-central-1","started_us":140,"duration_us":41000,"first_token_us":8900,"error":null,"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":{"total":1500,"idle_share":500,"basis":"hours"}}],"usage":{"input_tokens":120,"cached_input_tokens":20,"cache_write_tokens":0,"cache_write_1h_tokens":0,"input_audio_tokens":0,"output_tokens":30,"reasoning_tokens":5,"output_audio_tokens":0,"basis":"counted"},"cost":1500,"timing":{"total_us":42000,"first_token_us":9000,"overhead_us":130},"decision":{"objective":"cheapest","difficulty":0.30000000000000004,"candidates":[{"deployment":"embedded/smol","rank":0,"score":0.12345678901234568,"reason":"cheapest that is good enough"},{"deployment":"openai/gpt","rank":null,"score":null,"reason":"outside"}],"inputs":{"version":1,"route":"auto","objective":"cheapest","quality_margin":0.3333333333333333,"max_attempts":3,"features":{"prompt_tokens":120,"turns":3},"needs":["chat"],"permit":["internal by the default"],"candidates":[{"deployment":"embedded/smol","window_tokens":8192,"quality":0.3,"cost":1500,"first_token_ms":80,"tokens_per_second":41.7}]}}}');
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
INSERT INTO usage_hourly VALUES(1763697600000,'team-a','support','auto','embedded/smol','embedded','inside','internal','completed',3,3,360,60,0,90,15,0,4500,0,0,0,0,0,0,3,0,0,0,0,0,0,0,0,0,0,0,0,0);
CREATE TABLE spool_cursors (
    epoch                   TEXT    NOT NULL PRIMARY KEY,
    segment                 INTEGER NOT NULL,
    offset_bytes            INTEGER NOT NULL,
    updated_unix_ms         INTEGER NOT NULL
);
CREATE INDEX outcomes_by_time ON outcomes (started_unix_ms);
COMMIT;
