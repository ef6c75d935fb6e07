/* The benchmark's works by hand in C: value and gradient, one thread.
 * cc -O3 -march=native -ffast-math: the compiler may reassociate sums and take exp
 * from its vector library. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

double rosenbrock(long n, const double *restrict x, double *restrict g)
{
    double value = 0.0, carried = 0.0;
    for (long i = 0; i + 1 < n; i++) {
        double t = x[i + 1] - x[i] * x[i], u = 1.0 - x[i];
        value += 100.0 * t * t + u * u;
        g[i] = -400.0 * x[i] * t - 2.0 * u;
    }
    for (long i = 1; i < n; i++) {
        double t = x[i] - x[i - 1] * x[i - 1];
        g[i] = (i + 1 < n ? g[i] : carried) + 200.0 * t;
    }
    return value;
}

/* Mixture of Gaussians as ADBench has it, without constants and prior: the sum over
 * points of log sum_k exp(a_k + sum_q_k - |Q_k (x - mu_k)|^2 / 2), minus
 * n log sum_k exp(a_k). Q_k is lower triangular with exp(diag) on its diagonal, given
 * here as q (k, d, d). Gradients by a, mu and q. */
double gmm(long n, long d, long k, const double *restrict a, const double *restrict mu,
           const double *restrict q, const double *restrict sum_q,
           const double *restrict x, double *restrict ga, double *restrict gmu,
           double *restrict gq)
{
    double value = 0.0, *mapped = malloc(sizeof(double) * (size_t)(k * d + k));
    double *inner = mapped + k * d;
    memset(ga, 0, sizeof(double) * (size_t)k);
    memset(gmu, 0, sizeof(double) * (size_t)(k * d));
    memset(gq, 0, sizeof(double) * (size_t)(k * d * d));
    for (long i = 0; i < n; i++) {
        const double *p = x + i * d;
        double top = -INFINITY, total = 0.0;
        for (long j = 0; j < k; j++) {
            double square = 0.0, c[64];
            for (long r = 0; r < d; r++)
                c[r] = p[r] - mu[j * d + r];
            for (long r = 0; r < d; r++) {
                double sum = 0.0;
                for (long s = 0; s <= r; s++)
                    sum += q[(j * d + r) * d + s] * c[s];
                mapped[j * d + r] = sum;
                square += sum * sum;
            }
            inner[j] = a[j] + sum_q[j] - 0.5 * square;
            top = inner[j] > top ? inner[j] : top;
        }
        for (long j = 0; j < k; j++) {
            inner[j] = exp(inner[j] - top);
            total += inner[j];
        }
        value += top + log(total);
        for (long j = 0; j < k; j++) {
            double w = inner[j] / total, back[64] = {0};
            ga[j] += w;
            for (long r = 0; r < d; r++) {
                double bar = -w * mapped[j * d + r];
                for (long s = 0; s <= r; s++) {
                    gq[(j * d + r) * d + s] += bar * (p[s] - mu[j * d + s]);
                    back[s] += bar * q[(j * d + r) * d + s];
                }
            }
            for (long s = 0; s < d; s++)
                gmu[j * d + s] -= back[s];
        }
    }
    free(mapped);
    double top = a[0], total = 0.0;
    for (long j = 1; j < k; j++)
        top = a[j] > top ? a[j] : top;
    for (long j = 0; j < k; j++)
        total += exp(a[j] - top);
    for (long j = 0; j < k; j++)
        ga[j] -= (double)n * exp(a[j] - top) / total;
    return value - (double)n * (top + log(total));
}
