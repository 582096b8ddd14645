-- The gate's store, version 1. One row of `state` is what this gate believes; the rest hangs on it.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    site TEXT NOT NULL,
    realm TEXT,                           -- named by the first charter trusted
    generation INTEGER NOT NULL,          -- rises whenever what a door believes has changed
    time_floor INTEGER NOT NULL,          -- highest issued_at of any bundle applied; never sinks
    stream TEXT NOT NULL,                 -- high-water marks: crossing::acceptance::Stream as JSON
    superseded INTEGER NOT NULL           -- how many older bundles were offered since
) STRICT;

CREATE TABLE charter (
    version INTEGER PRIMARY KEY,
    note BLOB NOT NULL,
    trusted_at INTEGER NOT NULL
) STRICT;

-- The newest of each: keys, policy, status. The body is the document itself, its signatures checked before.
CREATE TABLE document (
    kind TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Every bundle ever applied, with the note that was signed, so that an auditor can check it again.
CREATE TABLE bundle (
    seq INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    next_by INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    applied_at INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    receipt TEXT
) STRICT;

CREATE TABLE missing (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    noticed_at INTEGER NOT NULL
) STRICT;

-- Two bundles under one number: the stream is frozen, and both are kept.
CREATE TABLE fork (
    digest TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    held TEXT NOT NULL,
    noticed_at INTEGER NOT NULL,
    manifest BLOB NOT NULL
) STRICT;

-- Leaf hashes of the issuance log, 32 bytes each, in runs.
CREATE TABLE leaves (
    shard TEXT NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    UNIQUE (shard, first)
) STRICT;

CREATE TABLE parcel (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    subject TEXT NOT NULL,
    audience TEXT,
    token_id TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    claim_kind TEXT NOT NULL CHECK (claim_kind IN ('phrase', 'key', 'file')),
    claim TEXT NOT NULL,                  -- phrase: its SHA-256, base64url; key: the JWK; file: empty
    collected_at INTEGER
) STRICT;
CREATE INDEX parcel_by_subject ON parcel (subject);
CREATE INDEX parcel_by_expiry ON parcel (expires_at);

-- Proofs of possession already shown, kept until they expire: each counts once.
CREATE TABLE proof_shown (
    subject TEXT NOT NULL,
    proof_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (subject, proof_id)
) STRICT, WITHOUT ROWID;
