"""Start a service, and stop it: on Ctrl-C or SIGTERM it answers what is at work, and says one line."""

import logging
import signal
import socket
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from mammo.errors import InputError
from mammo.inference.answers import WARNING
from mammo.serving.app import build_app
from mammo.serving.guards import is_local
from mammo.serving.limits import Limits
from mammo.serving.model import open_model
from mammo.serving.service import Service

log = logging.getLogger("mammo.serving")

LEAST_TOKEN = 16  # letters
STOP_S = 20  # for which requests at work are answered before the service ends
CONNECTIONS = 256
HEADER_S = 10  # for which a connection may be open without a request: else idle ones lock everybody out
FOREIGN = ("uvicorn", "python_multipart")  # loggers whose lines would hold what was sent


class Prompt(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that is closed if the whole header of its next request does not come in one to two `HEADER_S`."""

    def connection_made(self, transport: Any) -> None:
        """Begin to look after the connection."""
        super().connection_made(transport)
        self._look_again()

    def _look_again(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete  # the latest request of the connection is its cycle
        self.loop.call_later(HEADER_S, self._look, idle, self.cycle)

    def _look(self, was_idle: bool, before: Any) -> None:
        if self.transport.is_closing():
            return
        if was_idle and self.cycle is before:
            self.transport.close()
        else:
            self._look_again()


def check_token(host: str, token: str | None) -> None:
    """Refuse an address that others can reach without a token, and a token that can be guessed."""
    if token is None and not is_local(host):
        raise InputError(
            f"--host {host} lets other machines ask; give a token that they must know: set MAMMO_TOKEN to a word of "
            f"{LEAST_TOKEN} letters or more, say of: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(f"the token has {len(token)} letters; expected {LEAST_TOKEN} or more, of ASCII")


def bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address.

    Raises:
        InputError: The address is in use, or is none of this machine.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--host {host} --port {port}: {why.lower()}; name another") from None
    return found


def server_of(app: Any) -> uvicorn.Server:
    """Return the server of an application, which writes no line of its own."""
    for name in FOREIGN:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Prompt,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=STOP_S,
        )
    )


def serve(
    model: Path,
    *,
    head: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve a model until a signal ends it.

    Args:
        model: The folder of a finished run.
        head: The head that answers; None takes the network's own, or both of a detector.
        host: The address to listen at.
        port: The port; 0 takes a free one.
        token: The word that a sender must know; None only where no other machine can ask.
        limits: What is taken at most; None takes the defaults.

    Raises:
        InputError: The model cannot be used, or the address.
    """
    check_token(host, token)
    with bound(host, port) as listening:  # first, because a model takes seconds to open
        log.info("opening %s", model.resolve().name)
        predictor = open_model(model, head)
        service = Service(predictor, limits or Limits(), partners=head is None)
        service.start()
        app = build_app(service, local=is_local(host), token=token)
        server = server_of(app)
        shown, at = f"[{host}]" if ":" in host else host, listening.getsockname()[1]
        log.info(
            "serving %s at http://%s:%d (Ctrl-C stops it). %s", predictor.run.path.resolve().name, shown, at, WARNING
        )
        before = {one: signal.signal(one, _ignore) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            server.run(sockets=[listening])
        finally:
            service.stop()
            for one, handler in before.items():
                signal.signal(one, handler)
    log.info("stopped; nothing was kept")


def _ignore(*_: object) -> None:
    """Take a signal that uvicorn has acted on, and raises once more."""
