"""Test instruments, shipped with the package as `trio.testing` is: memory network, clocks, faults, harness."""
