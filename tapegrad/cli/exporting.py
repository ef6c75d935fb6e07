"""The command that writes a tape as source: C, LLVM or Python. Floor 13."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tapegrad.cli.app import FORMULA, At, app, fail
from tapegrad.cli.tapes import Target

LANGUAGES = ("c", "llvm", "python")


@app.command(context_settings=FORMULA)
def export(
    target: Target,
    at: At = "",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file; printed if not given."),
    ] = None,
    language: Annotated[
        str, typer.Option(help=f"One of {', '.join(LANGUAGES)}.")
    ] = "c",
    name: Annotated[str, typer.Option(help="Of the function in C.")] = "f",
) -> None:
    """Write a function and its derivatives as source: C99, LLVM or Python.

    Example: [bold]tapegrad export script.py:f --at 1.2,0.7 -o f.c[/]
    """
    from tapegrad.cli.points import opened

    if language not in LANGUAGES:
        fail(f"{language!r} is none of the languages {', '.join(LANGUAGES)}")
    tape, _ = opened(target, at)
    makers = {"llvm": tape.to_llvm, "python": tape.to_python}
    text = tape.to_c(name) if language == "c" else makers[language]()
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
