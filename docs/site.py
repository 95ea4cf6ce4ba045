"""Hooks of mkdocs: pages from outside of docs/, a reference of every public name, and links that
fit the site.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Files of the project that are pages of the site, by their names there.
PAGES = {
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "papers.md": "papers/README.md",
    "results.md": "results/README.md",
    "answered.md": "results/answered.md",
    "goals.md": "results/goals.md",
}
LINK = re.compile(r"(\]\(|^\[[^\]]+\]: |src=\")(?!https?:|#|mailto:)([^)\s\"#]+)", re.MULTILINE)
_WIDE = "---\nhide: [toc]\n---\n\n"  # begins a page whose tables need the room
ICON = "src/onlooker/serve/static/icon.svg"


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Add the pages of the reference to the navigation, and a link to the repository at
    `ONLOOKER_SOURCE`.
    """
    config.repo_url = os.environ.get("ONLOOKER_SOURCE") or None
    for number, entry in enumerate(config.nav):
        if entry == {"Reference": []}:
            modules = [{title: name} for name, (title, _) in reference().items()]
            config.nav[number] = {"Reference": modules}
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages and, for links to them, the results files."""
    from mkdocs.structure.files import File

    for name, source in PAGES.items():
        wide = _WIDE if name in ("results.md", "papers.md") else ""
        text = wide + (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, name, content=text))
    for name, (_, text) in reference().items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "icon.svg", abs_src_path=str(ROOT / ICON)))
    for path in (*ROOT.glob("results/*.json"), *ROOT.glob("examples/**/*"), ROOT / "LICENSE"):
        if path.is_file():
            files.append(
                File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
            )
    files.remove(next(file for file in files if file.src_uri == "site.py"))
    return files


def on_page_markdown(markdown: str, *, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Links between files of the project to links between pages of the site; commands without a
    prompt, which would be copied with them.
    """
    here = (ROOT / PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")).parent
    names = {(ROOT / source).resolve(): name for name, source in PAGES.items()}
    names[ROOT / "README.md"] = "index.md"

    def moved(match: re.Match[str]) -> str:
        target = (here / match[2]).resolve()
        if target in names:
            return match[1] + names[target]
        if target.is_relative_to(ROOT / "docs"):
            return match[1] + target.relative_to(ROOT / "docs").as_posix()
        return match[1] + target.relative_to(ROOT).as_posix()

    markdown = re.sub(r"<!-- .*? -->\n?", "", markdown).replace("```console", "```bash")
    return LINK.sub(moved, re.sub(r"^\$ ", "", markdown, flags=re.MULTILINE))


def reference() -> dict[str, tuple[str, str]]:
    """The docstrings of all public names: a page for those that `onlooker` exports, and one for
    each module with further ones; by file name, title and text.
    """
    names = sorted(exported().items(), key=lambda item: item[0][0].isupper())  # functions first
    top = [f"onlooker.{module}.{name}" for name, module in names]
    modules = {"onlooker": top}
    for module, public_names in public():
        paths = [f"{module}.{name}" for name in public_names]
        if left := [path for path in paths if path not in top]:
            modules[module] = left
    pages = {}
    for module, paths in modules.items():
        title = module.removeprefix("onlooker.")
        text = "\n\n".join([f"# {module}", *(f"::: {path}" for path in paths)])
        pages[f"reference/{title}.md"] = (title, text + "\n")
    return pages


def exported() -> dict[str, str]:
    """The names that `onlooker` exports, and their modules, as its `__init__` lists them."""
    tree = ast.parse((ROOT / "src/onlooker/__init__.py").read_text("utf-8"))
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    )
    return dict(ast.literal_eval(table))


def public() -> Iterator[tuple[str, list[str]]]:
    """The modules of the library with an `__all__`, and the names in it."""
    for path in sorted((ROOT / "src/onlooker").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text("utf-8")).body:
            if (
                module != "onlooker"
                and isinstance(node, ast.Assign)
                and getattr(node.targets[0], "id", "") == "__all__"
            ):
                yield module, ast.literal_eval(node.value)
