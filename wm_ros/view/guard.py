# SPDX-License-Identifier: Apache-2.0
"""Who may speak to the page's server: pages that it served itself, and programs."""
from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from wm_ros.errors import UserError


def check_address(host: str, port: int) -> None:
    """:raises UserError: if nothing can be served there; the page's library would try other ports
    """
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise UserError(f"The page cannot be served on {host}:{port} ({error.strerror}); choose "
                        "another port (--port, or port:= in a launch), or a host that this "
                        "machine has.") from error


@contextmanager
def own_pages_only() -> Iterator[None]:
    """A server that starts meanwhile refuses what a page of another site asks of it.

    A browser lets every site connect to a local port, and this page has buttons that move an arm.
    It tells where a page came from (RFC 6455, section 10.2); programs tell nothing and are let in.
    """
    from websockets.asyncio import server

    serve = server.serve

    def guarded(*args: Any, process_request: Any = None, **rest: Any) -> Any:
        return serve(*args, process_request=functools.partial(_admit, process_request), **rest)

    with mock.patch.object(server, "serve", guarded):
        yield


def _admit(then: Any, connection: Any, request: Any) -> Any:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return connection.respond(HTTPStatus.FORBIDDEN, "This page belongs to another site.\n")
    return None if then is None else then(connection, request)
