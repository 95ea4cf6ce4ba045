"""`onlooker serve`: the web page."""

import functools
import os
import socket
import threading
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command
from onlooker.serve.settings import ServeSettings, is_loopback, page_address

group = typer.Typer()

_UNENCRYPTED = (
    "The connection is not encrypted: others in the network can read the token, clips and camera images. Use "
    "--certificate FILE, or a proxy that adds HTTPS: --public https://NAME without --host (docs/page.md)."
)


@functools.partial(command, group=group, panel="Use a run", stopped="stopped")
def serve(
    settings: ServeSettings,
    run: Annotated[
        Path | None, typer.Argument(help="A run to use in addition to those in runs/.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Open a web page: classify clips and cameras with a model, teach it with examples, correct it."""
    try:
        from onlooker.serve.app import create_app, make_server
        from onlooker.video.safe import VARIABLE
    except ModuleNotFoundError as error:
        raise RuntimeError(f'the page needs {error.name}; pip install "onlooker[serve]"') from error
    with _listen(settings.host, settings.port) as listening:
        settings = replace(settings, run=run, port=listening.getsockname()[1])
        os.environ[VARIABLE] = (
            "1"  # everything that a browser sends is decoded by processes with limits
        )
        # first: a wrong run is an error without an address
        app = create_app(settings)
        address = page_address(settings)
        typer.echo(f"{address}  (Ctrl-C ends it)")
        if settings.public or not is_loopback(settings.host):
            typer.echo(f"{page_address(settings, local=False)}  on other devices")
        if not (settings.certificate or is_loopback(settings.host)):
            typer.echo(_UNENCRYPTED)
        if not no_browser:
            threading.Timer(1, webbrowser.open, (address,)).start()
        make_server(app, settings).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, both = (
            (socket.AF_INET6, socket.has_dualstack_ipv6())
            if ":" in host
            else (socket.AF_INET, False)
        )
        return socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ValueError(
            f"{host}, port {port}: {reason}; give another --port (0: any that is free)"
        ) from error
