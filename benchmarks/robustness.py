"""What damaged files, hostile folders and faulty streams do to onlooker: the attack corpus, each
case in a process.

`python benchmarks/robustness.py --cases 23000` runs all of them; `--quick` some hundred; `--only
GROUP/KIND` those of one kind, and prints what came back. The cases are in tests/attacks.

One process imports the library and is forked for every case, so that a case costs milliseconds and
cannot disturb the next. From outside it is seen whether a case ends by a signal, waits for
something that never comes, or takes more memory than a case may take beyond the library itself (all
its processes together).
"""

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# before a fork
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)
os.environ.update(
    {"COLUMNS": "200", "TQDM_DISABLE": "1", "ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
)
sys.path.extend(
    str(Path(__file__).resolve().parents[1] / folder) for folder in ("tests", "tests/support")
)

import cv2
import harness
import torch
from attacks.case import VERDICTS, Case, Material, Verdict
from attacks.corpus import WHOLE, cases, find_cases, quick_cases
from attacks.material import make_material
from attacks.probes import PRINTED

from onlooker_papers.results import write_whole

NAME = "robustness"
WHAT = (
    "Damaged files, hostile folders and faulty streams: what crashed, hung, took too much memory, was silently wrong, "
    "was refused without a name, or was answered or named (crashed: also a command that lost its other answers)."
)
MIB = 1 << 20
_PAGE = resource.getpagesize()
_TICK = os.sysconf("SC_CLK_TCK")
_POLL = 0.02


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    Args:
        memory: bytes beyond the warm process, all processes of a case together.
        cpu: seconds of processor time.
        wall: seconds, on a machine that does nothing else several times more than any case needs.
    """

    memory: int = 1024 * MIB
    cpu: float = 15.0
    wall: float = 180.0


@dataclass
class Running:
    """A case in its process, and what it has taken so far."""

    case: Case
    pid: int
    scratch: Path
    base: int
    begin: float = field(default_factory=time.monotonic)
    peak: int = 0
    cpu: float = 0.0
    main: float = 0.0  # what its main thread has used of it
    busy: float = field(default_factory=time.monotonic)  # when that was last seen to run
    cpu_then: float = 0.0  # what all threads had used by then
    killed: Verdict | None = None

    def look(self, limits: Limits) -> None:
        """Measure it, and kill it where a limit is passed."""
        memory = 0
        cpu = 0.0
        main = 0.0
        runs = False
        now = time.monotonic()
        for pid in _family(self.pid):
            memory = memory + max(0, _resident(pid) - self.base)
            cpu = cpu + _cpu(f"{pid}")[0]
            # of the main thread: that of a progress bar never rests
            seconds, ready = _cpu(f"{pid}/task/{pid}")
            main = main + seconds
            runs = runs or ready
        self.peak = max(self.peak, memory)
        self.cpu = max(self.cpu, cpu)
        if runs or main != self.main or cpu - self.cpu_then > 0.08 * self.case.kind.patience:
            self.main = main
            self.busy = now
            self.cpu_then = cpu
        if memory > limits.memory:
            self._kill("memory")
        elif (
            self.cpu > limits.cpu
            or now - self.begin > limits.wall
            or now - self.busy > self.case.kind.patience
        ):
            self._kill("hung")

    def _kill(self, verdict: Verdict) -> None:
        self.killed = self.killed or verdict
        for pid in [*_family(self.pid)[::-1], self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@dataclass(frozen=True)
class Result:
    """What a case has come to: `peak` in bytes beyond the warm process, `seconds` of processor
    time.
    """

    case: Case
    verdict: Verdict
    detail: str
    peak: int
    seconds: float
    wall: float


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def _cpu(task: str) -> tuple[float, bool]:
    """Seconds of processor time of a process or thread, and whether it runs or could."""
    try:
        fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, False
    return (int(fields[11]) + int(fields[12])) / _TICK, fields[0] == "R"


def _peak() -> int:
    """The most memory this process has held, in bytes."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def start(case: Case, material: Material, folder: Path, *, number: int) -> Running:
    """Run a case in a separate process."""
    scratch = folder / f"case-{number}"
    scratch.mkdir()
    sys.stdout.flush()
    base = _resident(os.getpid())
    if (pid := os.fork()) == 0:
        _in_child(case, material, scratch)
    return Running(case, pid, scratch, base=base)


def _in_child(case: Case, material: Material, scratch: Path) -> None:
    status = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with this program
        output = os.open(scratch / PRINTED, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.enable()
        os.environ["ONLOOKER_CACHE"] = str(scratch / "cache")
        os.chdir(scratch)
        verdict, detail = case.run(material, scratch)
        answer = {"verdict": verdict, "detail": detail, "peak": _peak()}
        (scratch / "verdict.json").write_text(json.dumps(answer), "utf-8")
        sys.stdout.flush()
        status = 0
    finally:
        if status:
            import traceback

            traceback.print_exc()
        os._exit(status)


def finish(running: Running, status: int, limits: Limits) -> Result:
    """Judge a case that has ended, and remove its files."""
    wall = time.monotonic() - running.begin
    answer = running.scratch / "verdict.json"
    if running.killed:
        verdict = running.killed
        detail = f"killed after {wall:.1f} s, with {running.peak / MIB:.0f} MiB"
    elif status or not answer.exists():
        printed = (running.scratch / PRINTED).read_text("utf-8", errors="replace")
        if not status & 127:
            raise RuntimeError(
                f"{running.case.name}: the case itself has failed, not onlooker\n{printed}"
            )
        verdict = "crashed"
        detail = f"{signal.Signals(status & 127).name}: {' / '.join(printed.splitlines()[-2:])}"
    else:
        values = json.loads(answer.read_text("utf-8"))
        verdict = values["verdict"]
        detail = values["detail"]
        running.peak = max(running.peak, values["peak"] - running.base)
        if running.peak > limits.memory and verdict != "crashed":
            verdict = "memory"
            detail = f"{running.peak / MIB:.0f} MiB: {detail}"
    shutil.rmtree(running.scratch, ignore_errors=True)
    return Result(running.case, verdict, detail, peak=running.peak, seconds=running.cpu, wall=wall)


def run_cases(
    todo: Sequence[Case], material: Material, folder: Path, *, limits: Limits, jobs: int
) -> list[Result]:
    """All cases, several at the same time; one that hangs is run again, because a busy machine may
    have stopped it.
    """
    results: list[Result] = []
    running: dict[int, tuple[int, Running]] = {}
    again: set[int] = set()
    left = list(enumerate(todo))[::-1]
    while left or running:
        while left and len(running) < jobs:
            number, case = left.pop()
            started = start(case, material, folder, number=number)
            running[started.pid] = number, started
        time.sleep(_POLL)
        for pid, (number, each) in list(running.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                each.cpu = max(each.cpu, used.ru_utime + used.ru_stime)
                result = finish(each, status, limits)
                del running[pid]
                if result.verdict == "hung" and number not in again:
                    again.add(number)
                    left.insert(0, (number, each.case))
                    continue
                results.append(result)
                _progress(result, len(results), len(todo))
            else:
                each.look(limits)
    return results


def _progress(result: Result, done: int, total: int) -> None:
    if result.verdict != "named":
        detail = result.detail.encode("unicode_escape").decode()[:200]
        print(f"{result.verdict:8} {result.case.name}: {detail}", flush=True)
    if done % 500 == 0:
        print(f"{done} of {total} cases", flush=True)


@dataclass
class Table:
    """Counts by group and verdict, and the worst cases."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, group: str, verdict: Verdict) -> None:
        row = self.counts.setdefault(group, dict.fromkeys(("tried", *VERDICTS), 0))
        row["tried"] += 1
        row[verdict] += 1

    @property
    def total(self) -> dict[str, int]:
        rows = self.counts.values()
        return {name: sum(row[name] for row in rows) for name in ("tried", *VERDICTS)}


def figures_of(results: Sequence[Result], limits: Limits, seconds: float) -> dict[str, Any]:
    """Counts by class, and the worst cases."""
    table = Table()
    for result in results:
        table.add(result.case.kind.group, result.verdict)
    peak = max(results, key=lambda result: result.peak)
    slow = max(results, key=lambda result: result.seconds)
    return {
        "cases": len(results),
        "limits": {
            "mib": limits.memory // MIB,
            "processor_seconds": limits.cpu,
            "seconds": limits.wall,
        },
        "seconds": round(seconds),
        "most_memory": {"case": peak.case.name, "mib": round(peak.peak / MIB)},
        "most_seconds": {"case": slow.case.name, "seconds": round(slow.seconds, 1)},
        "all": table.total,
        "classes": table.counts,
    }


def _commit() -> str:
    """The last change of the library."""
    words = ["git", "-C", str(harness.ROOT), "log", "-1", "--format=%h", "--", "src"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def warm() -> None:
    """Import everything that a case uses, so that no case does."""
    for name in ("matplotlib.pyplot", "onlooker.run.features"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")
    gc.freeze()  # what is imported stays shared


def made(folder: Path) -> Material:
    """The material, made by another process: this one must have no threads when it is forked."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            os.environ["ONLOOKER_CACHE"] = str(folder / "cache")
            make_material(folder)
            status = 0
        finally:
            if status:
                import traceback

                traceback.print_exc()
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("what the attacks are made from could not be made; see above")
    return Material(folder)


def write(folder: Path, part: str, figures: dict[str, Any], *, seed: int) -> Path:
    """Add figures to the results file, which keeps those of the other part."""
    path = folder / f"{NAME}.json"
    known = json.loads(path.read_text("utf-8"))["figures"] if path.exists() else {}
    figures = {
        name: value
        for name, value in {**known, part: figures}.items()
        if name in ("before", "after")
    }
    command = " ".join(["python", "benchmarks/robustness.py", *sys.argv[1:]])
    return write_whole(
        folder,
        NAME,
        what=WHAT,
        command=command,
        figures=dict(sorted(figures.items(), reverse=True)),
        seeds=[seed],
    )


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--cases", type=int, default=WHOLE)
    arguments.add_argument(
        "--quick", action="store_true", help="one case of each quick kind; nothing is written"
    )
    arguments.add_argument(
        "--only", default="", help="GROUP/KIND[/NUMBER], or how it begins; nothing is written"
    )
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument(
        "--memory", type=int, default=Limits.memory // MIB, help="MiB that a case may take"
    )
    arguments.add_argument(
        "--before", action="store_true", help="store the figures as those before the fixes"
    )
    arguments.add_argument("--results", type=Path, default=harness.RESULTS)
    arguments.add_argument("--json", type=Path, help="write every verdict to this file")
    options = arguments.parse_args()
    limits = Limits(options.memory * MIB)
    begin = time.monotonic()
    commit = _commit()
    if options.only:
        todo = find_cases(options.only, options.seed)
    else:
        quick = options.quick or options.smoke
        todo = quick_cases(options.seed) if quick else cases(options.cases, options.seed)
    if options.smoke:  # of each group
        todo = [*{case.kind.group: case for case in todo}.values()]
    warm()
    with tempfile.TemporaryDirectory(prefix="onlooker-", ignore_cleanup_errors=True) as name:
        material = Path(name, "material")
        material.mkdir()
        results = run_cases(todo, made(material), Path(name), limits=limits, jobs=options.jobs)
    if options.only:
        for result in results:
            print(
                f"{result.case.name}: {result.verdict}, {result.peak / MIB:.0f} MiB, {result.seconds:.2f} s"
            )
            print("   ", result.detail.encode("unicode_escape").decode())
    figures = {"commit": commit, **figures_of(results, limits, time.monotonic() - begin)}
    columns = ["class", "tried", *VERDICTS]
    rows = [
        [group, *row.values()]
        for group, row in {**figures["classes"], "all": figures["all"]}.items()
    ]
    harness.show("Attacks", columns, rows)
    print(f"most memory: {figures['most_memory']}; most processor time: {figures['most_seconds']}")
    if options.json:
        values = [[r.case.name, r.verdict, r.detail, r.peak, r.seconds, r.wall] for r in results]
        options.json.write_text(json.dumps(values, indent=1), "utf-8")
    if not (options.quick or options.smoke or options.only):
        print(
            write(
                options.results, "before" if options.before else "after", figures, seed=options.seed
            )
        )
    sys.exit(any(result.verdict != "named" for result in results))


if __name__ == "__main__":
    main()
