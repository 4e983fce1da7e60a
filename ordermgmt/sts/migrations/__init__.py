"""The schema of the token service's database."""
