-- Pieces that operations have given to an item, less those that they took: written with `qty`, and never forgotten.
ALTER TABLE item ADD COLUMN moved BIGINT NOT NULL DEFAULT 0;

-- Goods that were added. Of every item the deltas here and `moved` add up to `qty`.
CREATE TABLE adjustment (
    category TEXT NOT NULL,
    code TEXT NOT NULL,
    operation TEXT NOT NULL,
    delta BIGINT NOT NULL,
    adjusted_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (category, code, operation),
    FOREIGN KEY (category, code) REFERENCES item (category, code)
);

-- The first stock; in an older database, what there was when counting began. No operation can have this id, and the
-- time is not known.
INSERT INTO adjustment (category, code, operation, delta, adjusted_at)
    SELECT category, code, 'first stock', qty, 0 FROM item;
