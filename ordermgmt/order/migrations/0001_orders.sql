-- Versions come from one counter that never goes back, so an id that is used again after a cancel can match
-- no old entity tag and show no old history.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('version', 0);

CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    items TEXT NOT NULL,
    owner_iss TEXT NOT NULL,
    owner_sub TEXT NOT NULL,
    created_version BIGINT NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX orders_of_owner ON orders (owner_iss, owner_sub, created_version);

CREATE TABLE changes (
    version BIGINT PRIMARY KEY,
    order_id TEXT NOT NULL,
    created_version BIGINT NOT NULL,
    action TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    via TEXT,
    name TEXT NOT NULL,
    items TEXT NOT NULL
);
CREATE INDEX changes_of_order ON changes (created_version, version);
