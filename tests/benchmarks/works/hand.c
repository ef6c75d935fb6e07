/* Works by hand in C, one thread. A compiler may fuse a product and a sum, unless said. */

#include <math.h>
#include <stddef.h>

/* Rosenbrock's function of a chain: value and gradient. */
double rosenbrock(long n, const double *restrict x, double *restrict g)
{
    double value = 0.0, carried = 0.0;
    for (long i = 0; i + 1 < n; i++) {
        double t = x[i + 1] - x[i] * x[i], u = 1.0 - x[i];
        value += 100.0 * t * t + u * u;
        g[i] = carried - 400.0 * x[i] * t - 2.0 * u;
        carried = 200.0 * t;
    }
    g[n - 1] = carried;
    return value;
}

/* The same in the Python loop's own arithmetic: each term is added to the value by
 * itself, and no product is fused with a sum. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("fp-contract=off")))
#endif
double rosenbrock_ordered(long n, const double *restrict x, double *restrict g)
{
    double value = 0.0, carried = 0.0;
    for (long i = 0; i + 1 < n; i++) {
        double t = x[i + 1] - x[i] * x[i], u = 1.0 - x[i];
        value = value + 100.0 * (t * t) + u * u;
        g[i] = carried - 400.0 * x[i] * t - 2.0 * u;
        carried = 200.0 * t;
    }
    g[n - 1] = carried;
    return value;
}

/* The three diagonals of its Hessian. */
void rosenbrock_hessian(long n, const double *restrict x, double *restrict main,
                        double *restrict off)
{
    for (long i = 0; i < n; i++)
        main[i] = i ? 200.0 : 0.0;
    for (long i = 0; i + 1 < n; i++) {
        main[i] += 1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0;
        off[i] = -400.0 * x[i];
    }
}

/* Black and Scholes' call: price and five slopes of each option; rows of out. */
void options(long n, const double *restrict spot, const double *restrict strike,
             const double *restrict years, const double *restrict rate,
             const double *restrict vol, double *restrict out)
{
    for (long i = 0; i < n; i++) {
        double s = spot[i], k = strike[i], t = years[i], r = rate[i], v = vol[i];
        double root = sqrt(t), dev = v * root;
        double d1 = (log(s / k) + (r + 0.5 * v * v) * t) / dev, d2 = d1 - dev;
        double n1 = 0.5 * (1.0 + erf(d1 * M_SQRT1_2));
        double n2 = 0.5 * (1.0 + erf(d2 * M_SQRT1_2));
        double slope = 0.3989422804014327 * exp(-0.5 * d1 * d1), down = exp(-r * t);
        out[i] = s * n1 - k * down * n2;
        out[n + i] = n1;
        out[2 * n + i] = -down * n2;
        out[3 * n + i] = 0.5 * s * slope * v / root + r * k * down * n2;
        out[4 * n + i] = k * t * down * n2;
        out[5 * n + i] = s * slope * root;
    }
}

/* Lorenz' equations by Runge and Kutta's fourth order rule. */
typedef struct { double x, y, z; } state;

static inline state slope(state s)
{
    return (state){10.0 * (s.y - s.x), s.x * (28.0 - s.z) - s.y,
                   s.x * s.y - 8.0 / 3.0 * s.z};
}

static inline state moved(state s, double h, state k)
{
    return (state){s.x + h * k.x, s.y + h * k.y, s.z + h * k.z};
}

static inline double blend(double s, double h, double a, double b, double c, double d)
{
    return s + h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
}

/* What the adjoint of the slope at s passes on to s. */
static inline state slope_back(state s, state bar)
{
    return (state){-10.0 * bar.x + (28.0 - s.z) * bar.y + s.y * bar.z,
                   10.0 * bar.x - bar.y + s.x * bar.z,
                   -s.x * bar.y - 8.0 / 3.0 * bar.z};
}

/* The sum of the last state, after n steps; kept has room for 3 n numbers, or is NULL. */
double lorenz(long n, const double *restrict start, double h, double *restrict kept)
{
    state s = {start[0], start[1], start[2]};
    for (long m = 0; m < n; m++) {
        if (kept) {
            kept[3 * m] = s.x;
            kept[3 * m + 1] = s.y;
            kept[3 * m + 2] = s.z;
        }
        state a = slope(s), b = slope(moved(s, 0.5 * h, a));
        state c = slope(moved(s, 0.5 * h, b)), d = slope(moved(s, h, c));
        s.x = blend(s.x, h, a.x, b.x, c.x, d.x);
        s.y = blend(s.y, h, a.y, b.y, c.y, d.y);
        s.z = blend(s.z, h, a.z, b.z, c.z, d.z);
    }
    return s.x + s.y + s.z;
}

/* The same, and its slopes by the first state. */
double lorenz_gradient(long n, const double *restrict start, double h,
                       double *restrict kept, double *restrict g)
{
    double value = lorenz(n, start, h, kept);
    state bar = {1.0, 1.0, 1.0};
    for (long m = n - 1; m >= 0; m--) {
        state s = {kept[3 * m], kept[3 * m + 1], kept[3 * m + 2]};
        state s2 = moved(s, 0.5 * h, slope(s)), s3 = moved(s, 0.5 * h, slope(s2));
        state s4 = moved(s, h, slope(s3)), none = {0.0, 0.0, 0.0};
        state outer = moved(none, h / 6.0, bar), inner = moved(none, h / 3.0, bar);
        state d = slope_back(s4, outer), c = slope_back(s3, moved(inner, h, d));
        state b = slope_back(s2, moved(inner, 0.5 * h, c));
        state a = slope_back(s, moved(outer, 0.5 * h, b));
        bar.x += a.x + b.x + c.x + d.x;
        bar.y += a.y + b.y + c.y + d.y;
        bar.z += a.z + b.z + c.z + d.z;
    }
    g[0] = bar.x;
    g[1] = bar.y;
    g[2] = bar.z;
    return value;
}

/* log sum exp: value and gradient. */
double exponentials(long n, const double *restrict x, double *restrict g)
{
    double top = -INFINITY, total = 0.0;
    for (long i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (long i = 0; i < n; i++) {
        g[i] = exp(x[i] - top);
        total += g[i];
    }
    for (long i = 0; i < n; i++)
        g[i] /= total;
    return top + log(total);
}

/* Bundle adjustment: the blocks (2 x 15) of n observations. p is (15, n), seen (2, n),
 * out (2, 15, n). The camera is an axis times an angle r, a centre, a focal length, a
 * principal point and two numbers of distortion; then the point and the weight. */
void bundle(long n, const double *restrict p, const double *restrict seen,
            double *restrict out)
{
    for (long m = 0; m < n; m++) {
        double r[3], a[3], axis[3], cross[3], q[3], pixel[2], turn = 0.0, along = 0.0;
        for (int i = 0; i < 3; i++) {
            r[i] = p[i * n + m];
            a[i] = p[(11 + i) * n + m] - p[(3 + i) * n + m];
            turn += r[i] * r[i];
        }
        turn = sqrt(turn);
        double c = cos(turn), s = sin(turn), focal = p[6 * n + m];
        double k1 = p[9 * n + m], k2 = p[10 * n + m], w = p[14 * n + m];
        for (int i = 0; i < 3; i++) {
            axis[i] = r[i] / turn;
            along += axis[i] * a[i];
        }
        for (int i = 0; i < 3; i++)
            cross[i] = axis[(i + 1) % 3] * a[(i + 2) % 3]
                       - axis[(i + 2) % 3] * a[(i + 1) % 3];
        for (int i = 0; i < 3; i++)
            q[i] = a[i] * c + cross[i] * s + axis[i] * along * (1.0 - c);
        pixel[0] = q[0] / q[2];
        pixel[1] = q[1] / q[2];
        double square = pixel[0] * pixel[0] + pixel[1] * pixel[1];
        double g = 1.0 + square * (k1 + k2 * square), scale = focal * g;
        double bent = 2.0 * focal * (k1 + 2.0 * k2 * square);
        for (int j = 0; j < 2; j++) {
            double *o = out + j * 15 * n + m, at = pixel[j], b[3], on[3];
            double near = 0.0, byturn = 0.0, across = 0.0, touch = 0.0;
            for (int i = 0; i < 2; i++)
                b[i] = w * ((i == j ? scale : 0.0) + bent * at * pixel[i]) / q[2];
            b[2] = -(b[0] * pixel[0] + b[1] * pixel[1]);
            for (int i = 0; i < 3; i++) {
                near += axis[i] * b[i];
                touch += a[i] * b[i];
                byturn += cross[i] * b[i];
            }
            byturn = c * byturn - s * touch + s * along * near;
            for (int i = 0; i < 3; i++) {
                int e = (i + 1) % 3, f = (i + 2) % 3;
                double back = c * b[i] + s * (b[e] * axis[f] - b[f] * axis[e])
                              + axis[i] * near * (1.0 - c);
                o[(3 + i) * n] = -back;
                o[(11 + i) * n] = back;
                on[i] = s * (a[e] * b[f] - a[f] * b[e])
                        + (1.0 - c) * (along * b[i] + near * a[i]);
                across += axis[i] * on[i];
            }
            for (int i = 0; i < 3; i++)
                o[i * n] = (on[i] - axis[i] * across) / turn + axis[i] * byturn;
            o[6 * n] = w * g * at;
            o[7 * n] = j ? 0.0 : w;
            o[8 * n] = j ? w : 0.0;
            o[9 * n] = w * focal * square * at;
            o[10 * n] = w * focal * square * square * at;
            o[14 * n] = scale * at + p[(7 + j) * n + m] - seen[j * n + m];
        }
    }
}

/* A determinant by minors: of the rows from row on, and of the columns in a mask. */
static double minor_of(int n, const double *a, int row, unsigned columns)
{
    if (!columns)
        return 1.0;
    double total = 0.0, sign = 1.0;
    for (int j = 0; j < n; j++) {
        if (!(columns >> j & 1u))
            continue;
        total += sign * a[row * n + j] * minor_of(n, a, row + 1, columns & ~(1u << j));
        sign = -sign;
    }
    return total;
}

/* The same with its slopes: each call passes its adjoint down. */
static void minor_back(int n, const double *a, double *g, int row, unsigned columns,
                       double bar)
{
    double sign = 1.0;
    for (int j = 0; j < n && columns; j++) {
        if (!(columns >> j & 1u))
            continue;
        unsigned rest = columns & ~(1u << j);
        g[row * n + j] += bar * sign * minor_of(n, a, row + 1, rest);
        minor_back(n, a, g, row + 1, rest, bar * sign * a[row * n + j]);
        sign = -sign;
    }
}

double minors(int n, const double *a, double *g)
{
    for (int i = 0; i < n * n; i++)
        g[i] = 0.0;
    minor_back(n, a, g, 0, (1u << n) - 1u, 1.0);
    return minor_of(n, a, 0, (1u << n) - 1u);
}
