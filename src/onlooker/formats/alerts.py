"""Which events are sent: of which classes, when, and how often."""

from collections.abc import Sequence

from onlooker.base.config import StreamConfig, names_of
from onlooker.base.records import Event
from onlooker.base.settings import suggestion


class AlertRules:
    """Decides on each event when it begins; its end or its withdrawal follows if its begin was sent.

    Args:
        classes: all classes of events; (): they are unknown, and any may be named.

    Raises:
        ValueError: `config.alert_classes` has a name that is no class.
    """

    def __init__(self, config: StreamConfig, classes: Sequence[str] = ()) -> None:
        self._config = config
        self._classes = names_of(config.alert_classes)
        # start and id of the last one that was sent
        self._last = dict[tuple[str | None, str], tuple[float, str]]()
        self._begun = set[str]()  # ids of events that go on, and whose begin was sent
        for name in self._classes:
            if classes and name not in classes:
                raise ValueError(
                    f"alert_classes has {name!r}, which is no class of events; {suggestion(name, classes)}"
                )

    def allow(self, event: Event) -> bool:
        """Whether to send an event; each is asked for once, in order."""
        series = event.source, event.label
        if event.phase in ("end", "withdrawn"):
            was_sent = event.id in self._begun
            self._begun.discard(event.id)
            last = self._last.get(series)
            if event.phase == "withdrawn" and last is not None and last[1] == event.id:
                del self._last[series]  # nothing has happened: the next one is no repetition
            return was_sent
        local = event.at.astimezone()
        last = self._last.get(series)
        if (
            (self._classes and event.label not in self._classes)
            or self._config.is_quiet(60 * local.hour + local.minute)
            or (last is not None and 0 <= event.start - last[0] < self._config.alert_pause)
        ):
            return False
        self._last[series] = event.start, event.id
        if event.phase == "begin":
            self._begun.add(event.id)
        return True
