-- Version 2: alerts that are active, or that some channel was not told of yet. What a body says is the business of
-- who wrote it.
CREATE TABLE alert (
    seq  INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
