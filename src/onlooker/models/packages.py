"""Models and encoders of other packages, which these declare as entry points (`register_model`)."""

from functools import cache
from importlib.metadata import entry_points


@cache
def load_packages() -> None:
    """Call the entry points `onlooker.models` of installed packages."""
    for entry_point in entry_points(group="onlooker.models"):
        entry_point.load()()
