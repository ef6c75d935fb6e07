"""The command about compiled code on disk. Floor 13."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tapegrad.cli.app import Json, app


@app.command()
def cache(
    *,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what is kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compiled code on disk: where it is kept, how much, or why there is none.

    Example: [bold]tapegrad cache --clear[/]
    """
    from tapegrad.native.cache import MOST, opened

    store, where = opened()
    removed = store.clear() if store and clear else 0
    sizes = [found.st_size for _, found in store.files()] if store else []
    if as_json:
        figures = {"folder": where if store else None, "files": len(sizes)}
        more = {"bytes": sum(sizes), "most": MOST, "removed": removed}
        typer.echo(json.dumps({**figures, **more, "off": None if store else where}))
        return
    typer.echo(where)
    if store:
        text = f"{len(sizes)} files, {sum(sizes) / 2**20:.1f} of {MOST >> 20} MiB"
        typer.echo(f"{text}; {removed} removed" if clear else text)
