-- Serin's state file, version 1. A later version is a file of its own, listed in store.c; this one never changes.

-- Every change with its actor. Append-only: triggers refuse everything else, and each row carries the hash of
-- the row before it, so that a change made around the triggers shows.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    service  TEXT,
    detail   TEXT,
    previous BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

-- Also refuses INSERT OR REPLACE, which deletes without firing the trigger above.
CREATE TRIGGER audit_grows_at_its_end BEFORE INSERT ON audit
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

-- One row per rollback; it is updated while the rollback runs, and each update is audited.
CREATE TABLE rollback (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    service         TEXT NOT NULL,
    at_us           INTEGER NOT NULL,
    deployment      TEXT NOT NULL,
    target          TEXT NOT NULL,
    reason          TEXT NOT NULL,
    reason_code     TEXT NOT NULL,
    trigger_kind    TEXT NOT NULL,
    actor           TEXT NOT NULL,
    mode            TEXT NOT NULL,
    status          TEXT NOT NULL,
    duration_s      REAL,
    detect_s        REAL,
    decide_s        REAL,
    shift_s         REAL,
    drain_s         REAL,
    platform_ack_s  REAL,
    verify_s        REAL,
    bad_origin      INTEGER NOT NULL,
    bad_client      INTEGER NOT NULL,
    evidence        TEXT,
    incident        TEXT
) STRICT;

CREATE INDEX rollback_by_service ON rollback (service, seq);
CREATE INDEX rollback_by_status ON rollback (status);

-- Where each service stands: what a start reads back.
CREATE TABLE service (
    name                TEXT PRIMARY KEY,
    current_deployment  TEXT NOT NULL,
    previous_deployment TEXT NOT NULL,
    weight_ppm          INTEGER NOT NULL CHECK (weight_ppm BETWEEN 0 AND 1000000),
    phase               TEXT NOT NULL,
    revision            INTEGER NOT NULL,
    salt                INTEGER NOT NULL,
    step                INTEGER NOT NULL,
    updated_us          INTEGER NOT NULL,
    detail              TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    service    TEXT NOT NULL,
    deployment TEXT NOT NULL,
    reason     TEXT NOT NULL,
    since_us   INTEGER NOT NULL,
    PRIMARY KEY (service, deployment)
) STRICT, WITHOUT ROWID;

-- Idempotency-Key of a request that made a rollback.
CREATE TABLE idempotency (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    rollback_id TEXT NOT NULL,
    at_us       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
