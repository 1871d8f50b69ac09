"""The guards before every request: who may ask, the headers of every answer, and a line of the log without names."""

import hmac
import ipaddress
import logging
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from mammo.serving.limits import Refused
from mammo.serving.readers import trail

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN = ("/", "/health")  # without a token, and the files of the page, which tell nothing
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{}; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guards:
    """An ASGI application around another.

    Args:
        app: The application.
        local: True if only this machine can reach it: the Host header must then name this machine, so that no web page
            that gives itself the address of this machine (DNS rebinding) is answered.
        token: The word that a sender must know; None asks for none.
        card: The HTML of the model card, whose styles the page may show; empty if there is none.
    """

    def __init__(self, app: Any, *, local: bool, token: str | None, card: str = "") -> None:
        self.app, self.local, self.token = app, local, token
        policy = {"content-security-policy": POLICY.format("".join(map(_allowed, STYLE.findall(card))))}
        self._added = [(name.encode(), value.encode()) for name, value in (policy | HEADERS).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0
        bare = scope["method"] == "HEAD"  # gets what GET gets, without its body
        inner = {**scope, "method": "GET"} if bare else scope

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *self._added]}
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        try:
            self._check(scope)
            await self.app(inner, receive, answer)
        except Refused as refused:
            await JSONResponse({"error": refused.reason}, refused.status, refused.headers)(scope, receive, answer)
        except Exception as error:
            log.error(trail(error))  # of several lines
            if not status:
                await JSONResponse({"error": "an error of the service; its log tells more"}, 500)(
                    scope, receive, answer
                )
        route = getattr(inner.get("route"), "path", "another address")  # as it is declared, never what was asked for
        log.info("%s %s: %d in %.2f s", _method(scope), route, status, time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self.local and not is_local(_name(host)):
            raise Refused(421, "this service answers only at 127.0.0.1 or localhost; use one of these in the address")
        if scope["method"] not in ("GET", "HEAD") and not _same(headers, host):
            raise Refused(403, "a page of another address may not use this service; open the service's own page")
        path = scope["path"]
        if self.token is None or path in OPEN or path.startswith("/page/"):
            return
        kind, _, word = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(word.strip().encode(), self.token.encode()):
            raise Refused(
                401, "a token is needed, in the header Authorization: Bearer <token>", WWW_Authenticate="Bearer"
            )


def is_local(host: str) -> bool:
    """Tell if an address is one by which a machine calls itself; other names may be given to it by anybody."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _allowed(style: str) -> str:
    """Return the source of a policy that allows one style by its digest."""
    return f" 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


def _same(headers: dict[str, str], host: str) -> bool:
    """Tell if a request comes from the service's own page, or from a program."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host != ""


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else "?"
