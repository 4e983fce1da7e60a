-- Times are seconds since 1970, by the database's clock. Cookies are kept as SHA-256 digests, in hex.

-- Browsers whose users have signed in. `scopes` is space-separated, `sealed` holds the tokens, encrypted with a key that
-- is in a file. A session is over at `idle_until`, which moves as it is used and never passes `ends_at`.
-- Who refreshes its tokens has the lease: until `lease_until` nobody else does.
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    sid TEXT NOT NULL,
    name TEXT NOT NULL,
    preferred_username TEXT NOT NULL,
    scopes TEXT NOT NULL,
    sealed TEXT NOT NULL,
    refresh_at DOUBLE PRECISION NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    idle_until DOUBLE PRECISION NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL,
    lease_holder TEXT,
    lease_until DOUBLE PRECISION
);

CREATE INDEX sessions_by_end ON sessions (idle_until);
CREATE INDEX sessions_by_sid ON sessions (sid);

-- Logins on their way, by their cookie. `previous` is the session that the browser had.
CREATE TABLE logins (
    digest TEXT PRIMARY KEY,
    return_to TEXT NOT NULL,
    previous TEXT NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL
);

CREATE INDEX logins_by_end ON logins (ends_at);
