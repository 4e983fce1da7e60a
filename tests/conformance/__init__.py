"""Which test shows that a requirement of a standard is kept: see `rows`."""
