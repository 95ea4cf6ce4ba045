"""Projects of the page, for tests: clips that are text files, and what is in each class."""

import os

from onlooker.serve.project import Project

Tree = dict[str, dict[str, str]]


def add(
    project: Project,
    label: str,
    content: str,
    name: str = "clip.mp4",
    *,
    batch: str = "",
    cut_from: str = "",
) -> str:
    file = project.incoming() / os.urandom(8).hex()
    file.write_text(content)
    return project.add_clip(label, file, name, batch=batch, cut_from=cut_from).id


def tree(project: Project) -> Tree:
    """What is in each class: contents by id."""
    project.refresh()
    return {
        name: {clip.id: clip.path.read_text() for clip in project.clips(name)}
        for name in project.counts()
    }


def clips_of(project: Project) -> dict[str, str]:
    return {clip: text for of in tree(project).values() for clip, text in of.items()}


def put(project: Project, *names: str) -> None:
    """As another program does; the content of each file is its name."""
    for name in names:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name, errors="surrogateescape")


def restarted(project: Project) -> Project:
    project.close()
    return Project(project.folder)
