"""A request that the connection itself refuses, before any application sees it."""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["Refused"]


class Refused(Exception):
    """`status` is the answer, `code` stable and machine-readable, `detail` for the client."""

    def __init__(self, status: HTTPStatus, code: str, detail: str = "") -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
