"""What Lightning and TensorBoard would say beside a training, and nobody needs."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from onlooker.files import is_disk_full


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's banners and its advice on workers and log intervals; a full disk is told once."""
    logger = logging.getLogger("lightning.pytorch")
    level, told = logger.level, threading.excepthook

    def tell(found: threading.ExceptHookArgs) -> None:
        # TensorBoard's thread hands its error on to the next who writes: that one tells it.
        if found.exc_value is None or not is_disk_full(found.exc_value):
            told(found)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        logger.setLevel(logging.ERROR)
        threading.excepthook = tell
        try:
            yield
        finally:
            logger.setLevel(level)
            threading.excepthook = told
