"""The door: `python supervisor.py [options]` is `ordermgmt run [options]`. It is never installed."""

from __future__ import annotations

import sys

from ordermgmt.__main__ import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]], prog_name="supervisor.py")
