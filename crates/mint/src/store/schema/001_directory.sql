-- The mint's own directory: who may ask, for which sites, under which keys. Times are Unix seconds.
CREATE TABLE realm (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The adopted chain: every charter that this realm has ever had, each as the note that its root signed.
CREATE TABLE charter (
    version    INTEGER PRIMARY KEY CHECK (version >= 1),
    note       BLOB NOT NULL,
    adopted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE subject (
    name      TEXT PRIMARY KEY,
    kind      TEXT NOT NULL CHECK (kind IN ('person', 'bot', 'agent')),
    display   TEXT NOT NULL DEFAULT '',
    enabled   INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    client_id TEXT NOT NULL UNIQUE,
    -- How a bot or agent proves itself at the token endpoint; people never do.
    jwks          TEXT,
    secret_sha256 BLOB CHECK (secret_sha256 IS NULL OR length(secret_sha256) = 32)
) STRICT;

CREATE TABLE subject_role (
    subject TEXT NOT NULL REFERENCES subject (name) ON DELETE CASCADE,
    role    TEXT NOT NULL,
    PRIMARY KEY (subject, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE team (
    name    TEXT PRIMARY KEY,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1))
) STRICT;

CREATE TABLE team_role (
    team TEXT NOT NULL REFERENCES team (name) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (team, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE team_member (
    team    TEXT NOT NULL REFERENCES team (name) ON DELETE CASCADE,
    subject TEXT NOT NULL REFERENCES subject (name) ON DELETE CASCADE,
    PRIMARY KEY (team, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE site (
    name      TEXT PRIMARY KEY,
    issuer    TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    lifetime_seconds_default INTEGER NOT NULL CHECK (lifetime_seconds_default > 0),
    lifetime_seconds_max     INTEGER NOT NULL CHECK (lifetime_seconds_max >= lifetime_seconds_default),
    token_bytes_max          INTEGER NOT NULL,
    leeway_seconds           INTEGER NOT NULL,
    courier_seconds          INTEGER NOT NULL CHECK (courier_seconds > 0),
    every_seconds            INTEGER NOT NULL CHECK (every_seconds > 0),
    -- NULL: any role of the directory. Otherwise a JSON array.
    roles_allowed TEXT,
    -- JSON array of token profiles that may be issued: access, lean, jwt-svid.
    profiles  TEXT NOT NULL,
    sealed    INTEGER NOT NULL DEFAULT 1 CHECK (sealed IN (0, 1)),
    recipient TEXT,
    enabled   INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- One audience belongs to one site: the token endpoint finds the site by it.
CREATE TABLE audience (
    name   TEXT PRIMARY KEY,
    site   TEXT NOT NULL REFERENCES site (name),
    stale_seconds_max INTEGER,
    logged TEXT NOT NULL CHECK (logged IN ('no', 'leaf', 'staple'))
) STRICT;

-- The calendar. A kid is unique in the realm (token.md): a collision is refused when the key is made.
CREATE TABLE token_key (
    kid          TEXT PRIMARY KEY,
    site         TEXT NOT NULL REFERENCES site (name),
    algorithm    TEXT NOT NULL,
    -- 'sig' for access tokens, 'jwt-svid' for SPIFFE's profile, which demands a key of its own.
    purpose      TEXT NOT NULL CHECK (purpose IN ('sig', 'jwt-svid')),
    jwk          TEXT NOT NULL,
    path         TEXT NOT NULL,
    sign_from    INTEGER NOT NULL,
    sign_until   INTEGER NOT NULL CHECK (sign_until > sign_from),
    accept_until INTEGER NOT NULL CHECK (accept_until >= sign_until),
    created_at   INTEGER NOT NULL
) STRICT;

-- Release documents: drafts gather signatures, adopted ones cross. Versions only rise.
CREATE TABLE release_document (
    site       TEXT NOT NULL REFERENCES site (name),
    kind       TEXT NOT NULL CHECK (kind IN ('keys', 'policy', 'fence', 'pardon')),
    version    INTEGER NOT NULL CHECK (version >= 1),
    note       BLOB NOT NULL,
    adopted_at INTEGER NOT NULL,
    PRIMARY KEY (site, kind, version)
) STRICT, WITHOUT ROWID;

-- Which keys a keys document carried, so that the signer can tell what a site has been sent.
CREATE TABLE release_key (
    site    TEXT NOT NULL,
    version INTEGER NOT NULL,
    kid     TEXT NOT NULL REFERENCES token_key (kid),
    PRIMARY KEY (site, version, kid)
) STRICT, WITHOUT ROWID;
