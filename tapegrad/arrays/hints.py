"""The way round for functions of NumPy and SciPy that are not recorded. Floor 7."""

from __future__ import annotations

_PLAIN = "call it on value.data; it has no derivative"
_WRITE = "write v[key] = x instead, which is recorded as a new version of v"
_FFT = (
    "complex numbers are not recorded; multiply by the real matrices of the "
    "transform, np.cos and np.sin of -2 pi j k / n"
)
_TEXT = "print(value), or call it on value.data"
_MODES = "in terms of np.linalg.eigh of a symmetric matrix, where it is one"
_SETS = "the choice is discrete: index with what it gives for value.data"

HINTS = {
    "put": _WRITE,
    "place": "write v[mask] = x, or np.where(mask, x, v)",
    "putmask": "write v[mask] = x, or np.where(mask, x, v)",
    "copyto": _WRITE,
    "put_along_axis": _WRITE,
    "fill_diagonal": "write v[i, i] = x with i = np.arange(n)",
    "linalg.eig": f"complex eigenvalues are not recorded; {_MODES}",
    "linalg.eigvals": f"complex eigenvalues are not recorded; {_MODES}",
    "linalg.qr": "solve least squares with np.linalg.lstsq; for R alone, take "
    "np.linalg.cholesky(a.T @ a).T",
    "linalg.matrix_rank": _PLAIN,
    "unique": _SETS,
    "histogram": "counts have no derivative; for a smooth one, sum kernels",
    "bincount": "write y = np.zeros_like(w, shape=n) and add with one-hot rows: "
    "(np.arange(n)[:, None] == i) @ w",
    "lexsort": "np.argsort of one key at a time",
    "apply_along_axis": "write the function with axis=, or loop and np.stack",
    "apply_over_axes": "call the function with axis= for each axis",
    "roots": f"complex numbers are not recorded; {_MODES}",
    "angle": "np.arctan2(imaginary, real)",
    "i0": "the Bessel function has no row",
    "cov": "with d = x - x.mean(axis=1, keepdims=True): d @ d.T / (n - 1)",
    "corrcoef": "with d = (x - mean) / std for each row: d @ d.T / n",
    "polyfit": "np.linalg.lstsq(np.vander(x, n + 1), y)",
    "polyder": "multiply the coefficients: p[:-1] * np.arange(len(p) - 1, 0, -1)",
    "polyint": "divide the coefficients by np.arange(len(p), 0, -1)",
    "polymul": "np.convolve(p, q)",
    "interp1d": "np.interp",
    "nanmedian": "np.median of what np.isnan leaves",
    "array2string": _TEXT,
    "array_repr": _TEXT,
    "array_str": _TEXT,
    "save": "np.save(file, value.data)",
    "savetxt": "np.savetxt(file, value.data)",
    "savez": "np.savez(file, name=value.data)",
    "frexp": "np.log2 and np.floor",
    "ldexp": "x * 2.0**n",
    "nextafter": _PLAIN,
    "spacing": _PLAIN,
    "gcd": _PLAIN,
    "lcm": _PLAIN,
    "gamma": "np.exp(scipy.special.gammaln(x)) for positive x",
    "log_softmax": "x - tg.logsumexp(x, axis, keepdims=True)",
    "ndtri": "the inverse of the normal distribution has no row",
    "fft.fftshift": "np.roll(x, n // 2)",
    "fft.ifftshift": "np.roll(x, -(n // 2))",
}
for _name in ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "rfft2", "irfft2"):
    HINTS["fft." + _name] = _FFT
for _name in ("fftn", "ifftn", "rfftn", "irfftn", "hfft", "ihfft"):
    HINTS["fft." + _name] = _FFT
for _name in ("union1d", "intersect1d", "setdiff1d", "setxor1d", "isin"):
    HINTS[_name] = _SETS
