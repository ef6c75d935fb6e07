"""Eigenvalues, singular values and least squares in plain C. Floor 9.

Jacobi's method for eigenvalues (Golub and Van Loan, Matrix Computations, 4th ed., 8.5),
one-sided rotations for singular values (8.6.3), reflections for least squares (5.3.2).
See `linalg` for what the words stand for.
"""

from __future__ import annotations

PARTS = {
    "syevd": """\
/* Eigenvalues, rising, and eigenvectors, by Jacobi's rotations, of the lower
 * triangle. */
static void Xsyevd(char jobs, char uplo, int n, REAL *a, int lda, REAL *w,
                   REAL *work, int room, int32_t *rest, int whole_room,
                   int32_t *info) {
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
static void Xgels(char trans, int m, int n, int many, REAL *a, int lda, REAL *b,
                  int ldb, REAL *work, int room, int32_t *info) {
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
