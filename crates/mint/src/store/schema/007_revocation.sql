-- Revocations of every kind, with who revoked and how it ended. A row is never deleted: one that was pardoned says
-- so, and one that covers nothing any more is left out of bundles.
CREATE TABLE revocation_kept (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    site   TEXT NOT NULL REFERENCES site (name),
    kind   TEXT NOT NULL CHECK (kind IN ('token', 'subject', 'client', 'group', 'key', 'all')),
    -- Token id, subject, client id, group, key id; nothing for all.
    what   TEXT NOT NULL,
    -- Of subject, client, group and all: tokens issued at or before this moment.
    before INTEGER NOT NULL,
    -- Of a token: when it expires.
    expires_at INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL,
    -- Who: `uid 1000`, `client:<id>`.
    by     TEXT NOT NULL,
    at     INTEGER NOT NULL,
    -- The revocation that this one follows from: `group:<name>`, `client:<id>`; nothing where it stands alone.
    cause  TEXT NOT NULL DEFAULT '',
    pardoned_at INTEGER,
    -- Version of the pardon.
    pardon INTEGER
) STRICT;
INSERT INTO revocation_kept (id, site, kind, what, before, expires_at, reason, by, at)
    SELECT id, site, kind, what, before, at + 2678400, reason, 'unknown', at FROM revocation;
DROP TABLE revocation;
ALTER TABLE revocation_kept RENAME TO revocation;
CREATE UNIQUE INDEX revocation_once ON revocation (site, kind, what, before) WHERE pardoned_at IS NULL;

-- How far the revocations had come with a bundle, so that a delta can say what is new since its base.
ALTER TABLE bundle ADD COLUMN revocations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bundle ADD COLUMN pardon_version INTEGER NOT NULL DEFAULT 0;

-- The longest lifetime ever allowed at a site: nothing issued before then lives longer.
ALTER TABLE site ADD COLUMN lifetime_seconds_highest INTEGER NOT NULL DEFAULT 0;
UPDATE site SET lifetime_seconds_highest = lifetime_seconds_max;
