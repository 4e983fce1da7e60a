-- A signing key is `next` (published, does not sign yet), then `active` (signs), then `retiring` (verifies what it
-- signed), then gone. `since` is when it came into its state. `private_pem` is encrypted, see sts/key_file.py.

ALTER TABLE signing_keys ADD COLUMN since BIGINT NOT NULL DEFAULT 0;

UPDATE signing_keys SET since = created_at;

CREATE UNIQUE INDEX signing_keys_next ON signing_keys (state) WHERE state = 'next';
