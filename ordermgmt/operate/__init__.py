"""What one supervisor tells of its services and edges, for the operator's page; no service knows of it."""
