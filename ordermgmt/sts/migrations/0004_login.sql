-- Times are seconds since 1970. Names that somebody typed, addresses and cookies are kept as SHA-256 digests, in hex.

-- What was counted against a limit on wrong passwords. After `kept_until` it says nothing any more.
CREATE TABLE login_tallies (
    id TEXT PRIMARY KEY,
    count DOUBLE PRECISION NOT NULL,
    counted_at DOUBLE PRECISION NOT NULL,
    kept_until BIGINT NOT NULL
);

CREATE INDEX login_tallies_by_end ON login_tallies (kept_until);

-- Browsers (by their cookie) and addresses from which a user has logged in.
CREATE TABLE login_places (
    digest TEXT NOT NULL,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (digest, user_name)
);

CREATE INDEX login_places_by_use ON login_places (used_at);
CREATE INDEX login_places_by_user ON login_places (user_name);

-- The browser in which the request is answered: its first page is bound to that browser's cookie.
ALTER TABLE authorization_requests ADD COLUMN browser TEXT NOT NULL DEFAULT '';
