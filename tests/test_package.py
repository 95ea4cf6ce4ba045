"""What is installed and shown: the package's page, its extras, and the messages that name them."""

import dataclasses
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest
from commands import call
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from onlooker import __version__
from onlooker.cli.serve import serve
from onlooker.models.encoders import TERMS
from onlooker.serve.settings import ServeSettings
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
    assert {"export", "s3", "serve"} <= set(named)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [("s3://b/clips", r'pip install "onlooker\[s3\]"'), ("gs://b/clips", "that package with pip")],
)
def test_a_missing_file_system_is_named_with_its_extra(address: str, remedy: str) -> None:
    with pytest.raises(StorageError, match=remedy), _explained(address):
        raise ImportError("Install it")


def test_versions_are_stated_alike() -> None:
    """In the container, the workflow, the Makefile and the citation."""
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in ("Dockerfile", "Makefile", "CITATION.cff")
    }
    texts["workflow"] = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in texts["CITATION.cff"]
    assert (
        len({version for text in texts.values() for version in re.findall(r"\buv==([\d.]+)", text)})
        == 1
    )
    supported = {
        name.rpartition(" ")[2]
        for name in PROJECT["classifiers"]
        if name.startswith("Programming Language")
    }
    used = re.findall(r"python:(\d+\.\d+)-slim", texts["Dockerfile"])
    used += re.findall(r'python(?:-version)?: "([\d.]+)"', texts["workflow"])
    assert len(used) > 5
    assert set(used) <= supported


def test_the_container_has_what_it_copies_and_runs() -> None:
    """No container engine is needed: files, extras, port and options are those of the project."""
    text = (ROOT / "Dockerfile").read_text()
    compose = (ROOT / "compose.yaml").read_text()
    context = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        name for line in re.findall(r"^COPY (?!--)(.*)", text, re.M) for name in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(context)
    assert all((ROOT / name).exists() for name in copied)
    assert set(re.search(r'"\.\[(.*)\]"', text)[1].split(",")) <= set(
        PROJECT["optional-dependencies"]
    )
    assert not re.search("^USER (root|0)", text, re.M)
    command = json.loads(re.search(r"^CMD (\[.*\])", text, re.M)[1])
    fields = {field.name: field.default for field in dataclasses.fields(ServeSettings)}
    named = re.findall(
        r"--([\w-]+)", " ".join([*command, *re.findall(r"command: (\[serve.*\])", compose)])
    )
    assert {name.replace("-", "_") for name in named} <= {
        *fields,
        *inspect.signature(serve).parameters,
    }
    port = fields["port"]
    assert f"EXPOSE {port}\n" in text
    assert f"'127.0.0.1', {port}" in text
    assert f"127.0.0.1:{port}:{port}" in compose


def test_every_make_target_of_the_workflow_exists() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    targets = {
        word
        for line in re.findall(r"run: make (.*)", workflow)
        for word in line.split()
        if "=" not in word
    }
    assert {"audit", "dist", "sizes", "test", "test-wheel"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.parametrize(("encoder", "times"), [("small-free", 1), ("conv4", 0)])
def test_training_prints_the_terms_of_packaged_weights(
    squares: Path, tmp_path: Path, encoder: str, times: int
) -> None:
    output = call(
        "train",
        squares,
        "--run",
        tmp_path / "run",
        "--encoder",
        encoder,
        "--frames",
        4,
        "--size",
        16,
    ).output
    assert output.count(f"weights of the encoder {encoder}: ") == times
    assert output.count(TERMS["small-free"]) == times
