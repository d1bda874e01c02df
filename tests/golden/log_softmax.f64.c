/*
 * rowfold_log_softmax_f64_speculative__portable_u1_a1
 *
 * log_softmax: speculative, 2 sweeps (fewest by fusion: 2)
 *   sweep 1: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two without its largest term
 *   sweep 2: write subtract(z, log(expsum(1, multiply(x, divide(1, temperature)))))
 *
 * Written by rowfold 0.1.0 for portable; compile with -O2.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <fenv.h>

#if defined(__GNUC__)
#define RF_ALIGNED __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */
#define RF_COLD __attribute__((cold, noinline)) /* compiled for size */
#define RF_APART __attribute__((noinline)) /* seldom called */
#define RF_PREFETCH(p, far, write) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(far)), write, 2)
#else
#define RF_ALIGNED
#define RF_COLD
#define RF_APART
#define RF_PREFETCH(p, far, write)
#endif
#if defined(__clang__)
#define RF_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define RF_UNROLL _Pragma("GCC unroll 8")
#else
#define RF_UNROLL
#endif

/* The vocabulary: 8 lanes of double. */
static const double rf_sixteenths[16] RF_ALIGNED = { 0x1.028f5c29d9eb6p+0, 0x1.0e01e6e1f66edp+0, 0x1.19f6309f485a6p+0, 0x1.2671f7efc8e7dp+0, 0x1.337b3c7cd690ep+0, 0x1.411841ed22caep+0, 0x1.4f4f92e74b81dp+0, 0x1.5e280436929e7p+0, 0x1.6da8b8133647fp+0, 0x1.7dd9218ffdb03p+0, 0x1.8ec1082ea01aap+0, 0x1.a0688b9cbe796p+0, 0x1.b2d8279b3b7aap+0, 0x1.c618b811d23d8p+0, 0x1.da337d50e126fp+0, 0x1.ef32208374842p+0 };
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
static inline rf_vec rf_div(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] / b.v[l]; return r; }
static inline rf_vec rf_min(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] < b.v[l] ? a.v[l] : b.v[l]; return r; }
static inline rf_vec rf_max(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l]; return r; }
static inline double rf_power_of_2(double n) { double r; const uint64_t bits = (uint64_t)((int)n + 1023) << 52; memcpy(&r, &bits, sizeof r); return r; }
static inline double rf_scale_1(double p, double n)
{
    const double top = 2046, bottom = -2044;
    const double k = n < top ? (n > bottom ? n : bottom) : top;
    const double h = (double)(int)(k * (double)0.5);
    return p * rf_power_of_2(h) * rf_power_of_2(k - h);
}
static inline double rf_pick(double z) { uint64_t bits; memcpy(&bits, &z, sizeof bits); return rf_sixteenths[bits & 15]; }
static inline rf_vec rf_sixteenth(rf_vec z) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = rf_pick(z.v[l]); return r; }
static inline rf_vec rf_scale_floor(rf_vec p, rf_vec n) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = rf_scale_1(p.v[l], floor(n.v[l])); return r; }
static inline rf_vec rf_fma(rf_vec a, rf_vec b, rf_vec c) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = fma(a.v[l], b.v[l], c.v[l]); return r; }
static inline rf_vec rf_neg(rf_vec a) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = -a.v[l]; return r; }
static inline rf_mask rf_eq(rf_vec a, rf_vec b) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] == b.v[l]; return r; }
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l]; return r; }
static inline rf_mask rf_mask_none(void) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = 0; return r; }
static inline rf_mask rf_mask_first(rf_mask a) { rf_mask r = rf_mask_none(); for (int l = 0; l < 8; ++l) if (a.v[l]) { r.v[l] = 1; break; } return r; }
static inline rf_mask rf_first_lanes(intptr_t count) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = l < count; return r; }
static inline double rf_fold_max(rf_vec v)
{
    double lane[8];
    rf_store(lane, v);
    for (int l = 0; l < 4; ++l) lane[l] = lane[l] > lane[l + 4] ? lane[l] : lane[l + 4];
    for (int l = 0; l < 2; ++l) lane[l] = lane[l] > lane[l + 2] ? lane[l] : lane[l + 2];
    for (int l = 0; l < 1; ++l) lane[l] = lane[l] > lane[l + 1] ? lane[l] : lane[l + 1];
    return (double)lane[0];
}
typedef fenv_t rf_env;
static inline rf_env rf_enter(void) { fenv_t env; feholdexcept(&env); return env; }
static inline void rf_leave(rf_env env) { fesetenv(&env); }
static inline intptr_t rf_least(intptr_t a, intptr_t b) { return a < b ? a : b; }
static RF_APART const double *rf_gather(const char *p, intptr_t step, intptr_t count, double *buffer) { for (intptr_t j = 0; j < count; ++j) memcpy(buffer + j, p + j * step, sizeof(double)); return buffer; }
static inline const double *rf_read(const char *p, intptr_t step, intptr_t i, intptr_t count, double *buffer) { return step == (intptr_t)sizeof(double) ? (const double *)(const void *)(p + i * step) : rf_gather(p + i * step, step, count, buffer); }
static inline double *rf_open(char *p, intptr_t step, intptr_t i, double *buffer) { return step == (intptr_t)sizeof(double) ? (double *)(void *)(p + i * step) : buffer; }
static RF_APART void rf_scatter(char *p, intptr_t step, intptr_t count, const double *buffer) { for (intptr_t j = 0; j < count; ++j) memcpy(p + j * step, buffer + j, sizeof(double)); }
static inline void rf_close(char *p, intptr_t step, intptr_t i, intptr_t count, const double *buffer) { if (step != (intptr_t)sizeof(double)) rf_scatter(p + i * step, step, count, buffer); }
static inline void rf_tree(const double *parts, intptr_t vectors, rf_vec *left, rf_vec *right)
{
    const intptr_t fours = (vectors - 1) / 4, rest = vectors - 4 * fours; /* zeros added to a sum are left out */
    rf_vec sum[4];
    for (int k = 0; k < 4; ++k) {
        const double *p = parts + 8 * k;
        const rf_vec last = k < rest ? rf_load(p + 32 * fours) : rf_set(0);
        sum[k] = fours > 0 ? rf_add(rf_load(p), fours > 2 ? rf_load(p + 64) : last) : last;
        if (fours > 1) sum[k] = rf_add(sum[k], fours > 2 ? rf_add(rf_load(p + 32), last) : rf_load(p + 32));
    }
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
static inline rf_acc rf_acc_add_tree(rf_acc s, const double *parts, intptr_t vectors)
{
    rf_vec left, right;
    rf_tree(parts, vectors, &left, &right);
    return rf_acc_add(rf_acc_add(s, left), right);
}
static inline void rf_stream(double *p, rf_vec a) { rf_store(p, a); }
static inline void rf_stream_end(void) { }
static inline void rf_store_far(double *p, rf_vec a, int far) { if (far) rf_stream(p, a); else rf_store(p, a); }
static inline intptr_t rf_unaligned(const char *p) { return (intptr_t)((64 - (uintptr_t)p % 64) % 64 / sizeof(double)); }
static inline void rf_ahead(const double *p) { for (int k = 0; k < 16; ++k) RF_PREFETCH(p, 4096 + 64 * k, 0); }
static inline rf_acc rf_acc_add_half(rf_acc s, const rf_vec *v)
{
    rf_vec sum[4];
    for (int k = 0; k < 4; ++k) sum[k] = rf_add(v[k], v[k + 4]);
    return rf_acc_add(rf_acc_add(s, rf_add(sum[0], sum[2])), rf_add(sum[1], sum[3]));
}
static inline double num_scalar(const char *p) { double a; memcpy(&a, p, sizeof a); return a; }
static inline int num_bad(double a) { return !(a - a == 0); }
static inline double num_fma(double a, double b, double c) { return fma(a, b, c); }
static inline double num_finite_or_0(double a) { return num_bad(a) ? 0 : a; }
static inline double num_log_rest(double small, double rest, double maximum) { return maximum == INFINITY ? (rest != rest ? rest : -INFINITY) : maximum == -INFINITY && rest == 0 ? 0 : small; }
static inline double num_far_shift(double m, double reach) { const double most = DBL_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double num_low_end(double n, double octave, double drop) { return (n - (n > -94547.0 ? drop : 4096.0)) * octave; } /* a row of -inf: nothing at all is left */
static inline double num_high_end(double n, double octave, double drop) { return (n + drop) * octave; }
static inline double num_div_rest(double a, double b, double q) { return num_finite_or_0(num_fma(-q, b, a) / b); }
static inline double num_mul_rest(double a, double b, double p) { return num_finite_or_0(num_fma(a, b, -p)); }
static inline void num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = num_finite_or_0(num_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline double num_choose(int c, double a, double b) { return c ? a : b; }
static inline double num_abs(double a) { return fabs(a); }
static inline double num_max(double a, double b) { return a > b ? a : b; }
static inline double num_copysign(double a, double b) { return copysign(a, b); }
static inline int num_isfinite(double a) { return !num_bad(a); }
static inline double num_power_of_2(double n) { double r; const uint64_t bits = (uint64_t)((int)n + 1023) << 52; memcpy(&r, &bits, sizeof r); return r; }
static inline double num_scale(double p, double n) { const double k = n < 2046 ? (n > -2044 ? n : -2044) : 2046, h = (double)(int)(k * 0.5); return p * num_power_of_2(h) * num_power_of_2(k - h); }
static inline double num_raise(double a) { return a < 0x1p-1022 ? a * 0x1p54 : a; }
static inline double num_exponent_bits(double a) { uint64_t b; memcpy(&b, &a, sizeof b); return (double)((int)(b >> 52 & 2047) - 1023); }
static inline double num_exponent(double x) { const double a = num_abs(x); return num_exponent_bits(num_raise(a)) - (a < 0x1p-1022 ? 54 : 0); }
static inline double num_mantissa(double x) { double r = num_raise(num_abs(x)); uint64_t b; memcpy(&b, &r, sizeof b); b = (b & 0xfffffffffffffu) | 0x3ff0000000000000u; memcpy(&r, &b, sizeof r); return r; }

/* UNIT 2^(x (k_hi + k_lo) - shift) for an integer shift; the constant UNIT (1.03) cancels in every ratio. */
static inline rf_vec rf_exp_shifted(rf_vec x, rf_vec k_hi, rf_vec k_lo, rf_vec shift)
{
    const rf_vec z = rf_fma(x, k_hi, rf_set(0x1.8p+48));
    const rf_vec n_v = rf_sub(z, rf_set(0x1.8p+48));
    const rf_vec t = rf_neg(n_v);
    const rf_vec f = rf_fma(x, k_hi, t);
    const rf_vec t_3 = rf_sixteenth(z);
    const rf_vec f_2 = rf_fma(x, k_lo, f);
    const rf_vec t_2 = rf_sub(n_v, shift);
    const rf_vec t_5 = rf_scale_floor(t_3, t_2);
    const rf_vec t_4 = rf_fma(rf_set(0x1.430809facaaf1p-13), f_2, rf_set(0x1.5d89bd73afe3cp-10));
    const rf_vec t_6 = rf_fma(t_4, f_2, rf_set(0x1.3b2ab6fe3f992p-7));
    const rf_vec t_7 = rf_fma(t_6, f_2, rf_set(0x1.c6b08d6e8cadbp-5));
    const rf_vec t_8 = rf_fma(t_7, f_2, rf_set(0x1.ebfbdff82c551p-3));
    const rf_vec t_9 = rf_fma(t_8, f_2, rf_set(0x1.62e42fefa39fdp-1));
    rf_vec rest = rf_mul(f_2, t_9);
    const rf_vec t_10 = rf_fma(t_5, rest, t_5);
    return t_10;
}

/* exp_split with p as the sum of two numbers, p itself and a small one. */
static inline void num_exp_split_pair(double x, double k_hi, double k_lo, double *out_0, double *out_1, double *out_2)
{
    const double t = num_fma(x, k_hi, 0x1.8p+52);
    const double n_v = t - 0x1.8p+52;
    const double t_2 = -n_v;
    const double f = num_fma(x, k_hi, t_2);
    const double f_2 = num_fma(x, k_lo, f);
    const double t_3 = num_fma(0x1.e81058e7c2baap-32, f_2, 0x1.e611a19da383bp-28);
    const double t_4 = num_fma(t_3, f_2, 0x1.b5260c797c74dp-24);
    const double t_5 = num_fma(t_4, f_2, 0x1.62bfcdde043efp-20);
    const double t_6 = num_fma(t_5, f_2, 0x1.ffcbfbf973f55p-17);
    const double t_7 = num_fma(t_6, f_2, 0x1.4309130c0133p-13);
    const double t_8 = num_fma(t_7, f_2, 0x1.5d87fe78b38dfp-10);
    const double t_9 = num_fma(t_8, f_2, 0x1.3b2ab6fba11f5p-7);
    const double t_10 = num_fma(t_9, f_2, 0x1.c6b08d704a0d5p-5);
    const double t_11 = num_fma(t_10, f_2, 0x1.ebfbdff82c59cp-3);
    const double slope = num_fma(t_11, f_2, 0x1.62e42fefa39efp-1);
    const double p = num_fma(slope, f_2, 1.0);
    const double t_12 = 1.0 - p;
    const double p_lo = num_fma(slope, f_2, t_12);
    *out_0 = p;
    *out_1 = p_lo;
    *out_2 = n_v;
}

/* log(1 + x + x_lo), where x_lo is what x was rounded by. */
static inline double num_log1p_sum(double x, double x_lo)
{
    const double total = 1.0 + x;
    const double back = total - 1.0;
    const double t = total - back;
    const double t_2 = 1.0 - t;
    const double t_3 = x - back;
    const double error = t_2 + t_3;
    const double m = num_mantissa(total);
    const double e = num_exponent(total);
    const int m_2 = m > 0x1.6a09e667f3bcdp+0;
    const double t_4 = m * 0x1p-1;
    const double t_5 = num_choose(m_2, t_4, m);
    const double r = t_5 - 1.0;
    const double t_6 = e + 1.0;
    const double e_2 = num_choose(m_2, t_6, e);
    const double t_7 = -e_2;
    const double lost = num_scale(error, t_7);
    const double extra = num_scale(x_lo, t_7);
    const double t_8 = 1.0 + r;
    const double share = r / t_8;
    const double t_9 = lost + extra;
    const double t_10 = -t_9;
    const double t_11 = 2.0 + r;
    const double s = r / t_11;
    const double z = s * s;
    const double t_12 = 0x1p-1 * r;
    const double half = t_12 * r;
    const double t_13 = -half;
    const double half_lo = num_fma(t_12, r, t_13);
    const double t_14 = num_fma(0x1.0f0c5c4e51e29p-3, z, 0x1.0f676edf5d496p-3);
    const double t_15 = num_fma(t_14, z, 0x1.3b20228f5e98bp-3);
    const double t_16 = num_fma(t_15, z, 0x1.745ce1d4439b1p-3);
    const double t_17 = num_fma(t_16, z, 0x1.c71c724b43019p-3);
    const double t_18 = num_fma(t_17, z, 0x1.24924924399b3p-2);
    const double t_19 = num_fma(t_18, z, 0x1.9999999999d1p-2);
    const double t_20 = num_fma(t_19, z, 0x1.5555555555555p-1);
    const double t_21 = num_fma(z, t_20, half);
    const double t_22 = -half_lo;
    const double t_23 = num_fma(s, t_21, t_22);
    const double tail = t_23 - half;
    const double t_24 = num_fma(t_10, share, tail);
    const double small = t_24 + extra;
    const double t_25 = small + lost;
    const double whole_v = e_2 * 0x1.62e42fefa38p-1;
    const double total_2 = whole_v + r;
    const double t_26 = whole_v - total_2;
    const double error_2 = t_26 + r;
    const double t_27 = num_fma(e_2, 0x1.ef35793c7673p-45, t_25);
    const double low = error_2 + t_27;
    const double t_28 = total_2 + low;
    const int m_3 = total < INFINITY;
    const double t_29 = num_choose(m_3, t_28, total);
    const int m_4 = total > 0.0;
    const double t_30 = num_choose(m_4, t_29, -INFINITY);
    const int m_5 = total >= 0.0;
    const double t_31 = num_choose(m_5, t_30, NAN);
    const double t_32 = num_copysign(t_31, x);
    return t_32;
}

/* What a row needs for its last sweep, which runs beneath the next row. */
typedef struct {
    const char *x;
    char *out;
    rf_vec half_v;
    rf_vec middle_v;
    rf_vec temperature_2_v;
    rf_vec twice_v;
    rf_vec less_v;
} log_softmax_held;

/* Sweep: write subtract(z, log(expsum(1, multiply(x, divide(1, temperature))))). One block of it. */
static void log_softmax_last(const log_softmax_held *held, intptr_t n, intptr_t i, intptr_t x_step, intptr_t out_step)
{
    double x_buffer[128];
    double out_buffer[128];
    const char *x = held->x;
    char *out = held->out;
    const rf_vec half_v = held->half_v, middle_v = held->middle_v, temperature_2_v = held->temperature_2_v, twice_v = held->twice_v, less_v = held->less_v;
    const intptr_t count = rf_least(n - i, 128);
    const double *x_b = rf_read(x, x_step, i, count, x_buffer);
    double *out_b = rf_open(out, out_step, i, out_buffer);
    intptr_t j = 0;
    for (; j + 8 <= count; j += 8) {
        const rf_vec x_i_6 = rf_load(x_b + j);
        const rf_vec t = rf_fma(x_i_6, half_v, middle_v);
        const rf_vec t_2 = rf_div(t, temperature_2_v);
        const rf_vec t_3 = rf_fma(t_2, twice_v, less_v);
        rf_store(out_b + j, t_3);
    }
    if (j < count) {
        const rf_mask live = rf_first_lanes(count - j);
        const rf_vec x_i_6 = rf_load_tail(x_b + j, live);
        const rf_vec t = rf_fma(x_i_6, half_v, middle_v);
        const rf_vec t_2 = rf_div(t, temperature_2_v);
        const rf_vec t_3 = rf_fma(t_2, twice_v, less_v);
        rf_store_tail(out_b + j, t_3, live);
    }
    rf_close(out, out_step, i, count, out_b);
}

/* The same for a block of which nothing is missing. */
static inline void log_softmax_last_whole(const log_softmax_held *held, intptr_t i, int far)
{
    const char *x = held->x;
    char *out = held->out;
    const rf_vec half_v = held->half_v, middle_v = held->middle_v, temperature_2_v = held->temperature_2_v, twice_v = held->twice_v, less_v = held->less_v;
    const double *x_b = (const double *)(const void *)(x + i * (intptr_t)sizeof(double));
    double *out_b = (double *)(void *)(out + i * (intptr_t)sizeof(double));
    for (intptr_t j = 0; j < 128; j += 8) {
        const rf_vec x_i_6 = rf_load(x_b + j);
        const rf_vec t = rf_fma(x_i_6, half_v, middle_v);
        const rf_vec t_2 = rf_div(t, temperature_2_v);
        const rf_vec t_3 = rf_fma(t_2, twice_v, less_v);
        rf_store_far(out_b + j, t_3, far);
    }
}

/* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
RF_COLD static void log_softmax_rare(intptr_t n, const char *x, intptr_t x_step, double *shift_, double *shift_n_, double *low_, double *high_, double *maximum_, double scale, double per_octave, double *rest, double *rest_lo, rf_vec scale_v_3, rf_vec scale_lo_v_3, rf_vec scale_v_4, rf_vec scale_lo_v_4)
{
    double x_buffer[128];
    
    /* Sweep: the maximum of a row that reaches beyond 2^16. */
    rf_vec max_lanes_2 = rf_set(-INFINITY);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        for (intptr_t j = 0; j < count; j += 8) {
            const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
            const rf_vec x_i_4 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_4_2 = rf_select(live, x_i_4, rf_set(-INFINITY));
            max_lanes_2 = rf_max(x_i_4_2, max_lanes_2);
        }
    }
    const double max = rf_fold_max(max_lanes_2);
    const double reach_2 = max * scale;
    const double shift = num_far_shift(max, reach_2);
    const double near = max - shift;
    const double shift_exponent_3 = num_exponent_of(near, scale);
    const double low_2 = num_low_end(shift_exponent_3, per_octave, 1092.0);
    const double high_2 = num_high_end(shift_exponent_3, per_octave, 40.0);
    *shift_ = shift;
    *shift_n_ = shift_exponent_3;
    *low_ = low_2;
    *high_ = high_2;
    *maximum_ = max;
    
    /* Sweep: its sums, shifted by that maximum. */
    rf_vec largest_2 = rf_set(-INFINITY);
    rf_acc sum_lanes_2 = rf_acc_zero();
    RF_ALIGNED double sum_parts_2[128];
    const rf_vec shift__v_2 = rf_set(*shift_);
    const double shift_exponent_4 = *shift_n_ - 72.0;
    const rf_vec shift_n__v_3 = rf_set(shift_exponent_4);
    const rf_vec low__v_3 = rf_set(*low_);
    const rf_vec high__v_2 = rf_set(*high_);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        const intptr_t vectors = (count + 7) / 8;
        for (intptr_t j = 0; j < count; j += 8) {
            const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
            const rf_vec x_i_5 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_5_2 = rf_select(live, x_i_5, rf_set(-INFINITY));
            const rf_vec displaced_3 = rf_min(largest_2, x_i_5_2);
            largest_2 = rf_max(x_i_5_2, largest_2);
            const rf_vec displaced_3_2 = rf_sub(displaced_3, shift__v_2);
            const rf_vec displaced_3_2_2 = rf_min(high__v_2, displaced_3_2);
            const rf_vec displaced_3_2_2_2 = rf_max(low__v_3, displaced_3_2_2);
            const rf_vec e_4 = rf_exp_shifted(displaced_3_2_2_2, scale_v_3, scale_lo_v_3, shift_n__v_3);
            const rf_vec e_4_2 = rf_select(live, e_4, rf_set(0.0));
            rf_store(sum_parts_2 + j, e_4_2);
        }
        sum_lanes_2 = rf_acc_add_tree(sum_lanes_2, sum_parts_2, vectors);
    }
    const double maximum_2 = rf_fold_max(largest_2);
    const rf_vec maximum_v_2 = rf_set(maximum_2);
    const rf_mask top_2 = rf_eq(largest_2, maximum_v_2);
    const rf_mask first_top_2 = rf_mask_first(top_2);
    const rf_vec others_3 = rf_select(first_top_2, rf_set(-INFINITY), largest_2);
    const rf_vec shift__v_3 = rf_set(*shift_);
    const rf_vec others_3_2 = rf_sub(others_3, shift__v_3);
    const double shift_exponent_5 = *shift_n_ - 72.0;
    const rf_vec shift_n__v_4 = rf_set(shift_exponent_5);
    const rf_vec low__v_4 = rf_set(*low_);
    const rf_vec high__v_3 = rf_set(*high_);
    const rf_vec others_3_2_2 = rf_min(high__v_3, others_3_2);
    const rf_vec others_3_2_2_2 = rf_max(low__v_4, others_3_2_2);
    const rf_vec e_5 = rf_exp_shifted(others_3_2_2_2, scale_v_4, scale_lo_v_4, shift_n__v_4);
    sum_lanes_2 = rf_acc_add(sum_lanes_2, e_5);
    double sum_2, sum_lo_2; rf_fold2(sum_lanes_2, &sum_2, &sum_lo_2);
    *rest = sum_2;
    *rest_lo = sum_lo_2;
}

/* Rows of a batch. */
static void log_softmax_rows(intptr_t rows, intptr_t n, const char *x_rows, intptr_t x_next, intptr_t x_step, const char *temperature, char *out_rows, intptr_t out_next, intptr_t out_step)
{
    double x_buffer[128];
    
    /* The same for all rows. */
    const double temperature_2 = num_scalar(temperature);
    const double reciprocal = 1.0 / temperature_2;
    const double factor_lo = num_div_rest(1.0, temperature_2, reciprocal);
    double scale, scale_lo; num_scale_log2e(reciprocal, factor_lo, &scale, &scale_lo);
    const double per_octave = 1.0 / scale;
    const rf_vec scale_v = rf_set(scale);
    const rf_vec scale_lo_v = rf_set(scale_lo);
    const rf_vec scale_v_2 = rf_set(scale);
    const rf_vec scale_lo_v_2 = rf_set(scale_lo);
    const rf_vec scale_v_3 = rf_set(scale);
    const rf_vec scale_lo_v_3 = rf_set(scale_lo);
    const rf_vec scale_v_4 = rf_set(scale);
    const rf_vec scale_lo_v_4 = rf_set(scale_lo);
    const rf_vec temperature_2_v = rf_set(temperature_2);
    
    /* What one row tells the next. */
    double shift_ = 0.0;
    double shift_n_ = 0.0;
    double low_ = 0.0;
    double high_ = 0.0;
    double maximum_ = 0.0;
    double doubts = 4.0;
    const int from_memory = n >= 512 && n <= 32768 && rows > 2097152 / n; /* not from a cache */
    const int contiguous = x_step == (intptr_t)sizeof(double) && out_step == (intptr_t)sizeof(double);
    log_softmax_held held;
    intptr_t held_at = n; /* so far no row waits for its last sweep */
    int held_whole = 0;
    const int far = n > 2097152; /* a row that no cache holds */
    int held_far = 0;
    
    for (intptr_t row = 0; row < rows; ++row) {
        const char *x = x_rows + row * x_next;
        char *out = out_rows + row * out_next;
        const int trusted = doubts < 4.0;
        const int wary = doubts >= 8.0;
    
        /* The rows before do not tell where this one's maximum lies. */
        if (!trusted) {
    
            /* Sweep: the row's first elements, to guess a power of two near its maximum. */
            rf_vec max_lanes = rf_set(-INFINITY);
            for (intptr_t i = 0; i < (wary ? n : rf_least(n, 8)); i += 128) {
                const intptr_t count = rf_least((wary ? n : rf_least(n, 8)) - i, 128);
                const double *x_b = rf_read(x, x_step, i, count, x_buffer);
                for (intptr_t j = 0; j < count; j += 8) {
                    const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
                    const rf_vec x_i = rf_load_tail(x_b + j, live);
                    const rf_vec x_i_2 = rf_select(live, x_i, rf_set(-INFINITY));
                    max_lanes = rf_max(x_i_2, max_lanes);
                }
            }
            const double first_max = rf_fold_max(max_lanes);
            const double no_shift = 0.0;
            const double guess = num_exponent_of(first_max, scale);
            const double low = num_low_end(guess, per_octave, 1092.0);
            const double high = num_high_end(guess, per_octave, 40.0);
            shift_ = no_shift;
            shift_n_ = guess;
            low_ = low;
            high_ = high;
            maximum_ = first_max;
        }
        const double reach = num_abs(shift_n_);
        const int near_zero = reach < 94548.0;
    
        /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two without its largest term. */
        rf_vec largest = rf_set(-INFINITY);
        rf_acc sum_lanes = rf_acc_zero();
        RF_ALIGNED double sum_parts[128];
        const double shift_exponent = shift_n_ - 72.0;
        const rf_vec shift_n__v = rf_set(shift_exponent);
        const rf_vec low__v = rf_set(low_);
        for (intptr_t i = 0; i < (near_zero ? n : 0); i += 128) {
            if (contiguous && n - i >= 128) {
                const double *x_b = (const double *)(const void *)(x + i * (intptr_t)sizeof(double));
                if (from_memory) {
                    rf_ahead(x_b);
                }
                rf_vec half_of_sum_parts[8];
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 8 * k;
                    const rf_vec x_i_3 = rf_load(x_b + j);
                    const rf_vec displaced = rf_min(largest, x_i_3);
                    largest = rf_max(x_i_3, largest);
                    const rf_vec displaced_2 = rf_max(low__v, displaced);
                    const rf_vec e = rf_exp_shifted(displaced_2, scale_v, scale_lo_v, shift_n__v);
                    half_of_sum_parts[k] = e;
                }
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 64 + 8 * k;
                    const rf_vec x_i_3 = rf_load(x_b + j);
                    const rf_vec displaced = rf_min(largest, x_i_3);
                    largest = rf_max(x_i_3, largest);
                    const rf_vec displaced_2 = rf_max(low__v, displaced);
                    const rf_vec e = rf_exp_shifted(displaced_2, scale_v, scale_lo_v, shift_n__v);
                    half_of_sum_parts[k] = rf_add(half_of_sum_parts[k], e);
                }
                if (held_whole && n - held_at >= 128) {
                    log_softmax_last_whole(&held, held_at, held_far);
                    held_at += 128;
                } else if (held_at < n) {
                    log_softmax_last(&held, n, held_at, x_step, out_step);
                    held_at += 128;
                }
                sum_lanes = rf_acc_add_half(sum_lanes, half_of_sum_parts);
                continue;
            }
            const intptr_t count = rf_least(n - i, 128);
            const double *x_b = rf_read(x, x_step, i, count, x_buffer);
            if (from_memory) {
                rf_ahead(x_b);
            }
            const intptr_t vectors = (count + 7) / 8;
            intptr_t j = 0;
            for (; j + 8 <= count; j += 8) {
                const rf_vec x_i_3 = rf_load(x_b + j);
                const rf_vec displaced = rf_min(largest, x_i_3);
                largest = rf_max(x_i_3, largest);
                const rf_vec displaced_2 = rf_max(low__v, displaced);
                const rf_vec e = rf_exp_shifted(displaced_2, scale_v, scale_lo_v, shift_n__v);
                rf_store(sum_parts + j, e);
            }
            if (j < count) {
                const rf_mask live = rf_first_lanes(count - j);
                const rf_vec x_i_3 = rf_load_tail(x_b + j, live);
                const rf_vec x_i_3_2 = rf_select(live, x_i_3, rf_set(-INFINITY));
                const rf_vec displaced = rf_min(largest, x_i_3_2);
                largest = rf_max(x_i_3_2, largest);
                const rf_vec displaced_2 = rf_max(low__v, displaced);
                const rf_vec e = rf_exp_shifted(displaced_2, scale_v, scale_lo_v, shift_n__v);
                const rf_vec e_2 = rf_select(live, e, rf_set(0.0));
                rf_store(sum_parts + j, e_2);
            }
            sum_lanes = rf_acc_add_tree(sum_lanes, sum_parts, vectors);
            if (held_at < n) { log_softmax_last(&held, n, held_at, x_step, out_step); held_at += 128; }
        }
        for (; held_whole && n - held_at >= 128; held_at += 128) log_softmax_last_whole(&held, held_at, held_far);
        for (; held_at < n; held_at += 128) log_softmax_last(&held, n, held_at, x_step, out_step);
        const double maximum = rf_fold_max(largest);
        const rf_vec maximum_v = rf_set(maximum);
        const rf_mask top = rf_eq(largest, maximum_v);
        const rf_mask first_top = rf_mask_first(top);
        const rf_vec others = rf_select(first_top, rf_set(-INFINITY), largest);
        const rf_vec shift__v = rf_set(shift_);
        const rf_vec others_2 = rf_sub(others, shift__v);
        const double shift_exponent_2 = shift_n_ - 72.0;
        const rf_vec shift_n__v_2 = rf_set(shift_exponent_2);
        const rf_vec low__v_2 = rf_set(low_);
        const rf_vec high__v = rf_set(high_);
        const rf_vec others_2_2 = rf_min(high__v, others_2);
        const rf_vec others_2_2_2 = rf_max(low__v_2, others_2_2);
        const rf_vec e_3 = rf_exp_shifted(others_2_2_2, scale_v_2, scale_lo_v_2, shift_n__v_2);
        sum_lanes = rf_acc_add(sum_lanes, e_3);
        double sum, sum_lo; rf_fold2(sum_lanes, &sum, &sum_lo);
        double rest = sum;
        double rest_lo = sum_lo;
        maximum_ = maximum;
        const double n_v = num_exponent_of(maximum, scale);
        const double off = n_v - shift_n_;
        const int close = off >= 0.0;
        const int close_2 = off < 28.0;
        const int close_3 = close && close_2;
        const int finite_v = num_isfinite(sum);
        const int safe = close_3 && finite_v;
        const int safe_2 = near_zero && safe;
    
        /* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
        if (!safe_2) log_softmax_rare(n, x, x_step, &shift_, &shift_n_, &low_, &high_, &maximum_, scale, per_octave, &rest, &rest_lo, scale_v_3, scale_lo_v_3, scale_v_4, scale_lo_v_4);
        const double near_3 = maximum_ - shift_;
        const double near_4 = num_finite_or_0(near_3);
        double p, p_lo, k_v; num_exp_split_pair(near_4, scale, scale_lo, &p, &p_lo, &k_v);
        const double p_2 = p * 0x1.028f5c29d9eb6p+72;
        const double k_v_2 = k_v - shift_n_;
        const double largest_term = num_scale(p_2, k_v_2);
        const int none = maximum_ == -INFINITY;
        const double largest_term_2 = num_choose(none, 0.0, largest_term);
        const double p_lo_2 = num_mul_rest(p, 0x1.028f5c29d9eb6p+72, p_2);
        const double p_lo_3 = num_fma(p_lo, 0x1.028f5c29d9eb6p+72, p_lo_2);
        const double largest_term_lo = num_scale(p_lo_3, k_v_2);
        const double ratio = rest / largest_term_2;
        const double less = -ratio;
        const double left = num_fma(less, largest_term_2, rest);
        const double left_2 = left + rest_lo;
        const double left_3 = num_fma(less, largest_term_lo, left_2);
        const double ratio_lo = left_3 / largest_term_2;
        const double ratio_lo_2 = num_finite_or_0(ratio_lo);
        const double log_small = num_log1p_sum(ratio, ratio_lo_2);
        const double log_tail = num_log_rest(log_small, rest, maximum_);
        const double size_2 = num_abs(maximum_);
        const int far_v = 0x1p+969 <= size_2;
        const double half = num_choose(far_v, 0x1p-1, 1.0);
        const double twice = num_choose(far_v, 2.0, 1.0);
        const double middle = maximum_ * half;
        const double middle_2 = -middle;
        const rf_vec half_v = rf_set(half);
        const rf_vec middle_v = rf_set(middle_2);
        const double less_2 = -log_tail;
        const rf_vec twice_v = rf_set(twice);
        const rf_vec less_v = rf_set(less_2);
    
        const double faded = doubts - 0x1.47ae147ae147bp-6;
        const double faded_2 = num_max(faded, 0.0);
        const int unshifted = shift_ == 0.0;
        const double size = num_abs(shift_n_);
        const int near_2 = size < 94548.0;
        const int usable = unshifted && near_2;
        const double doubted = faded_2 + 1.0;
        const double faded_3 = num_choose(safe_2, faded_2, doubted);
        const double at_least = num_max(faded_3, 4.0);
        doubts = num_choose(usable, faded_3, at_least);
        const double n_v_2 = num_exponent_of(maximum_, scale);
        const double guess_2 = n_v_2 - 10.0;
        const double low_3 = num_low_end(guess_2, per_octave, 1092.0);
        const double high_3 = num_high_end(guess_2, per_octave, 40.0);
        shift_ = 0.0;
        shift_n_ = guess_2;
        low_ = low_3;
        high_ = high_3;
    
        held.x = x;
        held.out = out;
        held.half_v = half_v;
        held.middle_v = middle_v;
        held.temperature_2_v = temperature_2_v;
        held.twice_v = twice_v;
        held.less_v = less_v;
        held_whole = contiguous && !num_bad(half) && !num_bad(middle_2) && !num_bad(temperature_2) && !num_bad(twice) && !num_bad(less_2); /* rows of NaN: by one loop, the compiler decides which is kept */
        held_at = held_whole && n >= 128 ? rf_unaligned(out) : 0; /* whole lines */
        if (held_at > 0) log_softmax_last(&held, held_at, 0, x_step, out_step);
        held_far = far && held_whole && ((uintptr_t)out + (uintptr_t)held_at * sizeof(double)) % 64 == 0;
    }
    for (; held_whole && n - held_at >= 128; held_at += 128) log_softmax_last_whole(&held, held_at, held_far);
    for (; held_at < n; held_at += 128) log_softmax_last(&held, n, held_at, x_step, out_step);
    if (far) rf_stream_end();
}

__attribute__((visibility("default"))) void rowfold_log_softmax_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_log_softmax_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    const intptr_t together = steps[1] == 0 ? dims[0] : 1; /* rows that share their settings */
    (void)data;
    for (intptr_t row = 0; row < dims[0]; row += together)
        log_softmax_rows(together, dims[1], args[0] + row * steps[0], steps[0], steps[3], args[1] + row * steps[1], args[2] + row * steps[2], steps[2], steps[4]);
    rf_leave(env);
}
