-- Receipt codes that were nobody's, so that nobody guesses on.
CREATE TABLE receipt_refused (
    site TEXT NOT NULL REFERENCES site (name),
    at   INTEGER NOT NULL
) STRICT;
