"""What the package's page shows: addresses of the project, and a README whose links and pictures
work there.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from hatchling.metadata.plugin.interface import MetadataHookInterface

IMAGE = r"(?:png|jpg|gif|svg)"


class ProjectAddresses(MetadataHookInterface):
    """The addresses of `[tool.hatch.metadata.hooks.custom]`, or of the variable `ONLOOKER_SOURCE`
    and so on; empty ones are left out.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add `urls` and `readme`."""
        given = {
            name: os.environ.get(f"ONLOOKER_{name.upper()}", "") or value
            for name, value in self.config.items()
        }
        metadata["urls"] = {name: address for name, address in given.items() if address}
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": shown_alone(text, given["source"]),
        }


def shown_alone(text: str, source: str) -> str:
    """A README whose relative links lead to the repository at `source`; as it is if that is empty."""
    if not source:
        return text

    def absolute(match: re.Match[str]) -> str:
        before, link = match.groups()
        kind = "raw" if re.search(rf"\.{IMAGE}$", link) else "blob"
        return before + urljoin(f"{source.rstrip('/')}/{kind}/HEAD/", link)

    return re.sub(r"""(\]\(|src=")(?!\w+:|#)([^)"]+)""", absolute, text)
