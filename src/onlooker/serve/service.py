"""The objects that all parts of a server share."""

from dataclasses import dataclass
from pathlib import Path

from onlooker.serve.jobs import Jobs
from onlooker.serve.look import Looks
from onlooker.serve.models import Models
from onlooker.serve.settings import ServeSettings

__all__ = ["Service"]


@dataclass(frozen=True, eq=False)
class Service:
    """The parts of a server.

    Args:
        folder: temporary files of this server, deleted when it ends.
    """

    settings: ServeSettings
    folder: Path
    jobs: Jobs
    models: Models
    looks: Looks
