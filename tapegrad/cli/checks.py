"""Commands that judge a function at a point: check, rounding. Floor 13.

`check` ends with code 1 when a witness objects to a derivative; `rounding` reports.
"""

from __future__ import annotations

import functools
import json
from typing import Annotated, Any

import typer

from tapegrad.cli.app import FORMULA, At, Json, app, end
from tapegrad.cli.tapes import Csv, Npy, Target, print_json


@app.command(context_settings=FORMULA)
def check(
    target: Target,
    at: At = "",
    csv: Csv = None,
    npy: Npy = None,
    order: Annotated[
        int, typer.Option(min=1, max=3, help="Highest order of derivatives: 1, 2 or 3.")
    ] = 2,
    rtol: Annotated[
        float | None,
        typer.Option(help="What exact witnesses may differ by.", show_default="1e-9"),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check the gradient of a function by independent witnesses.

    Reverse and forward sweeps, a sweep with 50 digits, SymPy's closed form, differences
    of the function itself: ends with code 1 when one of them disagrees.

    Example: [bold]tapegrad check script.py:f --at 1.2,0.7 --order 3[/]
    """
    from tapegrad.cli.points import asked
    from tapegrad.cli.printing import display
    from tapegrad.cli.scripts import guarded
    from tapegrad.proof import check_gradient

    function, calls = asked(target, at, csv, npy)

    def checked(call: Any) -> Any:
        return check_gradient(
            function, *call.args, order=order, rtol=rtol, **call.kwargs
        )

    path = target.rpartition(":")[0]
    reports = [
        guarded(functools.partial(checked, call), target, path) for call in calls
    ]
    if as_json:
        found = [json.loads(report.to_json()) for report in reports]
        print_json(found, one=not (csv or npy))
    else:
        for report in reports:
            display(report)
    end(ok=all(report.ok for report in reports))


@app.command(context_settings=FORMULA)
def rounding(
    target: Target,
    at: At = "",
    single: Annotated[
        bool, typer.Option("--float32", help="What if everything were float32.")
    ] = False,
    *,
    as_json: Json = False,
) -> None:
    """Estimate the rounding error of a function at a point, by source line.

    Beside the estimate stands the true error, from a replay with 50 digits.

    Example: [bold]tapegrad rounding script.py:f --at 1.2,0.7[/]
    """
    from tapegrad.cli.points import asked
    from tapegrad.cli.printing import display
    from tapegrad.cli.scripts import guarded
    from tapegrad.proof import rounding_error

    function, (call, *_) = asked(target, at)
    arithmetic = "float32" if single else "float64"
    report = guarded(
        lambda: rounding_error(
            function, *call.args, arithmetic=arithmetic, **call.kwargs
        ),
        target,
        target.rpartition(":")[0],
    )
    if as_json:
        typer.echo(report.to_json())
    else:
        display(report)
