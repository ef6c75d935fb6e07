"""Taylor mode: a tape read in power series gives derivatives of high order. Floor 10.

    f(x(t)) = c_0 + c_1 t + c_2 t^2 + ...        x(t) = x_0 + t d

Griewank & Walther, Evaluating Derivatives, 2nd ed., chapter 13.
"""

from tapegrad.series.ode import taylor_ode
from tapegrad.series.transform import taylor

__all__ = ["taylor", "taylor_ode"]
