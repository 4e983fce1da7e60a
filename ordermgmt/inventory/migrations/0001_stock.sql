-- Money is in cents of US dollars, stock in pieces, times in seconds since 1970.
CREATE TABLE item (
    category TEXT NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    price BIGINT NOT NULL CHECK (price >= 0),
    qty BIGINT NOT NULL CHECK (qty BETWEEN 0 AND 1000000000000),
    PRIMARY KEY (category, code)
);

-- The first answer to each operation id. `members` is a JSON object.
CREATE TABLE operation (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    members TEXT NOT NULL,
    decided_at DOUBLE PRECISION NOT NULL
);
