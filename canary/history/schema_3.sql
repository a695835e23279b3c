-- Version 3: where the audit trail begins once its oldest rows were exported and taken out. One row for each time.
CREATE TABLE audit_anchor (
    seq    INTEGER PRIMARY KEY,
    hash   BLOB NOT NULL,
    at_us  INTEGER NOT NULL,
    export TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_anchor_is_not_updated BEFORE UPDATE ON audit_anchor
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_anchor_is_not_deleted BEFORE DELETE ON audit_anchor
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_anchor_moves_on BEFORE INSERT ON audit_anchor
WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM audit_anchor)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
