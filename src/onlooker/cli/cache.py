"""`onlooker cache`: show, limit or clear the cache on disk."""

from typing import Annotated

import typer

from onlooker.cli.command import command

group = typer.Typer()


def cache(
    limit: Annotated[
        str, typer.Option(help="Store a size limit, such as 50GB or none; the least recently used arrays go first.")
    ] = "",
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove everything; it is computed or downloaded again when needed.")
    ] = False,
) -> None:
    """Show, limit or clear the cache of decoded frames and optical flow, and the copies of what is at addresses."""
    from onlooker.data.array_cache import ArrayCache
    from onlooker.files import format_bytes
    from onlooker.storage import address_of, clear_mirrors, mirrors

    stored = ArrayCache.for_user()
    if limit:
        stored.store_limit(limit)
    if clear:
        stored.clear()
        for folder in clear_mirrors():
            typer.echo(f"{folder}: kept, because a command uses it, or not all of its files are uploaded")
    stored.prune()
    sizes = stored.entries().values()
    allowed = "no limit" if stored.limit is None else f"limit {format_bytes(stored.limit)}"
    typer.echo(f"{stored.folder}: {format_bytes(sum(sizes))} in {len(sizes)} arrays, {allowed}")
    for folder, size in mirrors().items():
        address = next(filter(None, map(address_of, folder.glob("[!.]*"))), "an address")
        typer.echo(f"{folder}: {format_bytes(size)}, copy of {address}")


command(cache, group, "Models and data")
