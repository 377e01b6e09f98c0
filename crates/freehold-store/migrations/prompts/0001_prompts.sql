-- Keys of prompts, each wrapped by the key above it: tenants' by the master key, all others by their
-- tenant's. Text below an erased key can never be read again.
CREATE TABLE keys (
    id BLOB NOT NULL PRIMARY KEY,
    -- tenant, expiry, subject, conversation
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    -- Empty for a tenant's; the hour (Unix, 8 bytes, big endian) for an expiry's; a keyed hash for
    -- subjects and conversations.
    name BLOB NOT NULL,
    wrapped_by TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    UNIQUE (tenant, kind, name)
) STRICT;

CREATE TABLE prompts (
    sequence INTEGER NOT NULL PRIMARY KEY,
    request BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    expiry_key BLOB NOT NULL,
    subject_key BLOB,
    conversation_key BLOB,
    flow TEXT,
    deployment TEXT,
    dialect TEXT NOT NULL,
    what TEXT NOT NULL,
    sensitivity TEXT NOT NULL,
    answer TEXT NOT NULL,
    started_unix_ms INTEGER NOT NULL,
    expires_unix_ms INTEGER NOT NULL,
    -- Compressed and encrypted.
    body BLOB NOT NULL
) STRICT;

CREATE INDEX prompts_by_time ON prompts (started_unix_ms);
CREATE INDEX prompts_by_expiry ON prompts (expires_unix_ms);
CREATE INDEX prompts_by_tenant ON prompts (tenant, started_unix_ms);
CREATE INDEX prompts_by_subject ON prompts (subject_key) WHERE subject_key IS NOT NULL;
CREATE INDEX prompts_by_conversation ON prompts (conversation_key) WHERE conversation_key IS NOT NULL;

-- How often something was erased, and when last: whoever writes looks here first.
CREATE TABLE erasures (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL,
    last_unix_ms INTEGER NOT NULL
) STRICT;

INSERT INTO erasures (id, count, last_unix_ms) VALUES (1, 0, 0);
