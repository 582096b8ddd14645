-- Whether the gates of an audience's site admit each token once.
ALTER TABLE audience ADD COLUMN single_use INTEGER NOT NULL DEFAULT 0 CHECK (single_use IN (0, 1));
