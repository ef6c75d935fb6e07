/* Loops by hand in C, one thread. A compiler may fuse a product and a sum. */

#include <math.h>
#include <stddef.h>

/* Bodies that attract each other: places x and speeds v, three numbers a body. */
enum { BODIES = 5, SIZE = 3 * BODIES };

static void kick(const double *mass, double h, const double *x, double *v)
{
    for (int i = 0; i < BODIES; i++)
        for (int j = 0; j < i; j++) {
            const double *p = x + 3 * i, *q = x + 3 * j;
            double a = p[0] - q[0], b = p[1] - q[1], c = p[2] - q[2];
            double square = a * a + b * b + c * c, pull = h / (square * sqrt(square));
            double mine = pull * mass[j], other = pull * mass[i];
            v[3 * i] -= a * mine;
            v[3 * i + 1] -= b * mine;
            v[3 * i + 2] -= c * mine;
            v[3 * j] += a * other;
            v[3 * j + 1] += b * other;
            v[3 * j + 2] += c * other;
        }
}

static double energy(const double *mass, const double *x, const double *v)
{
    double total = 0.0;
    for (int i = 0; i < BODIES; i++) {
        const double *p = x + 3 * i, *s = v + 3 * i;
        total += 0.5 * mass[i] * (s[0] * s[0] + s[1] * s[1] + s[2] * s[2]);
        for (int j = 0; j < i; j++) {
            const double *q = x + 3 * j;
            double a = p[0] - q[0], b = p[1] - q[1], c = p[2] - q[2];
            total -= mass[i] * mass[j] / sqrt(a * a + b * b + c * c);
        }
    }
    return total;
}

/* n leapfrog steps from start (x, then v); kept has room for SIZE n numbers, or is NULL.
 * The speeds stand half a step behind the places, so that one kick a step is enough. */
double bodies(long n, const double *restrict start, const double *restrict mass,
              double h, double *restrict kept, double *restrict last)
{
    double *x = last, *v = last + SIZE;
    for (int i = 0; i < 2 * SIZE; i++)
        last[i] = start[i];
    for (long m = 0; m < n; m++) {
        for (int i = 0; kept && i < SIZE; i++)
            kept[m * SIZE + i] = x[i];
        kick(mass, h, x, v);
        for (int i = 0; i < SIZE; i++)
            x[i] += h * v[i];
    }
    return energy(mass, x, v);
}

static void kick_back(const double *mass, double h, const double *x, double *xb,
                      const double *vb)
{
    for (int i = BODIES - 1; i >= 0; i--)
        for (int j = i - 1; j >= 0; j--) {
            double d[3], w[3], square = 0.0, along = 0.0;
            for (int c = 0; c < 3; c++) {
                d[c] = x[3 * i + c] - x[3 * j + c];
                w[c] = mass[i] * vb[3 * j + c] - mass[j] * vb[3 * i + c];
                square += d[c] * d[c];
                along += d[c] * w[c];
            }
            double pull = h / (square * sqrt(square));
            double turn = -3.0 * pull * along / square;
            for (int c = 0; c < 3; c++) {
                double back = pull * w[c] + turn * d[c];
                xb[3 * i + c] += back;
                xb[3 * j + c] -= back;
            }
        }
}

static void energy_back(const double *mass, const double *x, const double *v, double *xb,
                        double *vb)
{
    for (int i = 0; i < BODIES; i++) {
        for (int c = 0; c < 3; c++) {
            xb[3 * i + c] = 0.0;
            vb[3 * i + c] = mass[i] * v[3 * i + c];
        }
        for (int j = 0; j < i; j++) {
            double d[3], square = 0.0;
            for (int c = 0; c < 3; c++) {
                d[c] = x[3 * i + c] - x[3 * j + c];
                square += d[c] * d[c];
            }
            double turn = mass[i] * mass[j] / (square * sqrt(square));
            for (int c = 0; c < 3; c++) {
                xb[3 * i + c] += turn * d[c];
                xb[3 * j + c] -= turn * d[c];
            }
        }
    }
}

/* The same with its slopes g by start. */
double bodies_gradient(long n, const double *restrict start, const double *restrict mass,
                       double h, double *restrict kept, double *restrict last,
                       double *restrict g)
{
    double value = bodies(n, start, mass, h, kept, last), *xb = g, *vb = g + SIZE;
    energy_back(mass, last, last + SIZE, xb, vb);
    for (long m = n - 1; m >= 0; m--) {
        for (int i = 0; i < SIZE; i++)
            vb[i] += h * xb[i];
        kick_back(mass, h, kept + m * SIZE, xb, vb);
    }
    return value;
}

/* log-likelihood of a mixture of kinds Gaussians with diagonal covariances: points x
 * (n, size), weights w (kinds) before normalisation, means m (kinds, size), logarithms
 * of deviations s (kinds, size); and its slopes. room is for kinds (2 + size) numbers. */
double mixture(long n, long kinds, long size, const double *restrict x,
               const double *restrict w, const double *restrict m,
               const double *restrict s, double *restrict gw, double *restrict gm,
               double *restrict gs, double *restrict room)
{
    double *base = room, *term = base + kinds, *inverse = term + kinds;
    double total = 0.0, top = w[0], sum = 0.0;
    for (long k = 0; k < kinds; k++)
        top = w[k] > top ? w[k] : top;
    for (long k = 0; k < kinds; k++)
        sum += exp(w[k] - top);
    double norm = top + log(sum);
    for (long k = 0; k < kinds; k++) {
        base[k] = w[k] - norm;
        gw[k] = -(double)n * exp(w[k] - norm);
        for (long j = 0; j < size; j++) {
            base[k] -= s[k * size + j];
            inverse[k * size + j] = exp(-s[k * size + j]);
            gm[k * size + j] = gs[k * size + j] = 0.0;
        }
    }
    for (long i = 0; i < n; i++) {
        for (long k = 0; k < kinds; k++) {
            double square = 0.0;
            for (long j = 0; j < size; j++) {
                double u = (x[i * size + j] - m[k * size + j]) * inverse[k * size + j];
                square += u * u;
            }
            term[k] = base[k] - 0.5 * square;
        }
        top = term[0];
        for (long k = 1; k < kinds; k++)
            top = term[k] > top ? term[k] : top;
        sum = 0.0;
        for (long k = 0; k < kinds; k++) {
            term[k] = exp(term[k] - top);
            sum += term[k];
        }
        total += top + log(sum);
        for (long k = 0; k < kinds; k++) {
            double share = term[k] / sum;
            gw[k] += share;
            for (long j = 0; j < size; j++) {
                long at = k * size + j;
                double u = (x[i * size + j] - m[at]) * inverse[at];
                gm[at] += share * u * inverse[at];
                gs[at] += share * (u * u - 1.0);
            }
        }
    }
    return total;
}
