"""The private certificate authority of the suite. No service imports it: none can mint certificates."""
