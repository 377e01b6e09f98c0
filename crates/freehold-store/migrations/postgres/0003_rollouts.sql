-- Flows that move from one model to another. `body` is JSON: order, state and history.
CREATE TABLE rollouts (
    id                      TEXT    NOT NULL PRIMARY KEY,
    flow                    TEXT    NOT NULL,
    active                  BIGINT  NOT NULL,             -- 1 until it is rolled back, aborted or finished
    version                 BIGINT  NOT NULL,             -- rises with each change: whoever changes it names the one it read
    created_unix_ms         BIGINT  NOT NULL,
    updated_unix_ms         BIGINT  NOT NULL,
    body                    TEXT    NOT NULL
);

CREATE UNIQUE INDEX rollouts_one_a_flow ON rollouts (flow) WHERE active = 1;

-- What one gateway has seen in one period of a rollout, as JSON; added up when it is judged.
CREATE TABLE rollout_evidence (
    rollout                 TEXT    NOT NULL,
    period                  BIGINT  NOT NULL,
    source                  TEXT    NOT NULL,
    updated_unix_ms         BIGINT  NOT NULL,
    body                    TEXT    NOT NULL,
    PRIMARY KEY (rollout, period, source)
);

-- One row per request that both sides answered or were to answer. No text of either.
CREATE TABLE rollout_pairs (
    rollout                 TEXT    NOT NULL,
    request                 TEXT    NOT NULL,
    period                  BIGINT  NOT NULL,
    at_unix_ms              BIGINT  NOT NULL,
    body                    TEXT    NOT NULL,
    PRIMARY KEY (rollout, request)
);

-- What users say of answers. No text: a score and a label.
CREATE TABLE feedback (
    id                      TEXT    NOT NULL PRIMARY KEY,
    request                 TEXT    NOT NULL,
    at_unix_ms              BIGINT  NOT NULL,
    body                    TEXT    NOT NULL
);

CREATE INDEX feedback_by_request ON feedback (request);
CREATE INDEX feedback_by_time ON feedback (at_unix_ms);
