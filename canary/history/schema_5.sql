-- Version 5: what was seen of the projects that are watched. What a body says is the business of who wrote it.
CREATE TABLE watch (
    service TEXT PRIMARY KEY,
    body    TEXT NOT NULL
) STRICT;
