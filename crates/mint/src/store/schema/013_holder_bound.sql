-- Whether the gates of an audience's site admit only whoever proves the key that a token is bound to.
ALTER TABLE audience ADD COLUMN holder_bound INTEGER NOT NULL DEFAULT 0 CHECK (holder_bound IN (0, 1));
