"""The order service: keeps orders, and takes their goods from the inventory service."""
