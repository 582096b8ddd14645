-- Whether tokens of a site name their place in a status list, and its bundles carry signed lists.
ALTER TABLE site ADD COLUMN status_claim INTEGER NOT NULL DEFAULT 0 CHECK (status_claim IN (0, 1));
