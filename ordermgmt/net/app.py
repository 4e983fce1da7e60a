"""A Quart-Trio application as every service starts it: strict bodies in, problem+json out, nothing automatic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from ordermgmt import errors
from ordermgmt.net import problem
from ordermgmt.net.call import Answer, decode_json, require_json
from ordermgmt.net.limits import MAX_BODY
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.requests import note_code, note_route

__all__ = [
    "App",
    "json_response",
    "new_app",
    "one_error",
    "read_body",
    "read_form",
    "read_json",
    "render_failure",
    "tagged_response",
]

T = TypeVar("T")


def new_app(name: str, *, max_body: int = MAX_BODY) -> App:
    """Make an application. `max_body` is in bytes; a longer body is 413. Its listener has the same limit."""
    app = App(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["BODY_TIMEOUT"] = None  # the connection keeps it, whether the body is read or not
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # Both would answer with a redirect to a URL that is made from the Host header.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.register_error_handler(Exception, app.render_error)
    return app


async def read_body() -> bytes:
    """Read the current request's whole body, within the limits of size and time."""
    body = await request.get_data(as_text=False)
    return body if isinstance(body, bytes) else body.encode()


async def read_json(kind: type[T]) -> T:
    """Read the current request's body as JSON of exactly this type.

    Raises UnsupportedMediaType, InvalidRequest naming the member that is wrong, or ContentTooLarge.
    """
    require_json(request.headers.getlist("content-type"))
    return decode_json(await read_body(), kind)


async def read_form() -> list[tuple[str, str]]:
    """Read the current request's body as a form, duplicates kept. Raises as `read_json` does."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise errors.UnsupportedMediaType("not-a-form", "the body must be application/x-www-form-urlencoded")
    body = await read_body()
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=64
        )
    except ValueError as error:
        raise errors.InvalidRequest("invalid-body", "the body is not a form") from error


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Render a value as JSON."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), content_type="application/json")


def tagged_response(content: bytes, tag: str, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with content and its strong entity tag; 304 to who has it already (RFC 9110 section 13.1.2)."""
    fields = {**(headers or {}), "etag": f'"{tag}"'}
    if not request.if_none_match.contains_weak(tag):
        return Response(content, HTTPStatus.OK, fields, content_type=content_type)
    response = Response(b"", HTTPStatus.NOT_MODIFIED, fields)
    # A length here would have to be that of the 200 (RFC 9110 section 8.6).
    del response.headers["content-length"], response.headers["content-type"]
    response.headers.pop("content-encoding", None)
    return response


def one_error(group: BaseException) -> BaseException:
    """Choose from a tree of exceptions the one that the caller has to know: a fault of ours before any other."""
    leaves = list(_leaves(group))
    faults = [leaf for leaf in leaves if not isinstance(leaf, errors.Error | HTTPException)]
    if faults:
        return faults[0]
    return max(leaves, key=lambda leaf: getattr(leaf, "status", None) or getattr(leaf, "code", None) or 0)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


class App(QuartTrio):
    """An application whose every error is one of ours, rendered in one place."""

    async def preprocess_request(self, request_context: Any = None) -> Any:
        """Note the route before anybody can refuse the request."""
        asked = request if request_context is None else request_context.request
        if asked.url_rule is not None:
            note_route(asked.method, asked.url_rule.rule)
        return await super().preprocess_request(request_context)

    async def handle_user_exception(self, error: Any) -> Any:
        """Turn a group into one error before any handler sees it."""
        if isinstance(error, BaseExceptionGroup):
            chosen = one_error(error)
            if not isinstance(chosen, errors.Error):
                self._log.error("request-failed", exc_info=error)
            error = chosen
        return await super().handle_user_exception(error)

    async def render_error(self, error: Exception) -> Response:
        """Render any exception as an answer; what is not an error of ours is logged and becomes a 500."""
        if isinstance(error, HTTPException):
            error = _from_werkzeug(error)
        answer = render_failure(self.name, error)
        return Response(answer.content or b"", answer.status, dict(answer.headers))

    @property
    def _log(self) -> Any:
        return get_logger(self.name)


def render_failure(name: str, error: BaseException) -> Answer:
    """Render any exception as an answer of `name`; what is not an error of ours is logged and becomes a 500."""
    if not isinstance(error, errors.Error):
        get_logger(name).error("request-failed", exc_info=error)
        error = errors.Internal("internal-error")
    note_code(error.code)
    status, headers, body = problem.render(error)
    return Answer(status, [field for field in headers if field[0] != "content-length"], body)


def _from_werkzeug(error: HTTPException) -> errors.Error:
    path = request.path
    if isinstance(error, WerkzeugMethodNotAllowed):
        allow = tuple(sorted(error.valid_methods or ()))
        return errors.MethodNotAllowed("method-not-allowed", f"{path} does not take {request.method}", allow=allow)
    if error.code == errors.ContentTooLarge.status:
        return errors.ContentTooLarge("content-too-large", "the body is over the limit")
    if error.code == errors.RequestTimeout.status:
        return errors.RequestTimeout("body-too-slow", "the body took too long to arrive")
    if error.code == errors.InvalidRequest.status:
        return errors.InvalidRequest("bad-request", error.description or "")
    return errors.NotFound("no-such-path", f"there is nothing at {path}")
