-- Times are seconds since 1970.

-- The one row that every transaction which revokes has to change first: so numbers are given in the order of commits, and
-- who has seen one has seen all before it. `epoch` names this history of numbers; it is empty until a service starts.
-- Tokens that were issued before `not_before` are revoked.
CREATE TABLE revocation_log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    last BIGINT NOT NULL,
    not_before BIGINT NOT NULL
);

INSERT INTO revocation_log (id, epoch, last, not_before) VALUES (1, '', 0, 0);

-- What was revoked: sessions, families, single tokens, grants of clients, each by the id that tokens carry.
CREATE TABLE revocations (
    sequence BIGINT PRIMARY KEY,
    revoked TEXT NOT NULL,
    revoked_at BIGINT NOT NULL
);

CREATE INDEX revocations_by_id ON revocations (revoked);

-- Counts how often all tokens of a client were ended. A token of an earlier generation is good for nothing.
ALTER TABLE clients ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE access_tokens ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
