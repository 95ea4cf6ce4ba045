"""Results say what was measured, how, when and on what, and nothing that names the place."""

import json
import re
from pathlib import Path

from onlooker import __version__
from onlooker_papers.measurement import machine, write_results


def test_results_have_the_fields_that_tables_read(tmp_path: Path) -> None:
    path = write_results(
        tmp_path / "new" / "bench.json", "a ratio", "python bench.py", {"ratio": 2.5}, [3], ["nothing"]
    )
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert list(stored) == ["what", "command", "date", "machine", "seeds", "figures"]
    assert (stored["what"], stored["command"], stored["seeds"]) == ("a ratio", "python bench.py", [3])
    assert stored["figures"] == {"ratio": 2.5}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["date"])
    assert stored["machine"]["versions"]["nothing"] == "not installed"


def test_the_machine_is_described_but_not_named() -> None:
    described = machine()
    assert described["cores"] >= 1
    assert described["versions"]["onlooker"] == __version__
    assert str(Path.home()) not in json.dumps(described)
