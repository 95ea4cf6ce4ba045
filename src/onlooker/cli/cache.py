"""`onlooker cache`: show or clear the cache on disk."""

import shutil
from typing import Annotated

import typer

from onlooker.cli.command import command

group = typer.Typer()


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove everything; it is computed or downloaded again when needed.")
    ] = False,
) -> None:
    """Show or clear the cache of decoded frames and optical flow, and the copies of what is at addresses.

    ONLOOKER_CACHE_LIMIT limits its size (20GB; none: no limit): the least recently used arrays go first.
    """
    from onlooker.data.array_cache import ArrayCache
    from onlooker.files import format_bytes
    from onlooker.storage import READ, WRITTEN, copies_folder

    stored = ArrayCache.for_user()
    if clear:
        stored.clear()
        shutil.rmtree(copies_folder() / READ, ignore_errors=True)
    stored.prune()
    sizes = stored.entries().values()
    allowed = "no limit" if stored.limit is None else f"limit {format_bytes(stored.limit)}"
    typer.echo(f"{stored.folder}: {format_bytes(sum(sizes))} in {len(sizes)} arrays, {allowed}")
    for kind, content in {READ: "copies of files at addresses", WRITTEN: "not uploaded to addresses"}.items():
        if files := [path for path in (copies_folder() / kind).rglob("*") if path.is_file()]:
            size = format_bytes(sum(path.stat().st_size for path in files))
            typer.echo(f"{copies_folder() / kind}: {size}, {content}")


command(cache, group, "Models and data")
