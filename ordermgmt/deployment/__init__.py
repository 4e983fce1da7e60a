"""Files that run the suite elsewhere, made from the table of services and the configuration."""
