"""The command line itself: how commands are found, and how they end. Floor 13.

Exit codes: 0, 1 when a check failed, 2 when called wrongly: a message on stderr and no
traceback.
"""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from tapegrad.errors import TapegradError

WRONG_CALL = 2


class Commands(TyperGroup):
    """All commands: an error of the library is a message, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; the library's errors end it with code 2."""
        try:
            return super().invoke(ctx)
        except TapegradError as problem:
            typer.echo(f"tapegrad: {problem}", err=True)
            raise typer.Exit(WRONG_CALL) from None
        except OSError as problem:  # a file that cannot be read or written
            where = f"{problem.filename}: " if problem.filename else ""
            typer.echo(f"tapegrad: {where}{problem.strerror}", err=True)
            raise typer.Exit(WRONG_CALL) from None


# A formula may begin with a minus: what is no known option is an argument.
FORMULA = {"ignore_unknown_options": True}

app = typer.Typer(
    cls=Commands,
    name="tapegrad",
    help="Exact derivatives of Python code on a linear tape.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
At = Annotated[
    str,
    typer.Option(
        help="Where: [bold]1.2,0.7[/] in order, or [bold]x=1.2,y=0.7[/] by name. "
        "A list is written \\[1,2], an array @file.npy.",
        metavar="POINT",
    ),
]


def end(*, ok: bool) -> None:
    """Code 1 when a check failed."""
    if not ok:
        raise typer.Exit(1)


def fail(message: str) -> NoReturn:
    """A message on stderr, and code 2."""
    typer.echo(f"tapegrad: {message}", err=True)
    raise typer.Exit(WRONG_CALL)


@app.callback(invoke_without_command=True)
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.")
    ] = False,
) -> None:
    """Exact derivatives of Python code on a linear tape.

    Example: [bold]tapegrad derive "x*tanh(y)" --wrt x,y --at x=1,y=2[/]
    """
    if version:
        import tapegrad

        typer.echo(f"tapegrad {tapegrad.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; the console script and ``python -m tapegrad``."""
    app(prog_name="tapegrad")
