"""Ask the admin listener whether all services are ready: `python -m ordermgmt.probe [HOST:PORT]`, for health checks.

It imports nothing of the project, so that it costs a fraction of a start. Exit codes: 0 ready, 1 not.
"""

from __future__ import annotations

import http.client
import sys

__all__ = ["main"]

DEFAULT = "127.0.0.1:9400"
SECONDS = 4.0


def main(arguments: list[str]) -> int:
    """Print what the listener says, and return the exit code."""
    connection = http.client.HTTPConnection((arguments or [DEFAULT])[0], timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode() + "\n")
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
