-- The gate's store, version 1. One row of `state` is what this gate believes; the rest hangs on it.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    site TEXT NOT NULL,
    realm TEXT,                           -- named by the first charter trusted
    generation INTEGER NOT NULL,          -- rises whenever what a door believes has changed
    time_floor INTEGER NOT NULL,          -- highest issued_at of any bundle applied; never sinks
    lifetime_seconds_highest INTEGER NOT NULL, -- longest token lifetime that any policy has allowed; never sinks
    stream TEXT NOT NULL,                 -- high-water marks: crossing::acceptance::Stream as JSON
    superseded INTEGER NOT NULL,          -- how many older bundles were offered since
    replay TEXT NOT NULL CHECK (replay IN ('nothing', 'disk', 'redis')) -- who keeps what counts once
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

-- The status components as they crossed: the newest full list, and each delta since. For auditors, who prove
-- them by the manifests; what is revoked stands, joined, in `document`.
CREATE TABLE status_part (
    seq INTEGER PRIMARY KEY,
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
    receipt TEXT,
    -- What long receipts are tagged with; secret between this gate and the mint.
    receipt_key BLOB
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

-- Each log shard with its newest head, kept for good. `began` is the bundle with which it began, and tells one
-- log of this name from the next; leaves before `kept_from` are no longer kept.
CREATE TABLE log (
    shard TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    checkpoint BLOB NOT NULL,             -- the signed note, so that an auditor can check it again
    seq INTEGER NOT NULL,                 -- the bundle that brought this head
    began INTEGER NOT NULL,
    kept_from INTEGER NOT NULL
) STRICT;

-- Leaf hashes of the issuance log, 32 bytes each, in chunks. Ids are never used again: what is new has a higher one.
CREATE TABLE leaves (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    shard TEXT NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,           -- of the newest bundle that brought some of it
    hashes BLOB NOT NULL,
    UNIQUE (shard, first)
) STRICT;

-- Heads that a token brought along, until a run reaches their size: then they must be on its tree.
CREATE TABLE stapled_head (
    shard TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    signature BLOB NOT NULL,              -- the log key's
    held_at INTEGER NOT NULL,
    PRIMARY KEY (shard, size)
) STRICT, WITHOUT ROWID;

-- Two heads that cannot be of one log. The stream is frozen, and both are kept.
CREATE TABLE log_fork (
    shard TEXT NOT NULL,
    held_size INTEGER NOT NULL,
    held_root BLOB NOT NULL,
    held_proof BLOB NOT NULL,             -- its checkpoint, or the signature that was stapled
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    checkpoint BLOB NOT NULL,
    noticed_at INTEGER NOT NULL,
    PRIMARY KEY (shard, size, root)
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
    collected_at INTEGER,
    ssh BLOB                              -- SHA-256 of the SSH key that the token is bound to
) STRICT;
CREATE INDEX parcel_by_subject ON parcel (subject);
CREATE INDEX parcel_by_ssh ON parcel (ssh) WHERE ssh IS NOT NULL;
CREATE INDEX parcel_by_expiry ON parcel (expires_at);

-- The number of the SPIFFE bundle in the trust folder, and the keys that it was last given for. Never sinks.
CREATE TABLE spiffe_bundle (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    keys_sha256 BLOB NOT NULL
) STRICT;

-- Proofs of possession already shown, kept until they expire: each counts once.
CREATE TABLE proof_shown (
    subject TEXT NOT NULL,
    proof_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (subject, proof_id)
) STRICT, WITHOUT ROWID;

-- Break-glass orders that have been opened. An id stays for good, so that an order opens once; the hash of its pass
-- stays until the pass is over. A pass lives by the machine's own clock, which nobody sets, within one start of it.
CREATE TABLE breakglass (
    id TEXT PRIMARY KEY,
    note BLOB NOT NULL,                   -- as it was signed
    opened_at INTEGER NOT NULL,
    boot TEXT NOT NULL,                   -- which start of the machine
    from_ms INTEGER NOT NULL,             -- since that start
    until_ms INTEGER NOT NULL,
    pass_sha256 BLOB,
    closed_at INTEGER,
    why TEXT CHECK (why IN ('closed', 'expired', 'restarted', 'unsigned'))
) STRICT;

-- The steady clock as it was kept last, and what a root-signed note has set right.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    turn INTEGER NOT NULL,                -- rises when people order the clock to begin anew
    boot TEXT NOT NULL,                   -- which start of the machine; empty before the first
    boot_ms INTEGER NOT NULL,
    steady_ms INTEGER NOT NULL,
    off_since INTEGER,
    -- The newest bundle that was made later than it is here, and so was refused.
    mint_seq INTEGER,
    mint_issued_at INTEGER,
    mint_seen_at INTEGER
) STRICT;

-- Root's leave to set the time floor back: each acts once. What was applied until then keeps its own times, as
-- evidence; the newest of it counts from `floor`.
CREATE TABLE clock_note (
    issued_at INTEGER PRIMARY KEY,
    note BLOB NOT NULL,
    seq INTEGER NOT NULL,                 -- the bundle applied last
    floor_before INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    acted_at INTEGER NOT NULL
) STRICT;
