"""The settings of a server."""

import re
import secrets
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from onlooker.base.settings import Config, setting
from onlooker.storage import has_scheme

_PUBLIC = re.compile(
    r"https?://([\w.-]+|\[[\da-f:.]+\])(:\d+)?(/[\w.~-]+)*/?", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class ServeSettings(Config):
    """The settings of the page: its content, its address, and access to it.

    Args:
        run: a run to use in addition to those in `runs`.
        clips: made when the first class is added.
        runs: the folder of runs, for the models that the page uses and trains.
        token: secret text that the address of the first visit must contain; random unless only this
            machine can reach the page.
        events: addresses to which the events of all cameras are sent when they are over.
        max_upload: maximum size of a clip in bytes.
        max_seconds: maximum length of a clip.

    Raises:
        ValueError: a token that is too short, an invalid address, a key without a certificate, or
            a file for events.
        FileNotFoundError: no certificate or key there.
    """

    run: Path | None = None
    clips: Path = setting(Path("clips"), "The folder of training clips, one sub-folder per class.")
    runs: Path = Path("runs")
    host: str = setting("127.0.0.1", "The address to listen on.")
    port: int = setting(8765, "The port; 0: any free port.", minimum=0, maximum=65535)
    token: str | None = setting(
        None,
        "Secret text in the address of the page; default: random, if --host or --public is given.",
    )
    public: str | None = setting(
        None,
        "The address under which others open the page, such as that of a proxy: "
        "https://example.org/page.",
    )
    certificate: Path | None = setting(
        None, "Serve by HTTPS, which phones require for their camera (PEM)."
    )
    key: Path | None = setting(None, "Its private key, if it is in another file.")
    events: list[str] | None = setting(
        None,
        "Send events of cameras to https://HOST/PATH or mqtt://HOST/TOPIC (also Home Assistant); "
        "repeatable.",
    )
    max_upload: int = 512_000_000
    max_seconds: float = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if has_scheme(self.clips):
            reason = "the page moves and deletes clips, and nothing is deleted at an address"
            raise ValueError(f"{reason}; give a folder of this machine")
        if self.public and not _PUBLIC.fullmatch(self.public):
            raise ValueError(
                f"--public is {self.public!r}, expected an address such as https://page.example.org"
            )
        if any(address.lower().endswith(".vtt") for address in self.events or ()):
            raise ValueError(
                "events of several cameras, each from 0 s, do not fit into a .vtt; give https:// or mqtt://"
            )
        if self.token is None and (self.public or not is_loopback(self.host)):
            object.__setattr__(self, "token", secrets.token_hex(8))
        if self.token is not None and not (
            self.token.isascii() and self.token.isalnum() and len(self.token) >= 8
        ):
            raise ValueError(
                "the token is too short or has other characters; expected at least 8 letters and digits"
            )
        if self.key and not self.certificate:
            raise ValueError("--key without --certificate; give both, or neither")
        for file in (self.certificate, self.key):
            if file and not file.is_file():
                raise FileNotFoundError(f"{file}: no such file; check the path")


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach this address."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def page_address(settings: ServeSettings, local: bool = True) -> str:
    """The address to open, with the token if there is one.

    Args:
        local: on this machine, under the name that browsers trust with the camera; else on others.
    """
    token = f"?token={settings.token}" if settings.token else ""
    host = settings.host
    if settings.public and not local:
        return f"{settings.public.rstrip('/')}/{token}"
    if host in ("0.0.0.0", "::"):
        host = "localhost" if local else _own_address()
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://{shown}:{settings.port}/{token}"


def _own_address() -> str:
    """The address of this machine in its network: the source address of outgoing packets, without
    sending any.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
