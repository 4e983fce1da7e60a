"""Who is calling, and what they may do: keys, tokens, scopes, TLS and the identities in certificates."""
