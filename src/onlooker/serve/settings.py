"""The settings of a server."""

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

__all__ = ["ServeSettings", "is_loopback", "page_address"]


@dataclass(frozen=True)
class ServeSettings:
    """What the page shows, and who may open it.

    Args:
        run: a run to use in addition to those in `runs`.
        clips: the folder of training clips, one sub-folder per class; made when the first class is added.
        runs: the folder of runs, from which the page takes models and to which it writes new ones.
        host, port: the address to listen on.
        token: secret text that the address of the first visit must contain; required unless only this machine can
            reach the page.
        public: the address under which a proxy makes the page public, such as `https://page.example.org`.
        certificate: a PEM file to serve the page by HTTPS, which browsers require for a phone's camera.
        key: its private key, if it is in another file.
        max_upload: maximum size of a clip in bytes.
        max_seconds: maximum length of a clip.

    Raises:
        ValueError: a page that other machines reach without a token, a token that is too short, or an invalid address.
    """

    run: Path | None = None
    clips: Path = Path("clips")
    runs: Path = Path("runs")
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    public: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    max_upload: int = 512_000_000
    max_seconds: float = 600.0

    def __post_init__(self) -> None:
        if (self.public or not is_loopback(self.host)) and not self.token:
            raise ValueError(f"host is {self.public or self.host}, which other machines reach; give a token (--token)")
        if self.public and not re.fullmatch(r"https?://[\w.-]+(:\d+)?", self.public):
            raise ValueError(f"--public is {self.public!r}, expected an address such as https://page.example.org")
        if self.token is not None and not (self.token.isascii() and self.token.isalnum() and len(self.token) >= 8):
            raise ValueError("the token is too short or has other characters; expected at least 8 letters and digits")


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
    token, host = f"?token={settings.token}" if settings.token else "", settings.host
    if settings.public and not local:
        return f"{settings.public}/{token}"
    if host in ("0.0.0.0", "::"):
        host = "localhost" if local else _own_address()
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://{shown}:{settings.port}/{token}"


def _own_address() -> str:
    """The address of this machine in its network: the source address of outgoing packets, without sending any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
