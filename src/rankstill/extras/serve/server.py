"""`rankstill serve`: from a workspace to a server that ends cleanly."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from rankstill.errors import RankstillError
from rankstill.extras.serve.reading import open_workspace
from rankstill.packages import required
from rankstill.progress import say

_GRACE = 30
"""Seconds that requests have to finish once the server is asked to stop."""


def run_server(workspace: Path, host: str = "127.0.0.1", port: int = 8080, allow_hosts: Sequence[str] = ()) -> None:
    """Serve a finished workspace until it is told to stop (SIGTERM, or Ctrl-C); what is in flight is finished.

    Args:
        workspace: its folder; it is only read, but for `votes/`.
        host: address to listen on. Anything but loopback lets others in: there is no password.
        port: to listen on; 0 for any that is free.
        allow_hosts: further host names under which the server may be addressed, such as that of a proxy.

    Raises:
        RankstillError: the workspace cannot be served, the port is taken, or the extra `serve` is not installed.
    """
    uvicorn = required("uvicorn", "serve", "serving")
    required("fastapi", "serve", "serving")
    from rankstill.extras.serve.app import LOOPBACK, create_app

    hosts = [name.lower() for name in (*LOOPBACK, *_own_names(host), *allow_hosts)]
    listening = _listen(host, port)  # before minutes of loading, not after
    with listening:
        started = time.monotonic()
        app = create_app(open_workspace(workspace), hosts=hosts)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE
        )
        # uvicorn stops at these signals and then sends them to itself once more; by then there is nothing left to end.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        listening.listen()  # from here on nobody is turned away, only kept waiting for a moment
        say(f"ready after {time.monotonic() - started:.1f} s: {_url(listening)} (Ctrl-C stops)")
        uvicorn.Server(config).run(sockets=[listening])
    say("stopped")


def _own_names(host: str) -> list[str]:
    """The address as a host name, unless it stands for every address there is."""
    try:
        if ip_address(host).is_unspecified:
            return []
    except ValueError:
        pass
    return [host]


def _url(listening: socket.socket) -> str:
    address, port, *_ = listening.getsockname()
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise RankstillError(
            f"{host}, port {port}: cannot listen there ({error.strerror}). Name another port, or 0 for any."
        ) from error
    return listening
