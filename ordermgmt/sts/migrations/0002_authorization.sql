-- Lists are space-separated. Times are seconds since 1970. Secrets that others hold are kept as SHA-256 digests, in hex.

ALTER TABLE clients ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN public INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN redirect_uris TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN post_logout_redirect_uris TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN certificate_uri TEXT NOT NULL DEFAULT '';

-- A browser in which a user has logged in. It is over at `ends_at`, which moves as it is used, or when `ended_at` is set.
CREATE TABLE sessions (
    sid TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    auth_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX sessions_by_end ON sessions (ends_at);
CREATE INDEX sessions_by_user ON sessions (user_name);

-- Authorization requests whose user has to log in or to consent first.
-- `earliest_login` is the oldest login that will do. `consented` is the sid in which the user consented to this request.
CREATE TABLE authorization_requests (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audience TEXT NOT NULL,
    state TEXT,
    nonce TEXT,
    code_challenge TEXT NOT NULL,
    earliest_login BIGINT NOT NULL,
    ask_consent INTEGER NOT NULL,
    login_hint TEXT NOT NULL,
    consented TEXT,
    expires_at BIGINT NOT NULL
);

CREATE INDEX authorization_requests_by_expiry ON authorization_requests (expires_at);
CREATE INDEX authorization_requests_by_client ON authorization_requests (client_id);

-- What a user lets a client do without being asked again.
CREATE TABLE consents (
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_name, client_id)
);

CREATE INDEX consents_by_client ON consents (client_id);

-- All tokens that came of one authorization code. It is over at `ends_at`, which moves with each refresh and never passes
-- `expires_at`, or when `ended_at` is set. Only the refresh token of `current_digest` is good, and for a moment after
-- `rotated_at` the one before it.
CREATE TABLE token_families (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    sid TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audience TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    current_digest TEXT,
    previous_digest TEXT,
    rotated_at BIGINT
);

CREATE INDEX token_families_by_end ON token_families (ends_at);
CREATE INDEX token_families_by_sid ON token_families (sid);
CREATE INDEX token_families_by_client ON token_families (client_id);
CREATE INDEX token_families_by_user ON token_families (user_name);

-- Every refresh token that a family ever had, so that one that comes back is known for what it is.
CREATE TABLE refresh_tokens (
    digest TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL
);

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family_id);

-- Authorization codes. One that was used names the family that it gave, and is kept as long.
CREATE TABLE authorization_codes (
    digest TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    sid TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audience TEXT NOT NULL,
    nonce TEXT,
    code_challenge TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    family_id TEXT REFERENCES token_families (id) ON DELETE CASCADE
);

CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at) WHERE family_id IS NULL;
CREATE INDEX authorization_codes_by_family ON authorization_codes (family_id);
CREATE INDEX authorization_codes_by_client ON authorization_codes (client_id);
CREATE INDEX authorization_codes_by_user ON authorization_codes (user_name);

ALTER TABLE access_tokens ADD COLUMN sid TEXT NOT NULL DEFAULT '';
ALTER TABLE access_tokens ADD COLUMN family_id TEXT REFERENCES token_families (id) ON DELETE CASCADE;

CREATE INDEX access_tokens_by_family ON access_tokens (family_id);
