-- Private keys that were destroyed, or are about to be: a row is written before the key is touched, and
-- finished once it is gone. Paths are relative to the mint's folder.
CREATE TABLE destruction (
    path     TEXT PRIMARY KEY,
    kind     TEXT NOT NULL CHECK (kind IN ('token', 'online', 'log')),
    -- Of a token key its kid, of a role's key its public line.
    name     TEXT NOT NULL,
    why      TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    done_at  INTEGER
) STRICT;

-- Which key signs for each site, as the journal was last told.
CREATE TABLE key_in_use (
    site    TEXT NOT NULL REFERENCES site (name),
    purpose TEXT NOT NULL,
    kid     TEXT NOT NULL REFERENCES token_key (kid),
    since   INTEGER NOT NULL,
    PRIMARY KEY (site, purpose)
) STRICT, WITHOUT ROWID;

-- When a keys document first left, and when that was first receipted: asked for every key at every change.
CREATE INDEX bundle_keys ON bundle (site, keys_version, issued_at);
CREATE INDEX bundle_keys_receipted ON bundle (site, keys_version, receipted_at) WHERE receipted_at IS NOT NULL;
-- The newest receipt of a site.
CREATE INDEX bundle_receipted ON bundle (site, seq) WHERE receipted_at IS NOT NULL;
CREATE INDEX release_key_kid ON release_key (kid);
CREATE INDEX token_key_site ON token_key (site);
