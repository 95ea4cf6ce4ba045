"""What is installed and shown: the package's page, its extras, and the messages that name them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from onlooker.storage import StorageError, _explained

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINK = re.compile(r"""(?:\]\(|src=")([^)"]+)""")


def metadata() -> ProjectMetadata:
    return ProjectMetadata(str(ROOT), PluginManager())


def test_addresses_that_are_not_given_are_left_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    given = settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]
    core = metadata().core
    assert core.urls == {name: address for name, address in given.items() if address}
    assert given["source"] or core.readme == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_works_where_it_is_shown_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_SOURCE", source := "https://forge.example.org/team/onlooker")
    monkeypatch.setenv("ONLOOKER_ISSUES", f"{source}/issues")
    core = metadata().core
    assert core.urls == {"source": source, "issues": f"{source}/issues"}
    links = LINK.findall(core.readme)
    assert len(links) > 20
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(source):
            kind, path = re.fullmatch(rf"{source}/(raw|blob)/HEAD/([^#]+).*", link).groups()
            assert (ROOT / path).is_file(), link
            assert (kind == "raw") == path.endswith(".png"), link


def test_all_extras_are_in_all() -> None:
    extras = PROJECT["optional-dependencies"]
    (named,) = re.findall(r"\[(.*)\]", extras["all"][0])
    assert named.split(",") == sorted(set(extras) - {"all", "dev"})


def test_every_extra_that_a_message_names_exists() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = re.findall(r'pip install "onlooker\[(\w+)\]"', text)
    assert set(named) <= set(PROJECT["optional-dependencies"])
    assert {"export", "s3", "serve", "video"} <= set(named)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [("s3://b/clips", r'pip install "onlooker\[s3\]"'), ("gs://b/clips", "that package with pip")],
)
def test_a_missing_file_system_is_named_with_its_extra(address: str, remedy: str) -> None:
    with pytest.raises(StorageError, match=remedy), _explained(address):
        raise ImportError("Install it")


def test_the_papers_are_named_where_they_are_not_installed() -> None:
    program = (
        "import importlib.metadata as m; m.entry_points = lambda **_: (); "
        "import sys; sys.argv = ['onlooker', 'reproduce', 'digits', '--quick']; from onlooker.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "digits, videolstm and hmdb10 are in the package onlooker-papers" in done.stderr
