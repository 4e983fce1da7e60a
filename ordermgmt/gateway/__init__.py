"""The API gateway: takes clients' opaque tokens, exchanges them for JWTs, and passes requests on."""
