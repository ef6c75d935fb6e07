"""Functions that C lacks, written into each file that calls them. Floor 9."""

from __future__ import annotations

import re

from tapegrad.native.c.linalg import ROUTINES

HELPERS = {
    "bits_of": """\
static int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
""",
    "double_of": """\
static double double_of(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
""",
    "wrapping_add": """\
static int64_t wrapping_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
""",
    "wrapping_sub": """\
static int64_t wrapping_sub(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
""",
    "wrapping_mul": """\
static int64_t wrapping_mul(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
""",
    "shift_left": """\
static int64_t shift_left(int64_t a, int64_t by) {
    return (int64_t)((uint64_t)a << by);
}
""",
    "shift_right": """\
static int64_t shift_right(int64_t a, int64_t by) {
    return (int64_t)((uint64_t)a >> by);
}
""",
    "to_int64": """\
/* Towards 0; what is too large becomes the largest, and NaN becomes 0. */
static int64_t to_int64(double x) {
    if (x >= 0x1p63) return INT64_MAX;
    if (x <= -0x1p63) return INT64_MIN;
    return x == x ? (int64_t)x : 0;
}
""",
    "to_int32": """\
static int32_t to_int32(double x) {
    if (x >= 2147483647.0) return INT32_MAX;
    if (x <= -2147483648.0) return INT32_MIN;
    return x == x ? (int32_t)x : 0;
}
""",
    "largest": """\
/* NaN where one of them is, and 0.0 is more than -0.0. */
static double largest(double a, double b) {
    if (isunordered(a, b)) return a + b;
    if (a == b) return signbit(a) ? b : a;
    return a > b ? a : b;
}
""",
    "smallest": """\
/* NaN where one of them is, and -0.0 is less than 0.0. */
static double smallest(double a, double b) {
    if (isunordered(a, b)) return a + b;
    if (a == b) return signbit(a) ? a : b;
    return a < b ? a : b;
}
""",
    "larger_int": """\
static int64_t larger_int(int64_t a, int64_t b) {
    return a > b ? a : b;
}
""",
    "smaller_int": """\
static int64_t smaller_int(int64_t a, int64_t b) {
    return a < b ? a : b;
}
""",
    **ROUTINES,
}
WORD = re.compile(r"\b(?:" + "|".join(HELPERS) + r")(?=\()")


def written(text: str, prefix: str) -> tuple[str, str]:
    """The helpers that a text calls, and the text, both with names of their own."""
    wanted: dict[str, None] = {}
    pending = [text]
    while pending:
        for name in WORD.findall(pending.pop()):
            if name not in wanted:
                wanted[name] = None
                pending.append(HELPERS[name])
    helpers = "\n".join(HELPERS[name] for name in HELPERS if name in wanted)
    return tuple(  # type: ignore[return-value]
        WORD.sub(lambda found: f"{prefix}_{found[0]}", part) for part in (helpers, text)
    )
