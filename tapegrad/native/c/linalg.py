"""Linear algebra in plain C, with the arguments of BLAS and LAPACK. Floor 9.

A file that stands alone cannot call a library. These take matrices column by column, as
the library does, and give what it gives, but for rounding: textbook methods without
blocks (Golub and Van Loan, Matrix Computations, 4th ed.: LU by 3.4.1, Cholesky by
4.2.1). ``REAL`` is double or float, and the letter of the name goes with it.
"""

from __future__ import annotations

from tapegrad.native.c import spectral

_PARTS = {
    "gemm": """\
/* c = a b; "T" stands for a factor that is taken transposed. */
static void Xgemm(char ta, char tb, int m, int n, int k, REAL alpha,
                  const REAL *a, int lda, const REAL *b, int ldb, REAL beta,
                  REAL *c, int ldc) {
    int i, j, p;
    for (j = 0; j < n; j++) {
        REAL *to = c + (size_t)j * ldc;
        for (i = 0; i < m; i++) to[i] = beta == 0 ? 0 : beta * to[i];
        for (p = 0; p < k; p++) {
            const size_t at = tb == 'T' ? (size_t)p * ldb + j : (size_t)j * ldb + p;
            const REAL factor = alpha * b[at];
            for (i = 0; i < m; i++) {
                to[i] += factor * (ta == 'T' ? a[(size_t)i * lda + p]
                                             : a[(size_t)p * lda + i]);
            }
        }
    }
}
""",
    "trsm": """\
/* b = alpha b inverse(a), or alpha inverse(a) b, of a triangle of a. */
static void Xtrsm(char side, char uplo, char trans, char diag, int m, int n,
                  REAL alpha, const REAL *a, int lda, REAL *b, int ldb) {
    const int right = side == 'R', size = right ? n : m, many = right ? m : n;
    const int turned = (trans == 'T') != right;
    const int upwards = (uplo == 'U') != turned;
    const size_t along = right ? (size_t)ldb : 1, across = right ? 1 : (size_t)ldb;
    int i, j, p;
    for (j = 0; j < many; j++) {
        REAL *x = b + j * across;
        for (i = 0; i < size; i++) x[i * along] *= alpha;
        for (p = 0; p < size; p++) {
            const int row = upwards ? size - 1 - p : p;
            REAL sum = x[row * along];
            const int first = upwards ? row + 1 : 0, last = upwards ? size : row;
            for (i = first; i < last; i++) {
                const size_t at = turned ? (size_t)row * lda + i
                                         : (size_t)i * lda + row;
                sum -= a[at] * x[i * along];
            }
            x[row * along] = diag == 'U' ? sum : sum / a[(size_t)row * lda + row];
        }
    }
}
""",
    "getrf": """\
/* a = p l u, with the largest pivot of each column. */
static void Xgetrf(int m, int n, REAL *a, int lda, int32_t *pivots, int32_t *info) {
    const int least = m < n ? m : n;
    int i, j, k;
    *info = 0;
    for (k = 0; k < least; k++) {
        int best = k;
        for (i = k + 1; i < m; i++) {
            const REAL *column = a + (size_t)k * lda;
            if (fabs(column[i]) > fabs(column[best])) best = i;
        }
        pivots[k] = best + 1;
        if (a[(size_t)k * lda + best] == 0) {
            if (*info == 0) *info = k + 1;
            continue;
        }
        if (best != k) {
            for (j = 0; j < n; j++) {
                const REAL kept = a[(size_t)j * lda + k];
                a[(size_t)j * lda + k] = a[(size_t)j * lda + best];
                a[(size_t)j * lda + best] = kept;
            }
        }
        for (i = k + 1; i < m; i++) a[(size_t)k * lda + i] /= a[(size_t)k * lda + k];
        for (j = k + 1; j < n; j++) {
            const REAL factor = a[(size_t)j * lda + k];
            for (i = k + 1; i < m; i++) {
                a[(size_t)j * lda + i] -= a[(size_t)k * lda + i] * factor;
            }
        }
    }
}
""",
    "getrs": """\
/* Solve with the factors of getrf. */
static void Xgetrs(char trans, int n, int many, const REAL *a, int lda,
                   const int32_t *pivots, REAL *b, int ldb, int32_t *info) {
    const int turned = trans == 'T';
    int i, j;
    *info = 0;
    if (turned) {
        Xtrsm('L', 'U', 'T', 'N', n, many, 1, a, lda, b, ldb);
        Xtrsm('L', 'L', 'T', 'U', n, many, 1, a, lda, b, ldb);
    }
    for (i = 0; i < n; i++) {
        const int row = turned ? n - 1 - i : i, other = pivots[row] - 1;
        for (j = 0; j < many && other != row; j++) {
            REAL *x = b + (size_t)j * ldb;
            const REAL kept = x[row];
            x[row] = x[other];
            x[other] = kept;
        }
    }
    if (!turned) {
        Xtrsm('L', 'L', 'N', 'U', n, many, 1, a, lda, b, ldb);
        Xtrsm('L', 'U', 'N', 'N', n, many, 1, a, lda, b, ldb);
    }
}
""",
    "getri": """\
/* The inverse, from the factors of getrf, in their place. */
static void Xgetri(int n, REAL *a, int lda, const int32_t *pivots, REAL *work,
                   int room, int32_t *info) {
    int i, j, k;
    (void)room;
    *info = 0;
    for (j = 0; j < n; j++) {
        REAL *to = a + (size_t)j * lda;
        if (to[j] == 0) {
            *info = j + 1;
            return;
        }
        to[j] = 1 / to[j];
        for (i = 0; i < j; i++) { /* u inverted, column by column */
            REAL sum = 0;
            for (k = i; k < j; k++) sum += a[(size_t)k * lda + i] * to[k];
            work[i] = -sum * to[j];
        }
        for (i = 0; i < j; i++) to[i] = work[i];
    }
    for (j = n - 2; j >= 0; j--) { /* x l = inverse(u) */
        REAL *to = a + (size_t)j * lda;
        for (i = j + 1; i < n; i++) {
            work[i] = to[i];
            to[i] = 0;
        }
        for (k = j + 1; k < n; k++) {
            for (i = 0; i < n; i++) to[i] -= a[(size_t)k * lda + i] * work[k];
        }
    }
    for (j = n - 1; j >= 0; j--) {
        const int other = pivots[j] - 1;
        for (i = 0; i < n && other != j; i++) {
            const REAL kept = a[(size_t)j * lda + i];
            a[(size_t)j * lda + i] = a[(size_t)other * lda + i];
            a[(size_t)other * lda + i] = kept;
        }
    }
}
""",
    "potrf": """\
/* a = transpose(u) u, of the upper triangle of a. */
static void Xpotrf(char uplo, int n, REAL *a, int lda, int32_t *info) {
    int i, j, k;
    (void)uplo;
    *info = 0;
    for (j = 0; j < n; j++) {
        REAL *to = a + (size_t)j * lda;
        REAL sum = to[j];
        for (i = 0; i < j; i++) {
            const REAL *other = a + (size_t)i * lda;
            REAL part = to[i];
            for (k = 0; k < i; k++) part -= other[k] * to[k];
            to[i] = part / other[i];
            sum -= to[i] * to[i];
        }
        if (!(sum > 0)) {
            *info = j + 1;
            return;
        }
        to[j] = (REAL)sqrt(sum);
    }
}
""",
}

_KINDS = {
    "d": {
        "REAL": "double",
        "EPSILON": "0x1p-53",
        "TINY": "0x1p-1060",
        "HUGE": "0x1.fp1023",
    },
    "s": {
        "REAL": "float",
        "EPSILON": "0x1p-24f",
        "TINY": "0x1p-140f",
        "HUGE": "0x1.fp127f",
    },
}


def _typed(text: str, letter: str) -> str:
    for word, value in _KINDS[letter].items():
        text = text.replace(word, value)
    return text.replace("X", letter)


# The helpers by name: ``dgemm``, ``sgemm``.
ROUTINES = {
    f"{letter}{name}": _typed(text, letter)
    for letter in _KINDS
    for name, text in {**_PARTS, **spectral.PARTS}.items()
}
