"""What both services of the peer are told by whoever starts them."""

from __future__ import annotations

import os
import ssl
import sys

import uvicorn
from fastapi import FastAPI

PORT = int(os.environ["PEER_PORT"])
DATABASE = os.environ["PEER_DATABASE"]
CERTIFICATES = os.environ["PEER_CERTIFICATES"]
"""Folder of ca.pem, and of a certificate with its key for each service."""


def serve(app: FastAPI, name: str, *, client_certificates: bool) -> None:
    """Serve over TLS until SIGTERM, with what uvicorn has that is fast."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        backlog=4096,
        timeout_keep_alive=75,  # longer than the client keeps them, so that none ends under a request
        ssl_certfile=f"{CERTIFICATES}/{name}.pem",
        ssl_keyfile=f"{CERTIFICATES}/{name}.key",
        ssl_ca_certs=f"{CERTIFICATES}/ca.pem",
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_certificates else ssl.CERT_NONE,
    )
    sys.exit()
