"""Faulty senders and full disks."""

import ctypes
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import clips
import senders

from attacks import probes
from attacks.case import Kind, Make, Material, Probe, SilentError, Target, require_named
from attacks.videos import tagged
from onlooker.runs.localize import localize_clips
from onlooker.runs.predict import predict_clips
from onlooker.runs.train import train_run

STREAMS, DISKS = "streams", "full disks"
_CLONE_NEWNS, _CLONE_NEWUSER, _MS_REC_PRIVATE = 0x20000, 0x10000000, 0x44000


class Reopening(senders.Sender):
    """A sender that repeats its last answer for every further connection."""

    def __init__(self, *connections: Callable[[], Iterable[bytes]], hold: float = 0.0, times: int = 3) -> None:
        super().__init__(*connections, *[connections[-1]] * times, hold=hold)


class Absent:
    """An address at which a sender starts after some seconds, or never (None)."""

    def __init__(self, seconds: float | None, chunks: Callable[[], Iterable[bytes]]) -> None:
        self._seconds, self._chunks = seconds, chunks
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port = server.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"

    def __enter__(self) -> "Absent":
        if self._seconds is not None:
            threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        return

    def _serve(self) -> None:
        time.sleep(self._seconds or 0)
        with socket.create_server(("127.0.0.1", self._port)) as server, server.accept()[0] as connection:
            for chunk in self._chunks():
                connection.sendall(chunk)


def _video(first: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    return senders.transport_stream(30, first, size)


def _flood() -> Iterable[bytes]:
    """The same second fifty times, as fast as it can be sent; for some seconds would be more, the faster that is."""
    yield from [_video()] * 50


def _noise() -> Iterable[bytes]:
    rng, until = random.Random(0), time.monotonic() + 4
    while time.monotonic() < until:
        yield rng.randbytes(188 * 100)


def _damaged() -> Iterable[bytes]:
    rng = random.Random(0)
    for chunk in senders.cut(_video() + _video(30)):
        data = bytearray(chunk)
        for _ in range(rng.choice((0, 0, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


def _sound() -> bytes:
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        clips._silence(container, container.add_stream("aac", rate=48000))
    return file.getvalue()


def _tagged(matrix: int) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return tagged(Path(folder, "clip.ts"), matrix).read_bytes()


def _of(sender: Callable[[], Any], frames: int = 0) -> Make:
    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        return Target(scratch, ("tcp://127.0.0.1",), more={"sender": sender, "frames": frames})

    return make


_SENDERS: dict[str, tuple[Callable[[], Any], int]] = {  # and how many frames must arrive at least
    "ends": (lambda: senders.Sender(lambda: [_video()]), 25),
    "drops twice, and comes back": (lambda: Reopening(lambda: [_video()], lambda: [_video(30)], times=1), 70),
    "drops within a packet": (lambda: Reopening(lambda: [_video()[:20_001]], lambda: [_video()]), 25),
    # It listens again while the first new connection waits; later it would answer that one after it was given up.
    "freezes": (lambda: Reopening(lambda: [_video()], hold=1.5, times=1), 40),
    "half open": (lambda: Reopening(list, lambda: [_video()], hold=3.0), 0),
    "says nothing": (lambda: senders.Sender(list, hold=8.0), 0),
    "floods": (lambda: senders.Sender(_flood), 1400),
    "sends noise": (lambda: senders.Sender(_noise), 0),
    "damages packets": (lambda: senders.Sender(_damaged), 1),
    "changes size": (lambda: senders.Sender(lambda: [_video(), _video(30, (96, 64)), _video(60, (32, 32))]), 50),
    "changes size between connections": (
        lambda: Reopening(lambda: [_video()], lambda: [_video(30, (96, 64))], times=0), 50),
    "sends only sound": (lambda: senders.Sender(lambda: [_sound()] * 3), 0),
    "sends a web page": (lambda: senders.Sender(lambda: [b"HTTP/1.0 200 OK\r\n\r\n<html></html>"]), 0),
    "color matrix 10": (lambda: senders.Sender(lambda: [_tagged(10)]), 20),
    "color matrix 8": (lambda: senders.Sender(lambda: [_tagged(8)]), 20),
    "never there": (lambda: Absent(None, list), 0),
}  # fmt: skip


class _Http(senders.Sender):
    """A recording on a server, of which no frame can be decoded."""

    def __init__(self, data: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(data)}\r\n\r\n".encode()

        def talk(connection: socket.socket) -> Iterable[bytes]:
            connection.recv(4096)
            return [head + data]

        super().__init__(*[talk] * 3, scheme="http")


def _undecodable(material: Material, scratch: Path, rng: random.Random) -> Target:
    data = bytearray(material.whole(".mkv").read_bytes())
    start = data.find(b"\x1f\x43\xb6\x75") + 30  # a cluster: what follows are its frames
    data[start:] = bytes(0x55 for _ in range(len(data) - start))
    return Target(scratch, ("http://127.0.0.1",), more={"sender": lambda: _Http(bytes(data))})


def streams() -> list[Kind]:
    kinds = []
    for name, (sender, frames) in _SENDERS.items():
        quick = name in ("color matrix 10", "sends a web page")
        kinds.append(Kind(STREAMS, name, _of(sender, frames), probes.watch, slow=True, quick=quick, patience=15))
    kinds.append(Kind(STREAMS, "recording that cannot be decoded", _undecodable, probes.watch, slow=True, patience=15))
    return kinds


def small_disk(folder: Path, size: int) -> Path:
    """An empty file system of `size` bytes, which only this process sees.

    Raises:
        OSError: the system does not allow that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if uid and not libc.unshare(_CLONE_NEWUSER):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    folder.mkdir()
    if (
        libc.unshare(_CLONE_NEWNS)
        or libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
        or libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())
    ):
        raise OSError(ctypes.get_errno(), "no private file system")
    return folder


def can_mount() -> bool:
    """Whether `small_disk` works here."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            small_disk(Path(f"/tmp/.attack-disk-{os.getpid()}"), 4096)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(f"/tmp/.attack-disk-{child}", ignore_errors=True)
    return status == 0


def _disk(material: Material, scratch: Path, rng: random.Random) -> Target:
    """A disk with 20 kB of space."""
    return Target(small_disk(scratch / "attack", 20_480), fatal=True)


def _full(command: Callable[[Material, Path], object]) -> Probe:
    """A command whose output does not fit."""

    def probe(material: Material, target: Target, scratch: Path) -> None:
        command(material, target.path)
        raise SilentError(f"{sum(path.stat().st_size for path in target.path.rglob('*'))} bytes written, and no error")

    return probe


def _watch_full(material: Material, target: Target, scratch: Path) -> None:
    """One recording does not fit; the other stream must go on to its end."""
    probes.watch(material, Target(material.good[1], ("attack",), more={"out": target.path}), scratch)


def _predict(material: Material, disk: Path) -> object:
    (disk / "filler").write_bytes(bytes(16_000))
    return predict_clips(material.run, sorted(material.squares.glob("*/*.mp4")), None, disk / "out.json")


def _overlays(material: Material, disk: Path) -> None:
    errors = predict_clips(material.run, sorted(material.squares.glob("*/*.mp4")), disk / "drawn")
    for error in errors:
        require_named(str(error), Target(disk))
    if errors:
        raise OSError(f"{disk}: {errors[0]}")


def _localize(material: Material, disk: Path) -> None:
    errors = localize_clips(material.run, sorted(material.squares.glob("*/*.mp4")), disk / "out", 0.0)
    if errors:
        raise OSError(f"{disk}: {errors[0]}")


def _train(material: Material, disk: Path) -> object:
    return train_run(material.squares, disk / "run", probes.MODEL, probes.DATA, probes.TRAINING, quiet=True)


def _features(material: Material, disk: Path) -> object:
    from onlooker.runs.features import StoreSettings, make_features

    settings = StoreSettings("conv4", probes.DATA, pretrained=False)
    return make_features(material.squares, disk / "store", settings, quiet=True)


def _export(material: Material, disk: Path) -> object:
    from onlooker.export import export_run

    return export_run(material.run, disk / "export")


def _evaluate(material: Material, disk: Path) -> object:
    from onlooker.runs.evaluate import evaluate

    (disk / "filler").write_bytes(bytes(12_000))
    other = disk / "run"
    other.mkdir()
    for path in material.run.iterdir():
        if path.name not in ("report.html", "scores.csv", "evaluation.json", "attention.png", "checkpoints"):
            (other / path.name).symlink_to(path)
    return evaluate(other)


def disks() -> list[Kind]:
    if not can_mount():
        return []
    commands = {
        "predict --json": (_predict, False), "predict --overlay": (_overlays, False), "localize": (_localize, False),
        "train": (_train, True), "features": (_features, False), "export": (_export, True),
        "evaluate": (_evaluate, True),
    }  # fmt: skip
    kinds = [Kind(DISKS, name, _disk, _full(command), slow=slow) for name, (command, slow) in commands.items()]
    return [*kinds, Kind(DISKS, "watch --out", _disk, _watch_full, slow=True, quick=True)]
