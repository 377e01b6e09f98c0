-- What users say of answers, beside the stored requests: encrypted under the same keys, and gone with them.
CREATE TABLE remarks (
    sequence INTEGER NOT NULL PRIMARY KEY,
    request BLOB NOT NULL REFERENCES prompts (request) ON DELETE CASCADE,
    -- The feedback's.
    id TEXT NOT NULL,
    what TEXT NOT NULL,
    sensitivity TEXT NOT NULL,
    given_unix_ms INTEGER NOT NULL,
    -- Compressed and encrypted.
    body BLOB NOT NULL,
    UNIQUE (request, id)
) STRICT;
