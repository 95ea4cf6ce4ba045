"""Looking at a clip: what a model answers at every moment of it, for the page."""

from pathlib import Path

__all__ = ["Looks"]


class Looks:
    """The clips that were looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
