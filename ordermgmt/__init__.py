"""Secured order management: STS, gateway, order and inventory services under one Trio nursery."""

__version__ = "0.1.0"
