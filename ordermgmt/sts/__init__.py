"""The token service: the only place where tokens are made."""
