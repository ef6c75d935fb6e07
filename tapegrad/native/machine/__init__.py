"""The tape machine: one native interpreter that sweeps any tape of numbers. Floor 6.

    for each step k:   v[k] = f(v[a], v[b], ...)                     forward
    falling:           bar[a] += bar[k] * df/da, bar[b] += ...       reverse

Both loops are one ``switch`` over *cases*, one for each row of the table (``cases``);
their text is what the rows' own functions and partials emit in the LLVM reading
(``loops``). ``build`` compiles them once in a process; ``plan`` has a tape as the
columns that they read, ``rows`` the steps that eager code left behind; ``run`` sweeps.
``choice`` alone is imported without need: it decides when the machine pays.
"""
