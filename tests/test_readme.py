"""The README, the docs and the examples are run: commands on a small folder of clips, Python
blocks, links, make targets; the site has all pages.
"""

import importlib.util
import json
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from clips import make_clip, scene
from command_syntax import find_problem
from eventful import eventful
from typer.testing import CliRunner

import onlooker
from onlooker.base.alarm_curve import AlarmCurve
from onlooker.cli import app
from onlooker.data import stick_figures
from onlooker.models import registry
from onlooker.models.encoders import ENCODERS, load_packages
from onlooker.run import evaluate
from onlooker.training import eyes
from onlooker.training.fitters import FITTERS
from onlooker.video.write import write

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LISTS = [ROOT / "papers" / "README.md", ROOT / "results" / "README.md"]
# A line that begins with one of our programs.
COMMAND = (
    r"(?:\$ )?(?:[A-Z_]+=\S+ )*"
    r"(?:onlooker(?! at \d)|make|torchrun|pytest|python(?= -m| \w+/))(?: (?=\S)|$)"
)
# Pages whose commands are run also where a block does not show what they print.
FIRST_STEPS = ("README", "getting-started", "tutorial-")
# Commands that are not run, and why not. All are parsed.
NOT_RUN = {
    r"make (TORCH=cpu )?demo$": "tests/test_cli.py runs `onlooker demo`",
    r"make test$": "it runs this test",
    r"pip install ": "it changes the environment; tests/test_package.py compares the extras",
    r"onlooker reproduce ": "minutes to days; each paper has its own test",
    r"python -m onlooker_papers\.": "hours; papers/tests runs them on a few generated clips",
    r"python examples/live_without_pytorch\.py ": "tests/test_export.py runs it without PyTorch",
    r"(\S+ )?torchrun ": "two machines or processes; tests/training/test_torchrun.py starts them",
}
# What a command says whose optional package is not installed here.
MISSING = r"[\w-]+ is not installed; pip install \"onlooker\[.*"
# Training commands run as written, but for a moment only; of recordings, small frames are drawn,
# and half as many.
BRIEF = "--frames 4 --size 32"
FIGURE_SIZE = (72, 96)
FIGURE_RATE = 4
BY_GRADIENT = "--epochs 1 --batch 4"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = "\n".join(blocks(page, "console")).splitlines()
    return [
        line.removeprefix("$ ").split("  #")[0].strip()
        for line in lines
        if line.startswith("$ ")
    ]


def in_blocks(page: Path) -> list[str]:
    """The commands of a page's blocks, also of those that show nothing that is printed."""
    text = re.sub(r"\\\n *", "", page.read_text(encoding="utf-8"))
    lines = "\n".join(
        re.findall(r"```(?:console|bash)?\n(.*?)```", text, re.DOTALL)
    ).splitlines()
    return [
        line.removeprefix("$ ").split("  #")[0].strip()
        for line in lines
        if re.match(COMMAND, line)
    ]


def typed(page: Path) -> list[str]:
    """The commands that a reader of a page types, in their order."""
    return in_blocks(page) if page.stem.startswith(FIRST_STEPS) else commands(page)


def reason_not_to_run(command: str) -> str:
    """The reason in NOT_RUN; "" for a command that is run."""
    return next((why for start, why in NOT_RUN.items() if re.match(start, command)), "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the docs mention: two classes in `clips/`, `new-clips/`, `clip.mp4`,
    `street.mp4`, three days with times.
    """
    folder = tmp_path_factory.mktemp("reader")
    for number in range(12):
        # no scene is that of another clip, with which the model would be tested once more
        frames = scene(10 + number, 6 + number // 2, side=48, mover=10)
        label = ("jump", "wave")[number % 2]
        write(folder / "clips" / label / f"{number // 2}.mp4", frames, fps=10)
    make_clip(folder / "clip.mp4", frames=6)
    (folder / "new-clips").mkdir()
    make_clip(folder / "new-clips" / "1.mp4", frames=7)
    make_clip(folder / "street.mp4", frames=60)
    rows = ["path,start,end,label"]
    for number, day in enumerate(("monday", "tuesday", "wednesday")):
        frames = scene(number, 90, side=48, mover=10)  # no copies of each other
        write(folder / f"{day}.mp4", frames, fps=10)
        rows += [
            f"{day}.mp4,{start},{start + 1},{('jump', 'wave')[start % 2]}"
            for start in (1, 4, 6)
        ]
    (folder / "times.csv").write_text("\n".join(rows[:7]))
    (folder / "wednesday.csv").write_text("\n".join([rows[0], *rows[7:]]))
    return folder


def run(command: str, place: Path) -> str | None:
    """Run a command of onlooker; the message of one whose optional package is not installed. A
    training that another page has as well is not made again, nor is the web page started again.
    """
    words = shlex.split(command)
    assert words[0] == "onlooker", f"{command}: run it, or say in NOT_RUN why it is not run"
    trained = Path(words[words.index("--run") + 1]) if words[1] == "train" else None
    names = (word.replace("/", "-") for word in words if word != str(trained))
    known = place / "known" / "-".join(names)
    if words[1] == "serve":
        if not known.exists():
            serve(words[1:], place)
            known.mkdir(parents=True)
        assert all(Path(word).exists() for word in words[2:] if word.startswith("runs/"))
        return None
    if trained and known.exists():
        shutil.copytree(known, trained)
        return None
    if words[1] in ("train", "compare") and "--resume" not in words:
        # whose frames are those of `features`
        words += shlex.split(BRIEF) if "--features" not in words else []
        if words[1] == "compare" or ("--model" in words and "linear" not in words):
            words += shlex.split(BY_GRADIENT)
        if words[1] == "compare":
            words += ["--seeds", "1", "--folds", "0"]
    done = CliRunner().invoke(app, words[1:])
    if missing := re.search(MISSING, done.output):
        return missing[0]
    assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception!r}"
    if trained:
        shutil.copytree(trained, known, dirs_exist_ok=True)
    return None


def serve(words: list[str], place: Path) -> None:
    """Start the page, read it, and stop it."""
    command = [
        sys.executable,
        "-c",
        "from onlooker.cli import main; main()",
        *words,
        "--no-browser",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(address, timeout=180) as page:
                assert b"onlooker" in page.read()
        finally:
            server.terminate()
        assert server.wait(180) in (143, 1)  # 128 + SIGTERM; of Windows


load_packages()  # once in a process: before a page registers what is removed after it


SLOW_PAGES = {
    "tutorial-recordings.md"
}  # its commands also are those of tests/run/test_states.py


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (page.name in SLOW_PAGES), id=page.name)
        for page in PAGES
        if typed(page) or blocks(page, "python")
    ],
)
@patch.dict(ENCODERS)  # what a page registers is known to no other test
@patch.dict(FITTERS)
@patch.dict(registry._registered)
def test_commands_and_python_run(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each page begins in a new folder, as its reader does.
    shutil.rmtree(place / "runs", ignore_errors=True)
    monkeypatch.setenv("ONLOOKER_CACHE", str(place / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(evaluate, "_REPORT_CLIPS", 2)  # drawn clips of a report
    monkeypatch.setattr(eyes, "FOLDS", 2)  # that test a model, each with a choice of its own
    monkeypatch.setattr(eyes, "INNER_FOLDS", 2)
    monkeypatch.setattr(stick_figures.StickFigures, "size", FIGURE_SIZE)
    drawn = partial(stick_figures.write_recordings, fps=FIGURE_RATE)
    monkeypatch.setattr(stick_figures, "write_recordings", drawn)
    monkeypatch.chdir(place)
    missing = [run(command, place) for command in typed(page) if not reason_not_to_run(command)]
    for block in blocks(page, "python"):
        try:
            exec(compile(block, f"{page.name}", "exec"), {})
        except RuntimeError as error:
            if not re.search(MISSING, str(error)):
                raise
            missing.append(str(error))
    if any(missing):
        pytest.skip(f"all that can run has run: {', '.join(filter(None, missing))}")


def test_the_example_of_live_video_may_end_during_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recognizer = eventful(frame_rate=10.0)
    recognizer.save(Path("runs/mine"))
    clip = make_clip(Path("clip.mp4"), frames=47)
    assert [*recognizer.watch(clip)][-1].pixels is None
    first, *_ = blocks(ROOT / "docs" / "live.md", "python")
    exec(first, {})
    assert Path("recorded.mp4").exists()


def in_sentences(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [
        code.replace("\n", " ")
        for code in re.findall(r"`([^`]+)`(?! \(last in commit)", text)
        if re.match(COMMAND, code)
    ]


@pytest.mark.parametrize("page", [*PAGES, *LISTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    problems = [find_problem(line) for line in in_blocks(page)]
    # A sentence may name a command without its arguments.
    problems += [find_problem(code, partial=True) for code in in_sentences(page)]
    assert [*filter(None, problems)] == []


def test_every_command_of_the_makefile_exists() -> None:
    recipes = re.findall(
        r"\$\(\w+\)(?:/bin)?/((?:onlooker|python(?= -m| \w+/)|pytest) [^$\\\n]+)",
        (ROOT / "Makefile").read_text("utf-8"),
    )
    assert len(recipes) > 10
    assert [problem for recipe in recipes if (problem := find_problem(recipe))] == []


def test_every_command_that_is_not_run_is_in_a_document() -> None:
    skipped = [
        command for page in PAGES for command in typed(page) if reason_not_to_run(command)
    ]
    for start in NOT_RUN:
        assert any(re.match(start, command) for command in skipped), start


def test_every_command_of_results_exists() -> None:
    commands = {
        path.parent.name: json.loads(path.read_text("utf-8"))["command"]
        for path in (ROOT / "results" / "cells").glob("*/about.json")
    }
    assert len(commands) > 20
    problems = {
        name: find_problem(command)
        for name, command in commands.items()
        # `saccade` is the former name of onlooker; and what was deleted names its last commit.
        if not re.match(r"saccade |.* \(last in commit \w+\)$", command)
    }
    assert {name: problem for name, problem in problems.items() if problem} == {}


def test_answered_questions_name_options_that_exist_or_the_last_commit_with_them() -> None:
    text = (ROOT / "results" / "answered.md").read_text("utf-8")
    commands = re.findall(rf"`({COMMAND}[^`]*)`(?! \(last in commit \w+\))", text)
    assert len(commands) > 20
    problems = [find_problem(command) for command in commands]
    deleted = re.compile(r"no (file|module) |No such command ")
    assert [p for p in problems if p and not deleted.match(p)] == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("onlooker train clips --run runs/mine --epochs N", ""),
        ("onlooker trian clips", "No such command"),
        ("onlooker train clips --runs mine", "No such option: --runs"),
        ("onlooker train clips --epochs many", "--epochs"),
        ("onlooker predict runs/mine", "Missing argument"),
        ("onlooker reproduce digits --quik", "No such option: --quik"),
        ("make test SETS=basketball", ""),
        ("make tests", "no target {'tests'}"),
        ("python benchmarks/bench_import.py --repetitions 5", ""),
        ("python benchmarks/bench_import.py --repeat 5", "unrecognized arguments: --repeat 5"),
        ("python benchmarks/bench_imports.py", "no file benchmarks/bench_imports.py"),
        ("python tests/support/network_guard.py --results results", ""),
        ("python tests/support/network_guard.py --result results", "no option ['--result']"),
        ("python -m onlooker_papers.sources NAME", ""),
        ("python -m onlooker_papers.sources --stored", "No such option: --stored"),
        ("python -m onlooker_papers.mnist", "onlooker_papers.mnist cannot be run"),
        ("python -m onlooker_papers.digits.nothing", "no module"),
        ("X=1 torchrun --nnodes 2 -m -- onlooker train clips --modl lstm", "No such option"),
        ("cd build && onlooker check clips; onlooker chek clips", "No such command"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, problem: str) -> None:
    found = find_problem(command)
    assert problem in found
    assert bool(problem) == bool(found)


def test_contributing_names_paths_that_exist() -> None:
    """Modules are named from the folder of their package, as in `data/clips.py`."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = set(re.findall(r"(?<![\w./…])[\w./-]+(?:\.py\b|/(?=`))", text))
    assert len(paths) > 40
    folders = [ROOT, ROOT / "src" / "onlooker"]
    assert [
        path for path in paths if not any((folder / path).exists() for folder in folders)
    ] == []


def test_link_targets_exist() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (
                f"{page.name} links to {link}, which is not there"
            )


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 80


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_public_name_once(site):
    text = "\n".join(text for _, text in site.reference().values())
    named = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    assert len(named) == len(set(named)) > 100
    assert {name.rpartition(".")[2] for name in named} >= {*onlooker.__all__} - {"__version__"}
    listed = {
        module.name: getattr(importlib.import_module(module.name), "__all__", ())
        for module in pkgutil.walk_packages(onlooker.__path__, "onlooker.")
    }
    inner = {f"{module}.{name}" for module, names in listed.items() for name in names}
    exported = {f"onlooker.{module}.{name}" for name, module in onlooker._MODULE_OF.items()}
    assert {*named} == inner | exported


def test_every_page_is_in_the_navigation(site):
    pages = re.findall(
        r"- (?:Home: )?([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
    made = {*site.PAGES}
    assert {*pages} == {path.name for path in (ROOT / "docs").glob("*.md")} | made


def test_links_between_files_become_links_between_pages(site):
    class Page:
        class file:  # noqa: N801 - an attribute
            src_uri = "contributing.md"

    text = "[a](docs/live.md#sources) [b](results/README.md) [c](https://a.example) ![d](docs/demo.png)\n[e]: LICENSE"
    expected = "[a](live.md#sources) [b](results.md) [c](https://a.example) ![d](demo.png)\n[e]: LICENSE"
    assert site.on_page_markdown(text, page=Page, config=None, files=None) == expected
    block = "```{}\n{}onlooker demo  # costs $ 0\n```"
    shown = site.on_page_markdown(
        block.format("console", "$ "), page=Page, config=None, files=None
    )
    assert shown == block.format("bash", ""), "a copied command can be pasted"


COUNTER = ROOT / "examples" / "count_repetitions.py"


def test_the_counter_reads_a_clip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    curve = AlarmCurve([0.0, 2.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0], 0.0, 1.0, [])
    recognizer = eventful(("open", "closed"), curve=curve)
    run = recognizer.save(tmp_path / "run")
    clip = make_clip(tmp_path / "clip.mp4", frames=30)
    ends = [
        event.end
        for step in recognizer.watch(clip)
        for event in step.events
        if event.label == "closed"
    ]
    assert len(ends) > 1
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    expected = [[f"{end:.2f}", "s", str(number)] for number, end in enumerate(ends, 1)]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == expected
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed", "2"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    assert capsys.readouterr().out == "", "fewer false alarms are accepted"


def test_the_stored_notebook_is_small_and_has_all_outputs() -> None:
    text = (ROOT / "examples" / "where-and-when.ipynb").read_text("utf-8")
    assert len(text) < 1_000_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, 1 + len(cells)))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    assert (
        sum(
            bool({"image/png", "image/jpeg"} & set(output.get("data", {})))
            for output in outputs
        )
        == 3
    )
    assert all(output.get("name") != "stderr" for output in outputs)
    assert "/home/" not in text
    assert "/tmp/" not in text
