-- What is to cross and what has crossed.
CREATE TABLE standing_order (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    site     TEXT NOT NULL REFERENCES site (name),
    subject  TEXT NOT NULL REFERENCES subject (name),
    audience TEXT NOT NULL REFERENCES audience (name),
    lifetime_seconds INTEGER NOT NULL CHECK (lifetime_seconds > 0),
    profile  TEXT NOT NULL,
    -- NULL: the roles that the subject holds when the token is made. Otherwise a JSON array.
    roles    TEXT,
    claim    TEXT NOT NULL,
    enabled  INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- One row for each number ever given out. The primary key is what keeps a number from getting two digests.
CREATE TABLE bundle (
    site       TEXT NOT NULL REFERENCES site (name),
    seq        INTEGER NOT NULL CHECK (seq >= 1),
    kind       TEXT NOT NULL CHECK (kind IN ('full', 'delta', 'beacon')),
    digest     TEXT NOT NULL CHECK (length(digest) = 64),
    file_sha256 TEXT NOT NULL CHECK (length(file_sha256) = 64),
    file_bytes INTEGER NOT NULL,
    file       TEXT NOT NULL,
    -- Secret between the mint and the site's gate: a receipt proves knowledge of it. NULL where nothing is sealed.
    nonce      BLOB CHECK (nonce IS NULL OR length(nonce) = 16),
    issued_at  INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    next_by    INTEGER NOT NULL,
    charter_version INTEGER NOT NULL,
    keys_version    INTEGER NOT NULL,
    policy_version  INTEGER NOT NULL,
    receipted_at    INTEGER,
    PRIMARY KEY (site, seq)
) STRICT, WITHOUT ROWID;

-- How far each log shard had been carried when a bundle was made.
CREATE TABLE bundle_leaves (
    site      TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    shard     TEXT NOT NULL,
    until     INTEGER NOT NULL,
    PRIMARY KEY (site, seq, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocation (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    site   TEXT NOT NULL REFERENCES site (name),
    kind   TEXT NOT NULL CHECK (kind IN ('token', 'subject', 'key')),
    what   TEXT NOT NULL,
    -- For subjects: tokens issued at or before this moment.
    before INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL,
    UNIQUE (site, kind, what, before)
) STRICT;
