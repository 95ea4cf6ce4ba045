"""The texts of the page in the language of its user, from texts/*.json: the browser has them, too (`t` in dom.js)."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["t", "texts"]

_LANGUAGE = "en"


@cache
def texts() -> dict[str, Any]:
    """All texts, by their nested keys."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "texts" / f"{_LANGUAGE}.json").read_text("utf-8"))
    return loaded


def t(key: str, **values: object) -> str:
    """The text of a key such as `hint.no_nothing`, with {names} replaced; `one` or `other` by the value `count`.

    Raises:
        KeyError: there is no such text, or it needs another value.
    """
    text: Any = texts()
    for part in key.split("."):
        text = text[part]
    if isinstance(text, dict):
        text = text["one" if values["count"] == 1 else "other"]
    return re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), text)
