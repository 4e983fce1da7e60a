-- Every change of an order, from its intent to its outcome.
-- `items` is the order as it shall be (before a cancel: as it was), `deltas` what the stock changes by, both as JSON.
-- `version` is the one that the change makes, `replaces` the one that it was worked out from (none for a create).
-- While an entry is pending, nobody takes it up before `lease_until`; each one who does counts `attempt` up.
-- `reason` says why it is not applied, or not yet. Times are seconds since 1970.
CREATE TABLE journal (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('create', 'update', 'cancel')),
    order_id TEXT NOT NULL,
    name TEXT NOT NULL,
    items TEXT NOT NULL,
    deltas TEXT NOT NULL,
    version BIGINT,
    replaces BIGINT,
    iss TEXT NOT NULL,
    sub TEXT NOT NULL,
    via TEXT,
    idempotency_key TEXT,
    fingerprint TEXT,
    created_at DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'stuck', 'applied', 'refused', 'abandoned')),
    reason TEXT,
    holder TEXT NOT NULL,
    lease_until DOUBLE PRECISION NOT NULL,
    attempt BIGINT NOT NULL,
    finished_at DOUBLE PRECISION,
    keep_until DOUBLE PRECISION,
    acknowledged INTEGER NOT NULL DEFAULT 0
);

-- One unfinished change per order.
CREATE UNIQUE INDEX journal_unfinished ON journal (order_id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX journal_of_key ON journal (iss, sub, kind, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX journal_due ON journal (lease_until) WHERE state = 'pending';
CREATE INDEX journal_unacknowledged ON journal (finished_at) WHERE finished_at IS NOT NULL AND acknowledged = 0;
CREATE INDEX journal_expired ON journal (keep_until) WHERE acknowledged = 1;
