"""The address of the page for a phone in the same network, and as a QR code."""

import io
import socket

from onlooker.serve.problem import Problem
from onlooker.serve.settings import ServeSettings, is_loopback

__all__ = ["page_address", "phone_address", "phone_code"]


def page_address(settings: ServeSettings, host: str | None = None) -> str:
    """The address to open, with the token if there is one."""
    host = host or settings.host
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://{shown}:{settings.port}/{f'?token={settings.token}' if settings.token else ''}"


def phone_address(settings: ServeSettings) -> str | None:
    """The address at which other machines reach the page; None if they cannot."""
    if is_loopback(settings.host):
        return None
    everywhere = settings.host in ("0.0.0.0", "::")
    return page_address(settings, _own_address() if everywhere else settings.host)


def phone_code(settings: ServeSettings) -> bytes:
    """The address as a QR code, an SVG.

    Raises:
        Problem: 404 if other machines cannot reach the page, 501 if segno is not installed.
    """
    if (address := phone_address(settings)) is None:
        raise Problem(404, "no_phone")
    try:
        import segno
    except ModuleNotFoundError as error:
        raise Problem(501, "no_code") from error
    image = io.BytesIO()
    segno.make(address, micro=False).save(image, kind="svg", border=2, xmldecl=False)
    return image.getvalue()


def _own_address() -> str:
    """The address of this machine in its network: the source address of outgoing packets, without sending any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
