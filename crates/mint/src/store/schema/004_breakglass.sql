-- Whether people's cards may open an audience in an emergency.
ALTER TABLE audience ADD COLUMN breakglass TEXT NOT NULL DEFAULT 'allowed' CHECK (breakglass IN ('allowed', 'forbidden'));
