"""The inventory service: how many pieces of each item there are, and who gets them."""
