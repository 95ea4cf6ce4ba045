"""`onlooker serve`: the web page."""

import functools
import os
import secrets
import socket
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command, stoppable
from onlooker.storage import is_address

group = typer.Typer()


def _on_this_machine(clips: Path) -> Path:
    if is_address(clips):
        reason = "the page moves and deletes clips, and nothing is deleted at an address; give a folder of this machine"
        raise typer.BadParameter(reason)
    return clips


_UNENCRYPTED = (
    "The connection is not encrypted: others in the network can read the token, clips and camera images. Use "
    "--certificate FILE, or a proxy that adds HTTPS: --public https://NAME without --host (docs/page.md)."
)
_command = functools.partial(command, group=group, panel="Use a run")


@_command
def serve(
    run: Annotated[Path | None, typer.Argument(help="A run to use in addition to those in runs/.")] = None,
    clips: Annotated[
        Path, typer.Option(help="The folder of training clips, one sub-folder per class.", callback=_on_this_machine)
    ] = Path("clips"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0: any free port.", min=0, max=65535)] = 8765,
    token: Annotated[
        str | None, typer.Option(help="Secret text in the address of the page; default: random, if --host is given.")
    ] = None,
    public: Annotated[
        str | None, typer.Option(help="The address under which a proxy makes the page public: https://page.example.org")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="Serve by HTTPS, which phones require for their camera (PEM).", exists=True, dir_okay=False),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Its private key, if it is in another file.", exists=True, dir_okay=False)
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Open a web page: classify clips and cameras with a model, teach it with examples, correct it."""
    try:
        from onlooker.serve.app import create_app, make_server
        from onlooker.serve.settings import ServeSettings, is_loopback, page_address
        from onlooker.video.safe import VARIABLE
    except ModuleNotFoundError as error:
        raise RuntimeError(f'the page needs {error.name}; pip install "onlooker[serve]"') from error
    if key and not certificate:
        raise ValueError("--key without --certificate; give both, or neither")
    if token is None and (public or not is_loopback(host)):
        token = secrets.token_hex(8)
    with _listen(host, port) as listening:
        port = listening.getsockname()[1]
        settings = ServeSettings(
            run, clips, host=host, port=port, token=token, public=public, certificate=certificate, key=key
        )  # fmt: skip
        os.environ[VARIABLE] = "1"  # everything that a browser sends is decoded by processes with limits
        app, address = create_app(settings), page_address(settings)  # first: a wrong run is an error without an address
        typer.echo(f"{address}  (Ctrl-C ends it)")
        if public or not is_loopback(host):
            typer.echo(f"{page_address(settings, local=False)}  on other devices")
        if not (certificate or is_loopback(host)):
            typer.echo(_UNENCRYPTED)
        if not no_browser:
            threading.Timer(1, webbrowser.open, (address,)).start()
        with stoppable("run the same command to open the page again"):
            make_server(app, settings).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, both = (socket.AF_INET6, socket.has_dualstack_ipv6()) if ":" in host else (socket.AF_INET, False)
        return socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ValueError(f"{host}, port {port}: {reason}; give another --port (0: any that is free)") from error
