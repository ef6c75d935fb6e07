"""Linear algebra in plain C, with the arguments of BLAS and LAPACK. Floor 9.

A file that stands alone cannot call a library. These take matrices column by column, as
the library does, and give what it gives, but for rounding: textbook methods without
blocks (Golub and Van Loan, Matrix Computations, 4th ed.: LU by 3.4.1, Cholesky by
4.2.1, Jacobi's method for eigenvalues by 8.5, and singular values by 8.6.3 as one-sided
rotations). ``REAL`` is double or float, and the letter of the name goes with it.
"""

from __future__ import annotations

_PARTS = {
    "gemm": """\
/* c = a b; "T" stands for a factor that is taken transposed. */
static void Xgemm(char ta, char tb, int m, int n, int k, REAL alpha, const REAL *a,
                  int lda, const REAL *b, int ldb, REAL beta, REAL *c, int ldc) {
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
static void Xtrsm(char side, char uplo, char trans, char diag, int m, int n, REAL alpha,
                  const REAL *a, int lda, REAL *b, int ldb) {
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
                const size_t at = turned ? (size_t)row * lda + i : (size_t)i * lda + row;
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
            if (fabs(a[(size_t)k * lda + i]) > fabs(a[(size_t)k * lda + best])) best = i;
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
static void Xgetri(int n, REAL *a, int lda, const int32_t *pivots, REAL *work, int room,
                   int32_t *info) {
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
    "syevd": """\
/* Eigenvalues, rising, and eigenvectors, by Jacobi's rotations; of the lower triangle. */
static void Xsyevd(char jobs, char uplo, int n, REAL *a, int lda, REAL *w, REAL *work,
                   int room, int32_t *rest, int whole_room, int32_t *info) {
    REAL *v = work;
    int i, j, k, sweep;
    (void)jobs; (void)uplo; (void)room; (void)rest; (void)whole_room;
    *info = 1;
    for (j = 0; j < n; j++) {
        for (i = 0; i < n; i++) {
            v[(size_t)j * n + i] = i == j;
            if (i < j) a[(size_t)j * lda + i] = a[(size_t)i * lda + j];
        }
    }
    for (sweep = 0; sweep < 60; sweep++) {
        int turned = 0;
        for (i = 0; i < n; i++) {
            for (j = i + 1; j < n; j++) {
                const REAL off = a[(size_t)j * lda + i];
                const REAL one = a[(size_t)i * lda + i], two = a[(size_t)j * lda + j];
                REAL t, c, s, theta;
                if (off != off || fabs(off) > HUGE) return;
                if (fabs(off) <= EPSILON * sqrt(fabs(one)) * sqrt(fabs(two)) ||
                    fabs(off) <= TINY) {
                    continue;
                }
                turned = 1;
                theta = (two - one) / (2 * off);
                t = (REAL)(1 / (fabs(theta) + sqrt(theta * theta + 1)));
                if (theta < 0) t = -t;
                c = (REAL)(1 / sqrt(t * t + 1));
                s = t * c;
                for (k = 0; k < n; k++) {
                    const REAL x = a[(size_t)i * lda + k], y = a[(size_t)j * lda + k];
                    const REAL p = v[(size_t)i * n + k], q = v[(size_t)j * n + k];
                    a[(size_t)i * lda + k] = c * x - s * y;
                    a[(size_t)j * lda + k] = s * x + c * y;
                    v[(size_t)i * n + k] = c * p - s * q;
                    v[(size_t)j * n + k] = s * p + c * q;
                }
                for (k = 0; k < n; k++) {
                    const REAL x = a[(size_t)k * lda + i], y = a[(size_t)k * lda + j];
                    a[(size_t)k * lda + i] = c * x - s * y;
                    a[(size_t)k * lda + j] = s * x + c * y;
                }
                a[(size_t)i * lda + j] = a[(size_t)j * lda + i] = 0;
            }
        }
        if (!turned) break;
    }
    if (sweep == 60) return;
    for (i = 0; i < n; i++) {
        w[i] = a[(size_t)i * lda + i];
        if (w[i] != w[i]) return;
    }
    *info = 0;
    for (i = 0; i < n; i++) { /* in order */
        int best = i;
        for (j = i + 1; j < n; j++) if (w[j] < w[best]) best = j;
        if (best != i) {
            const REAL kept = w[i];
            w[i] = w[best];
            w[best] = kept;
            for (k = 0; k < n; k++) {
                const REAL x = v[(size_t)i * n + k];
                v[(size_t)i * n + k] = v[(size_t)best * n + k];
                v[(size_t)best * n + k] = x;
            }
        }
        for (k = 0; k < n; k++) a[(size_t)i * lda + k] = v[(size_t)i * n + k];
    }
}
""",
    "gesdd": """\
/* Singular values, falling: columns are turned until they are at right angles. */
static void Xgesdd(char jobs, int m, int n, REAL *a, int lda, REAL *s, const void *u,
                   int ldu, const void *vt, int ldvt, REAL *work, int room,
                   int32_t *rest, int32_t *info) {
    const int wide = n > m, size = wide ? m : n, length = wide ? n : m;
    const size_t along = wide ? (size_t)lda : 1, across = wide ? 1 : (size_t)lda;
    int i, j, k, sweep;
    (void)jobs; (void)u; (void)ldu; (void)vt; (void)ldvt; (void)work; (void)room;
    (void)rest;
    *info = 1;
    for (sweep = 0; sweep < 60; sweep++) {
        int turned = 0;
        for (i = 0; i < size; i++) {
            for (j = i + 1; j < size; j++) {
                REAL *x = a + i * across, *y = a + j * across;
                REAL one = 0, two = 0, both = 0, t, c, sine, theta;
                for (k = 0; k < length; k++) {
                    one += x[k * along] * x[k * along];
                    two += y[k * along] * y[k * along];
                    both += x[k * along] * y[k * along];
                }
                if (both != both || fabs(both) > HUGE) return;
                if (fabs(both) <= EPSILON * sqrt(one) * sqrt(two) || both == 0) {
                    continue;
                }
                turned = 1;
                theta = (two - one) / (2 * both);
                t = (REAL)(1 / (fabs(theta) + sqrt(theta * theta + 1)));
                if (theta < 0) t = -t;
                c = (REAL)(1 / sqrt(t * t + 1));
                sine = t * c;
                for (k = 0; k < length; k++) {
                    const REAL p = x[k * along], q = y[k * along];
                    x[k * along] = c * p - sine * q;
                    y[k * along] = sine * p + c * q;
                }
            }
        }
        if (!turned) break;
    }
    if (sweep == 60) return;
    *info = 0;
    for (i = 0; i < size; i++) {
        REAL sum = 0;
        for (k = 0; k < length; k++) {
            const REAL x = a[i * across + k * along];
            sum += x * x;
        }
        sum = (REAL)sqrt(sum);
        for (j = i; j > 0 && s[j - 1] < sum; j--) s[j] = s[j - 1];
        s[j] = sum;
        if (sum != sum) *info = 1;
    }
}
""",
    "gels": """\
/* Least squares by Householder's reflections; m >= n. */
static void Xgels(char trans, int m, int n, int many, REAL *a, int lda, REAL *b, int ldb,
                  REAL *work, int room, int32_t *info) {
    int i, j, k;
    (void)trans; (void)work; (void)room;
    *info = 0;
    for (k = 0; k < n; k++) {
        REAL *x = a + (size_t)k * lda;
        REAL size = 0, top, scale;
        for (i = k; i < m; i++) size = (REAL)hypot(size, x[i]);
        if (size == 0) {
            *info = k + 1;
            return;
        }
        top = x[k] > 0 ? -size : size;
        scale = 1 / (top * (x[k] - top)); /* -2 over the square of the vector */
        x[k] -= top;
        for (j = k + 1; j < n + many; j++) {
            REAL *y = j < n ? a + (size_t)j * lda : b + (size_t)(j - n) * ldb;
            REAL sum = 0;
            for (i = k; i < m; i++) sum += x[i] * y[i];
            sum *= scale;
            for (i = k; i < m; i++) y[i] += sum * x[i];
        }
        x[k] = top;
    }
    Xtrsm('L', 'U', 'N', 'N', n, many, 1, a, lda, b, ldb);
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
    for name, text in _PARTS.items()
}
