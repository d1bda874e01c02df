/*
 * rowfold_softmax_f64_three_pass_reload__portable_u1_a1
 *
 * softmax: three_pass_reload, 3 sweeps (fewest by fusion: 2)
 *   sweep 1: the maximum of x
 *   sweep 2: the exponential sum of multiply(x, divide(1, temperature)) shifted by its maximum, keep the exponentials in the output
 *   sweep 3: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there
 *
 * Written by rowfold 0.1.0 for portable; compile with no flags.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <fenv.h>

#if defined(__GNUC__)
#define RF_ALIGNED __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */
#define RF_PREFETCH(p, far, write) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(far)), write, 2)
#else
#define RF_ALIGNED
#define RF_PREFETCH(p, far, write)
#endif

/* The vocabulary: 8 lanes of double. */
typedef struct { double v[8]; } rf_vec;
typedef struct { uint8_t v[8]; } rf_mask;
static inline rf_vec rf_set(double a) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = (double)a; return r; }
static inline rf_vec rf_load(const double *p) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = p[l]; return r; }
static inline rf_vec rf_load_tail(const double *p, rf_mask m) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? p[l] : 0; return r; }
static inline void rf_store(double *p, rf_vec a) { for (int l = 0; l < 8; ++l) p[l] = a.v[l]; }
static inline void rf_store_tail(double *p, rf_vec a, rf_mask m) { for (int l = 0; l < 8; ++l) if (m.v[l]) p[l] = a.v[l]; }
static inline rf_vec rf_add(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] + b.v[l]; return r; }
static inline rf_vec rf_sub(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] - b.v[l]; return r; }
static inline rf_vec rf_mul(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] * b.v[l]; return r; }
static inline rf_vec rf_max(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l]; return r; }
static inline double rf_power(double n) { double r; const uint64_t bits = (uint64_t)((int)n + 1023) << 52; memcpy(&r, &bits, sizeof r); return r; }
static inline double rf_scale_1(double p, double n)
{
    const double top = 2046, bottom = -2044;
    const double k = n < top ? (n > bottom ? n : bottom) : top;
    const double h = (double)(int)(k * (double)0.5);
    return p * rf_power(h) * rf_power(k - h);
}
static inline rf_vec rf_scale(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = rf_scale_1(a.v[l], b.v[l]); return r; }
static inline rf_vec rf_fma(rf_vec a, rf_vec b, rf_vec c) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = fma(a.v[l], b.v[l], c.v[l]); return r; }
static inline rf_vec rf_neg(rf_vec a) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = -a.v[l]; return r; }
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l]; return r; }
static inline rf_mask rf_first_lanes(intptr_t count) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = l < count; return r; }
typedef fenv_t rf_env;
static inline rf_env rf_enter(void) { fenv_t env; feholdexcept(&env); return env; }
static inline void rf_leave(rf_env env) { fesetenv(&env); }
static inline intptr_t rf_least(intptr_t a, intptr_t b) { return a < b ? a : b; }
static inline const double *rf_read(const char *p, intptr_t step, intptr_t i, intptr_t count, double *buffer)
{
    if (step == (intptr_t)sizeof(double)) return (const double *)(const void *)(p + i * step);
    for (intptr_t j = 0; j < count; ++j) memcpy(buffer + j, p + (i + j) * step, sizeof(double));
    return buffer;
}
static inline double *rf_open(char *p, intptr_t step, intptr_t i, double *buffer)
{
    return step == (intptr_t)sizeof(double) ? (double *)(void *)(p + i * step) : buffer;
}
static inline void rf_close(char *p, intptr_t step, intptr_t i, intptr_t count, const double *buffer)
{
    if (step == (intptr_t)sizeof(double)) return;
    for (intptr_t j = 0; j < count; ++j) memcpy(p + (i + j) * step, buffer + j, sizeof(double));
}
static inline void rf_tree(double *parts, intptr_t vectors, rf_vec *left, rf_vec *right)
{
    for (intptr_t k = vectors; k < 16; ++k) rf_store(parts + 8 * k, rf_set(0));
    rf_vec sum[8];
    for (int k = 0; k < 8; ++k) sum[k] = rf_add(rf_load(parts + 8 * k), rf_load(parts + 8 * (k + 8)));
    for (int k = 0; k < 4; ++k) sum[k] = rf_add(sum[k], sum[k + 4]);
    *left = rf_add(sum[0], sum[2]);
    *right = rf_add(sum[1], sum[3]);
}
typedef struct { rf_vec hi, lo; } rf_acc;
static inline rf_acc rf_acc_zero(void) { const rf_acc s = { rf_set(0), rf_set(0) }; return s; }
static inline rf_acc rf_acc_add(rf_acc s, rf_vec x)
{
    const rf_vec hi = rf_add(s.hi, x), back = rf_sub(hi, s.hi);
    const rf_vec lost = rf_add(rf_sub(s.hi, rf_sub(hi, back)), rf_sub(x, back));
    const rf_acc r = { hi, rf_add(s.lo, lost) };
    return r;
}
static inline double num_two_sum(double a, double b, double *lost) { const double s = a + b, back = s - a; *lost = (a - (s - back)) + (b - back); return s; }
static inline void rf_fold2(rf_acc s, double *hi, double *lo)
{
    double lane[8], rest[8];
    rf_store(lane, s.hi);
    rf_store(rest, s.lo);
    for (int half = 4; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) {
            double lost;
            lane[l] = num_two_sum(lane[l], lane[l + half], &lost);
            rest[l] = rest[l] + rest[l + half] + lost;
        }
    const double total = lane[0] + rest[0], left = (lane[0] - total) + rest[0];
    *hi = total - total == 0 ? total : lane[0];
    *lo = left - left == 0 ? left : 0;
}
static inline rf_acc rf_acc_add_tree(rf_acc s, double *parts, intptr_t vectors)
{
    rf_vec left, right;
    rf_tree(parts, vectors, &left, &right);
    return rf_acc_add(rf_acc_add(s, left), right);
}
static inline double rf_fold_max(rf_vec v)
{
    double lane[8];
    rf_store(lane, v);
    for (int l = 0; l < 4; ++l) lane[l] = lane[l] > lane[l + 4] ? lane[l] : lane[l + 4];
    for (int l = 0; l < 2; ++l) lane[l] = lane[l] > lane[l + 2] ? lane[l] : lane[l + 2];
    for (int l = 0; l < 1; ++l) lane[l] = lane[l] > lane[l + 1] ? lane[l] : lane[l + 1];
    return (double)lane[0];
}
static inline double num_scalar(const char *p) { double a; memcpy(&a, p, sizeof a); return a; }
static inline int num_bad(double a) { return !(a - a == 0); }
static inline double num_fma(double a, double b, double c) { return fma(a, b, c); }
static inline double num_finite_or_0(double a) { return num_bad(a) ? 0 : a; }
static inline double num_far_shift(double m, double reach) { const double most = DBL_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double num_low_end(double n, double scale, double drop) { return (n - drop) / scale; }
static inline double num_div_rest(double a, double b, double q) { return num_finite_or_0(num_fma(-q, b, a) / b); }
static inline void num_reciprocal2(double hi, double lo, double *r, double *rest) { *r = 1 / hi; *rest = num_finite_or_0(*r * (num_fma(-*r, hi, 1) - *r * lo)); }
static inline void num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = num_finite_or_0(num_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline double num_nan_if(int c, double a) { return c ? NAN : a; }

/* 2^(x (k_hi + k_lo)) = p 2^n with an integer n and p in [0.7, 1.42]: nothing overflows, whatever n is. */
static inline void rf_exp_split(rf_vec x, rf_vec k_hi, rf_vec k_lo, rf_vec *out_0, rf_vec *out_1)
{
    const rf_vec t = rf_fma(x, k_hi, rf_set(0x1.8p+52));
    const rf_vec n_v = rf_sub(t, rf_set(0x1.8p+52));
    const rf_vec t_2 = rf_neg(n_v);
    const rf_vec f = rf_fma(x, k_hi, t_2);
    const rf_vec f_2 = rf_fma(x, k_lo, f);
    const rf_vec t_3 = rf_fma(rf_set(0x1.e81058e7c2baap-32), f_2, rf_set(0x1.e611a19da383bp-28));
    const rf_vec t_4 = rf_fma(t_3, f_2, rf_set(0x1.b5260c797c74dp-24));
    const rf_vec t_5 = rf_fma(t_4, f_2, rf_set(0x1.62bfcdde043efp-20));
    const rf_vec t_6 = rf_fma(t_5, f_2, rf_set(0x1.ffcbfbf973f55p-17));
    const rf_vec t_7 = rf_fma(t_6, f_2, rf_set(0x1.4309130c0133p-13));
    const rf_vec t_8 = rf_fma(t_7, f_2, rf_set(0x1.5d87fe78b38dfp-10));
    const rf_vec t_9 = rf_fma(t_8, f_2, rf_set(0x1.3b2ab6fba11f5p-7));
    const rf_vec t_10 = rf_fma(t_9, f_2, rf_set(0x1.c6b08d704a0d5p-5));
    const rf_vec t_11 = rf_fma(t_10, f_2, rf_set(0x1.ebfbdff82c59cp-3));
    const rf_vec t_12 = rf_fma(t_11, f_2, rf_set(0x1.62e42fefa39efp-1));
    const rf_vec p = rf_fma(t_12, f_2, rf_set(1.0));
    *out_0 = p;
    *out_1 = n_v;
}

/* One row. */
static void softmax_row(intptr_t n, const char *x, intptr_t x_step, intptr_t x_next, const char *temperature, char *out, intptr_t out_step, intptr_t out_next)
{
    double x_buffer[128];
    double out_buffer[128];
    
    /* Sweep: the maximum of x. */
    rf_vec max_lanes = rf_set(-INFINITY);
    rf_vec turn_1_of_max_lanes = max_lanes;
    rf_vec turn_2_of_max_lanes = max_lanes;
    rf_vec turn_3_of_max_lanes = max_lanes;
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        const intptr_t whole = count & ~(intptr_t)7;
        intptr_t j = 0;
        for (; j + 24 < whole; j += 32) {
            {
                const rf_vec x_i = rf_load(x_b + j);
                max_lanes = rf_max(x_i, max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 8);
                turn_1_of_max_lanes = rf_max(x_i, turn_1_of_max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 16);
                turn_2_of_max_lanes = rf_max(x_i, turn_2_of_max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 24);
                turn_3_of_max_lanes = rf_max(x_i, turn_3_of_max_lanes);
            }
        }
        for (; j < whole; j += 8) {
            const rf_vec x_i = rf_load(x_b + j);
            max_lanes = rf_max(x_i, max_lanes);
        }
        if (j < count) {
            const rf_mask live = rf_first_lanes(count - j);
            const rf_vec x_i = rf_load_tail(x_b + j, live);
            const rf_vec x_i_2 = rf_select(live, x_i, rf_set(-INFINITY));
            max_lanes = rf_max(x_i_2, max_lanes);
        }
    }
    max_lanes = rf_max(turn_1_of_max_lanes, max_lanes);
    max_lanes = rf_max(turn_2_of_max_lanes, max_lanes);
    max_lanes = rf_max(turn_3_of_max_lanes, max_lanes);
    const double max = rf_fold_max(max_lanes);
    const double temperature_2 = num_scalar(temperature);
    const double reciprocal = 1.0 / temperature_2;
    const double factor_lo = num_div_rest(1.0, temperature_2, reciprocal);
    double scale, scale_lo; num_scale_log2e(reciprocal, factor_lo, &scale, &scale_lo);
    const double reach = max * scale;
    const double shift = num_far_shift(max, reach);
    const double near = max - shift;
    const double shift_exponent = num_exponent_of(near, scale);
    const int endless = max == INFINITY;
    const double shift_exponent_2 = num_nan_if(endless, shift_exponent);
    const double low = num_low_end(shift_exponent_2, scale, 1100.0);
    const double shift_ = shift;
    const double shift_n_ = shift_exponent_2;
    const double low_ = low;
    
    /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) shifted by its maximum, keep the exponentials in the output. */
    rf_acc sum_lanes = rf_acc_zero();
    RF_ALIGNED double sum_parts[128];
    const rf_vec shift__v = rf_set(shift_);
    const rf_vec shift_n__v = rf_set(shift_n_);
    const rf_vec low__v = rf_set(low_);
    const rf_vec scale_v = rf_set(scale);
    const rf_vec scale_lo_v = rf_set(scale_lo);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        double *out_b = rf_open(out, out_step, i, out_buffer);
        const intptr_t whole = count & ~(intptr_t)7;
        const intptr_t vectors = (count + 7) / 8;
        intptr_t j = 0;
        for (; j < whole; j += 8) {
            RF_PREFETCH(x, x_next + (i + j) * (intptr_t)sizeof(double), 0);
            RF_PREFETCH(out, out_next + (i + j) * (intptr_t)sizeof(double), 1);
            const rf_vec x_i_3 = rf_load(x_b + j);
            const rf_vec x_i_3_2 = rf_sub(x_i_3, shift__v);
            const rf_vec x_i_3_2_2 = rf_max(low__v, x_i_3_2);
            rf_vec p, k; rf_exp_split(x_i_3_2_2, scale_v, scale_lo_v, &p, &k);
            const rf_vec k_2 = rf_sub(k, shift_n__v);
            const rf_vec e = rf_scale(p, k_2);
            rf_store(out_b + j, e);
            rf_store(sum_parts + j, e);
        }
        if (j < count) {
            const rf_mask live = rf_first_lanes(count - j);
            const rf_vec x_i_3 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_3_2 = rf_sub(x_i_3, shift__v);
            const rf_vec x_i_3_2_2 = rf_max(low__v, x_i_3_2);
            rf_vec p, k; rf_exp_split(x_i_3_2_2, scale_v, scale_lo_v, &p, &k);
            const rf_vec k_2 = rf_sub(k, shift_n__v);
            const rf_vec e = rf_scale(p, k_2);
            rf_store_tail(out_b + j, e, live);
            const rf_vec e_2 = rf_select(live, e, rf_set(0.0));
            rf_store(sum_parts + j, e_2);
        }
        sum_lanes = rf_acc_add_tree(sum_lanes, sum_parts, vectors);
        rf_close(out, out_step, i, count, out_b);
    }
    double sum, sum_lo; rf_fold2(sum_lanes, &sum, &sum_lo);
    const double sum_2 = sum;
    const double sum_lo_2 = sum_lo;
    
    /* Sweep: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there. */
    double r, r_lo; num_reciprocal2(sum_2, sum_lo_2, &r, &r_lo);
    const rf_vec r_lo_v = rf_set(r_lo);
    const rf_vec r_v = rf_set(r);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        double *out_b = rf_open(out, out_step, i, out_buffer);
        (void)rf_read(out, out_step, i, count, out_buffer);
        const intptr_t whole = count & ~(intptr_t)7;
        intptr_t j = 0;
        for (; j < whole; j += 8) {
            const rf_vec out_i = rf_load(out_b + j);
            const rf_vec small = rf_mul(out_i, r_lo_v);
            const rf_vec t = rf_fma(out_i, r_v, small);
            rf_store(out_b + j, t);
        }
        if (j < count) {
            const rf_mask live = rf_first_lanes(count - j);
            const rf_vec out_i = rf_load_tail(out_b + j, live);
            const rf_vec small = rf_mul(out_i, r_lo_v);
            const rf_vec t = rf_fma(out_i, r_v, small);
            rf_store_tail(out_b + j, t, live);
        }
        rf_close(out, out_step, i, count, out_b);
    }
}

__attribute__((visibility("default"))) void rowfold_softmax_f64_three_pass_reload__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_softmax_f64_three_pass_reload__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    (void)data;
    for (intptr_t row = 0; row < dims[0]; ++row)
        softmax_row(dims[1], args[0] + row * steps[0], steps[3], steps[0], args[1] + row * steps[1], args[2] + row * steps[2], steps[4], steps[2]);
    rf_leave(env);
}
