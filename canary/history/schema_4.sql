-- Version 4: rollbacks that a hosting platform has not confirmed yet. What a body says is the business of who wrote it.
CREATE TABLE platform (
    rollback TEXT PRIMARY KEY,
    body     TEXT NOT NULL
) STRICT;
