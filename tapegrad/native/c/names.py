"""Names and comments that C can bear. Floor 9."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

from tapegrad.errors import CompileError

# Words of C and C++, and what the headers define.
_WORDS = """
auto break case char const continue default do double else enum extern float for
goto if inline int long register restrict return short signed sizeof static struct
switch typedef union unsigned void volatile while and and_eq asm bitand bitor bool
catch char16_t char32_t class compl const_cast constexpr decltype delete
dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq
nullptr operator or or_eq private protected public reinterpret_cast static_assert
static_cast template this thread_local throw true try typeid typename using virtual
wchar_t xor xor_eq typeof alignas alignof linux unix main NULL NAN INFINITY HUGE_VAL
EOF errno memcpy memset malloc free size_t int64_t int32_t uint64_t INT64_C
INT64_MIN INT64_MAX near far isnan isinf isfinite signbit isunordered islessgreater
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2
expm1 fabs fdim floor fma fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint
llround log log10 log1p log2 logb lrint lround modf nan nearbyint nextafter
nexttoward pow remainder remquo rint round scalbln scalbn sin sinh sqrt tan tanh
tgamma trunc gamma j0 j1 jn y0 y1 yn drem finite significand
"""
WORDS = frozenset(_WORDS.split())
SPELLED = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)")


def plain(text: str) -> str:
    """Text in ASCII, on one line; Greek letters are spelled."""
    found = []
    for sign in text:
        if " " <= sign <= "~":
            found.append(sign)
            continue
        greek = SPELLED.fullmatch(unicodedata.name(sign, ""))
        found.append(greek[1].lower() if greek else " " if sign.isspace() else "?")
    return "".join(found)


def comment(text: str) -> str:
    """Text that may stand in a comment: nothing in it ends one, or begins one."""
    found = plain(text).replace("??", "? ?").replace("\\", "/")
    return found.replace("*/", "* /").replace("/*", "/ *")


def quoted(text: str) -> str:
    """Text as a string of C."""
    found = plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("??", "?\\?")
    return f'"{found}"'


def usable(name: str) -> bool:
    """Whether C and C++ take a name for a variable or a function."""
    good = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None
    return good and name not in WORDS and len(name) <= 63


def checked(name: str) -> str:
    """The name of the function.

    Raises:
        CompileError: C would not take it.
    """
    if not usable(name):
        msg = f"{name!r} is no name for a function in C; take letters, digits and _"
        raise CompileError(msg)
    return name


def variables(labels: Iterable[str], taken: Collection[str]) -> list[str]:
    """A name for each label, and different ones."""
    known, found = {*taken}, []
    for number, label in enumerate(labels):
        name = re.sub(r"\W+", "_", plain(label)).strip("_")[:40]
        if not name or not name[0].isalpha():
            name = f"x{number}" if not name else f"x_{name}"
        if not usable(name):
            name = f"{name}_"
        wanted, again = name, 2
        while name in known:
            name, again = f"{wanted}_{again}", again + 1
        known.add(name)
        found.append(name)
    return found
