"""``@tg.function``: plain Python control flow, recorded once a path. Floor 10.

A tape knows one way through the code. A function with paths keeps a tape for each way
that was gone, in a tree of their guards (`tree`), and a call replays the one whose
guards hold; where none does, the call is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, overload

from tapegrad.ambient import current
from tapegrad.errors import RecordError
from tapegrad.paths.arguments import taken
from tapegrad.paths.cache import Cache, CacheInfo, State
from tapegrad.paths.following import Call, follow
from tapegrad.paths.keys import data_of
from tapegrad.paths.running import MISS, Runner, walk
from tapegrad.paths.tree import Family, Path
from tapegrad.paths.watch import Seen, Watch, same_but_contents
from tapegrad.recording import parameter_names, record_inside
from tapegrad.tape.guards import Guard
from tapegrad.value import Value

# Paths that are kept.
MAXSIZE = 128

_FLOATS = frozenset({float})


class Function:
    """A function that is recorded once for each path of its control flow.

    Made by `tg.function`. Call it as the function itself. The methods give derivatives
    by all arguments, as those of a tape do; `tg.grad` and its kin take it like any
    function. With Values as arguments, and inside a recording, its code runs as it
    stands.

    Example:
        >>> import tapegrad as tg
        >>> @tg.function
        ... def cube_root(a):
        ...     x = a
        ...     while abs(x * x * x - a) > 1e-12:
        ...         x = x - (x * x * x - a) / (3 * x * x)
        ...     return x
        >>> cube_root(8.0), cube_root.gradient(8.0)
        (2.0, 0.08333333333333333)
    """

    def __init__(
        self,
        f: Callable[..., Any],
        maxsize: int | None = MAXSIZE,
        native_after: int | str | None = "auto",
    ) -> None:
        if not callable(f):
            msg = f"tg.function needs a function, got {type(f).__name__}"
            raise RecordError(msg)
        if native_after not in {None, "auto"} and (
            type(native_after) is not int or native_after < 0
        ):
            msg = (
                f"tg.function(native_after={native_after!r}): it is a number of "
                'calls, 0 or more, "auto", or None for the interpreter alone'
            )
            raise RecordError(msg)
        functools.update_wrapper(self, f, updated=())
        self._f = f
        self._native_after = native_after
        self._cache = Cache(f"{getattr(f, '__qualname__', type(f).__name__)}", maxsize)
        self._watch = Watch(f, self)
        # the state of the last call, what was recorded in it, and whether there is
        # anything in it that could change
        self._now: tuple[Seen, State, bool] | None = None

    def __reduce__(self) -> str:
        """Pickled by name, as functions are."""
        return self.__qualname__  # type: ignore[attr-defined,no-any-return]

    def __repr__(self) -> str:
        name = getattr(self, "__qualname__", type(self._f).__name__)
        return f"<tg.function {name}: {self._cache.size} paths>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method of an object, which is the first argument."""
        return self if instance is None else Method(self, instance)

    # -- the cache -------------------------------------------------------------

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that are kept, each with its ``tape`` and ``guards``."""
        return self._cache.paths()

    def cache_info(self) -> CacheInfo:
        """Hits, misses (recordings), maxsize and currsize."""
        return self._cache.info()

    def clear(self) -> None:
        """Forget all paths."""
        self._cache.clear()
        self._now = None

    # -- what users call -------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value."""
        if not current().eager:
            return self._f(*args, **kwargs)
        if not kwargs and _FLOATS.issuperset(map(type, args)):
            return self._answer("value", len(args), args, args, kwargs)
        took = taken(args, kwargs)
        if took.values:
            return self._f(*args, **kwargs)
        return self._answer("value", took.key, took.leaves, args, kwargs)

    def value_and_gradient(self, *args: Any, **kwargs: Any) -> Any:
        """``(value, gradient)``; the gradient is bare for one argument."""
        return self._derived("value_and_gradient", args, kwargs)

    def gradient(self, *args: Any, **kwargs: Any) -> Any:
        """The gradient, nested like the arguments."""
        return self._derived("gradient", args, kwargs)

    def jacobian(self, *args: Any, **kwargs: Any) -> Any:
        """Every output's gradient, nested like the outputs, then the arguments."""
        return self._derived("jacobian", args, kwargs)

    def hessian(self, *args: Any, **kwargs: Any) -> Any:
        """Second derivatives, nested like the arguments, twice."""
        return self._derived("hessian", args, kwargs)

    def jvp(self, args: Any, tangents: Any) -> Any:
        """(value, tangent) along a direction; tuples, one entry an argument."""
        return self._derived("jvp", _tuple(args), {}, _tuple(tangents))

    def vjp(self, args: Any, cotangents: Any) -> Any:
        """(value, adjoints of the arguments) for adjoints of the outputs."""
        return self._derived("vjp", _tuple(args), {}, cotangents)

    def hvp(self, args: Any, direction: Any) -> Any:
        """Hessian times a direction; tuples, one entry an argument."""
        return self._derived("hvp", _tuple(args), {}, _tuple(direction))

    # -- paths -----------------------------------------------------------------

    def _derived(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *extra: Any
    ) -> Any:
        """A derivative at arguments, on the path that they take."""
        if not current().eager:
            msg = (
                f"{name}() of a tg.function inside a recording has no place on the "
                f"tape; use the transform, tg.{_TRANSFORMS[name]}"
            )
            raise RecordError(msg)
        if not kwargs and _FLOATS.issuperset(map(type, args)):
            return self._answer(name, len(args), args, args, kwargs, extra)
        took = taken(args, kwargs)
        leaves = list(map(_number, took.leaves)) if took.values else took.leaves
        return self._answer(name, took.key, leaves, args, kwargs, extra)

    def _answer(
        self,
        name: str,
        key: Hashable,
        leaves: Sequence[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        extra: tuple[Any, ...] = (),
    ) -> Any:
        """A method's answer, from the path that the arguments take.

        The usual call is over with the first lines: nothing around has changed, and the
        guards of the path of the call before hold, natively.
        """
        now = self._now
        if now is None or (now[2] and not now[0].stands()):
            seen = self._watch.look()
            now = self._now = seen, self._cache.state(seen), seen.watched
        family = now[1].families.get(key)
        why: Guard | None = None
        if family is None:
            # the state may have been dropped meanwhile, and come back
            now = self._now = now[0], self._cache.state(now[0]), now[2]
            family = now[1].families.get(key) or Family(key)
        path = family.latest
        native = None
        if path is not None:
            native = path.runner.natives.get(name)
            if native is not None:
                found = native.quick(*leaves)
                if found is not MISS:
                    cache = self._cache
                    cache.clock = path.used = cache.clock + 1
                    return found if native.shape is None else native.shape(found)
        call = Call(args, kwargs, leaves, key, extra)
        if path is not None:
            missed = native is not None
            path, found, why = follow(family, path, name, call, missed=missed)
            if path is not None:
                self._cache.hit(path)
                return found
        path = self._record(now[1], family, call, why)
        if name == "value":
            return walk(path.tape, leaves, strict=False)
        return path.runner.answer(name, *call.given)

    def _record(
        self, state: State, family: Family, call: Call, why: Guard | None
    ) -> Path:
        """A new path, at the arguments of a call."""
        f, args, kwargs = self._f, call.args, call.kwargs
        tape, _ = record_inside(f, args, kwargs)
        known = tape._known  # noqa: SLF001 - the notebook of the tape
        known["function"] = f  # for reports that name source lines
        path = Path(tape, Runner(tape, self._native_after))
        reason: Guard | str = why or self._cache.reason(
            state, call.key, parameter_names(f, args, kwargs)
        )
        self._cache.insert(state, family, path, reason)
        # what the recording itself changed, a list of results, is no other state
        seen = self._watch.look()
        if seen is not state.seen and same_but_contents(state.seen, seen):
            self._cache.alias(state, seen)
        if not isinstance(call.key, int):
            key = taken(args, kwargs).key
            if key != call.key:
                self._cache.alias_family(state, family, key)
        return path


_TRANSFORMS = {
    "value_and_gradient": "value_and_grad(f)",
    "gradient": "grad(f)",
    "jacobian": "jacobian(f)",
    "hessian": "hessian(f)",
    "jvp": "jvp(f, primals, tangents)",
    "vjp": "vjp(f, *primals)",
    "hvp": "hvp(f, primals, direction)",
}


def _number(leaf: Any) -> Any:
    """The number or array of an eager leaf, as native code takes it."""
    is_leaf = isinstance(leaf, Value) and leaf._is_leaf  # noqa: SLF001 - others have
    return data_of(leaf) if is_leaf else leaf  # a history, and are refused by name


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


class Method:
    """A `Function` as a method of an object."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: Function, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value."""
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__func__, name)
        if name in {"jvp", "vjp", "hvp"}:
            return lambda args, given: found(
                (self.__self__, *_tuple(args)), self._given(name, given)
            )
        return functools.partial(found, self.__self__) if name in _TRANSFORMS else found

    def _given(self, name: str, given: Any) -> Any:
        """Tangents have an entry for the object, too."""
        return given if name == "vjp" else (self.__self__, *_tuple(given))


@overload
def function(f: Callable[..., Any], /) -> Function: ...


@overload
def function(
    f: None = None,
    /,
    *,
    maxsize: int | None = MAXSIZE,
    native_after: int | str | None = "auto",
) -> Callable[[Callable[..., Any]], Function]: ...


def function(
    f: Callable[..., Any] | None = None,
    /,
    *,
    maxsize: int | None = MAXSIZE,
    native_after: int | str | None = "auto",
) -> Any:
    """Record a function once for each path of its control flow.

    Args:
        f: a function of numbers and arrays in any nesting, with any ``if``, ``while``,
            early return and recursion. Used as a decorator, with options or without.
        maxsize: paths that are kept; beyond, those not used for longest are dropped,
            with one warning. None keeps all.
        native_after: calls of a path before native code is built for it. By default
            about as many as take the interpreter as long as building takes; None
            stays with the interpreter.

    Returns:
        A `Function`, called like f.

    Example:
        >>> import tapegrad as tg
        >>> @tg.function
        ... def power(x, n):
        ...     return 1.0 if n == 0 else x * power(x, n - 1)
        >>> power(2.0, 10), power.gradient(2.0, 3)
        (1024.0, 12.0)
    """
    if f is None:
        return functools.partial(Function, maxsize=maxsize, native_after=native_after)
    return Function(f, maxsize, native_after)
