-- When it was, by the clock by which keys are destroyed: one row for the clock that is believed, and one for
-- a clock that has said something else since. Times are milliseconds.
CREATE TABLE clock_mark (
    believed INTEGER PRIMARY KEY CHECK (believed IN (0, 1)),
    -- Which start of the machine that was.
    boot     TEXT NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
