-- A site's Cedar policies, as text; without, the audience alone decides.
ALTER TABLE site ADD COLUMN cedar TEXT;
