"""The proof over a whole run of the tests that no secret reaches a log."""
