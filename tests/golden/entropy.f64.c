/*
 * rowfold_entropy_f64_speculative__portable_u1_a1
 *
 * entropy: speculative, 1 sweep (fewest by fusion: 1)
 *   sweep 1: the exponential sum of x under a guessed power of two, the exponential sum of x, x under a guessed power of two
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
static inline rf_vec rf_add(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] + b.v[l]; return r; }
static inline rf_vec rf_sub(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] - b.v[l]; return r; }
static inline rf_vec rf_mul(rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] * b.v[l]; return r; }
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
static inline rf_mask rf_ne(rf_vec a, rf_vec b) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = a.v[l] != b.v[l]; return r; }
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l]; return r; }
static inline rf_mask rf_mask_or(rf_mask a, rf_mask b) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = (uint8_t)(a.v[l] | b.v[l]); return r; }
static inline rf_mask rf_mask_none(void) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = 0; return r; }
static inline int rf_any(rf_mask a) { int r = 0; for (int l = 0; l < 8; ++l) r |= a.v[l]; return r; }
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
typedef struct { rf_vec hi, lo; } rf_acc;
static inline rf_acc rf_acc_zero(void) { const rf_acc s = { rf_set(0), rf_set(0) }; return s; }
static inline rf_acc rf_acc_add(rf_acc s, rf_vec x)
{
    const rf_vec hi = rf_add(s.hi, x), back = rf_sub(hi, s.hi);
    const rf_vec lost = rf_add(rf_sub(s.hi, rf_sub(hi, back)), rf_sub(x, back));
    const rf_acc r = { hi, rf_add(s.lo, lost) };
    return r;
}
static inline rf_acc rf_acc_fma(rf_acc s, rf_vec x, rf_vec y)
{
    const rf_vec p = rf_mul(x, y);
    rf_acc r = rf_acc_add(s, p);
    r.lo = rf_add(r.lo, rf_fma(x, y, rf_neg(p)));
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
static inline void num_result(char *p, double a) { const double r = (double)a; memcpy(p, &r, sizeof r); }
static inline double num_fma(double a, double b, double c) { return fma(a, b, c); }
static inline double num_join(double hi, double lo) { return (hi == INFINITY && lo == -INFINITY) || (hi == -INFINITY && lo == INFINITY) ? hi : hi + lo; }
static inline double num_far_shift(double m, double reach) { const double most = DBL_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double num_low_end(double n, double octave, double drop) { return (n - (n > -94547.0 ? drop : 4096.0)) * octave; } /* a row of -inf: nothing at all is left */
static inline double num_choose(int c, double a, double b) { return c ? a : b; }
static inline double num_nan_if(int c, double a) { return c ? NAN : a; }
static inline double num_abs(double a) { return fabs(a); }
static inline double num_max(double a, double b) { return a > b ? a : b; }
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
    const rf_vec rest = rf_mul(f_2, t_9);
    const rf_vec t_10 = rf_fma(t_5, rest, t_5);
    return t_10;
}

/* The natural logarithm. */
static inline double num_log(double x)
{
    const double m = num_mantissa(x);
    const double e = num_exponent(x);
    const int m_2 = m > 0x1.6a09e667f3bcdp+0;
    const double t = m * 0x1p-1;
    const double t_2 = num_choose(m_2, t, m);
    const double r = t_2 - 1.0;
    const double t_3 = e + 1.0;
    const double e_2 = num_choose(m_2, t_3, e);
    const double t_4 = 2.0 + r;
    const double s = r / t_4;
    const double z = s * s;
    const double t_5 = 0x1p-1 * r;
    const double half = t_5 * r;
    const double t_6 = -half;
    const double half_lo = num_fma(t_5, r, t_6);
    const double t_7 = num_fma(0x1.0f0c5c4e51e29p-3, z, 0x1.0f676edf5d496p-3);
    const double t_8 = num_fma(t_7, z, 0x1.3b20228f5e98bp-3);
    const double t_9 = num_fma(t_8, z, 0x1.745ce1d4439b1p-3);
    const double t_10 = num_fma(t_9, z, 0x1.c71c724b43019p-3);
    const double t_11 = num_fma(t_10, z, 0x1.24924924399b3p-2);
    const double t_12 = num_fma(t_11, z, 0x1.9999999999d1p-2);
    const double t_13 = num_fma(t_12, z, 0x1.5555555555555p-1);
    const double t_14 = num_fma(z, t_13, half);
    const double t_15 = -half_lo;
    const double t_16 = num_fma(s, t_14, t_15);
    const double tail = t_16 - half;
    const double whole_v = e_2 * 0x1.62e42fefa38p-1;
    const double total = whole_v + r;
    const double t_17 = whole_v - total;
    const double error = t_17 + r;
    const double t_18 = num_fma(e_2, 0x1.ef35793c7673p-45, tail);
    const double low = error + t_18;
    const double t_19 = total + low;
    const int m_3 = x < INFINITY;
    const double t_20 = num_choose(m_3, t_19, x);
    const int m_4 = x > 0.0;
    const double t_21 = num_choose(m_4, t_20, -INFINITY);
    const int m_5 = x >= 0.0;
    const double t_22 = num_choose(m_5, t_21, NAN);
    return t_22;
}

/* A row with +inf: its sum is infinite, or NaN. */
RF_COLD static void entropy_rare(intptr_t n, const char *x, intptr_t x_step, double *sum_2, double *sum_lo_2)
{
    double x_buffer[128];
    
    /* Sweep: whether it holds NaN beside +inf. */
    rf_mask infinite_lanes = rf_mask_none();
    rf_mask unordered_lanes = rf_mask_none();
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        for (intptr_t j = 0; j < count; j += 8) {
            const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
            const rf_vec x_i_6 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_6_2 = rf_select(live, x_i_6, rf_set(0.0));
            const rf_mask infinite = rf_eq(x_i_6_2, rf_set(INFINITY));
            const rf_mask unordered = rf_ne(x_i_6_2, x_i_6_2);
            infinite_lanes = rf_mask_or(infinite_lanes, infinite);
            unordered_lanes = rf_mask_or(unordered_lanes, unordered);
        }
    }
    const int unordered_2 = rf_any(unordered_lanes);
    const int ordered = !unordered_2;
    const int infinite_2 = rf_any(infinite_lanes);
    const int endless_2 = infinite_2 && ordered;
    *sum_2 = num_choose(endless_2, INFINITY, *sum_2);
    *sum_lo_2 = num_choose(endless_2, 0.0, *sum_lo_2);
}

/* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
RF_COLD static void entropy_rare_2(intptr_t n, const char *x, intptr_t x_step, double *shift_, double *shift_n_, double *low_, double *sum_2, double *sum_lo_2, double *sum_4)
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
    const double reach_2 = max * 0x1.71547652b82fep+0;
    const double shift = num_far_shift(max, reach_2);
    const double near = max - shift;
    const double shift_exponent = num_exponent_of(near, 0x1.71547652b82fep+0);
    const int endless = max == INFINITY;
    const double shift_2 = num_choose(endless, 0.0, shift);
    const double shift_exponent_2 = num_choose(endless, 0.0, shift_exponent);
    const int finite_v = !endless;
    const double low_2 = num_low_end(shift_exponent_2, 0x1.62e42fefa39efp-1, 1092.0);
    *shift_ = shift_2;
    *shift_n_ = shift_exponent_2;
    *low_ = low_2;
    
    /* Sweep: its sums, shifted by that maximum. */
    rf_acc sum_lanes_3 = rf_acc_zero();
    rf_acc sum_lanes_4 = rf_acc_zero();
    const rf_vec shift__v = rf_set(*shift_);
    const rf_vec shift_n__v_2 = rf_set(*shift_n_);
    const rf_vec low__v_2 = rf_set(*low_);
    const rf_vec scale_v_2 = rf_set(0x1.71547652b82fep+0);
    const rf_vec scale_lo_v_2 = rf_set(0x1.777d0ffda0d24p-56);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        for (intptr_t j = 0; j < count; j += 8) {
            const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
            const rf_vec x_i_5 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_5_2 = rf_sub(x_i_5, shift__v);
            const rf_vec x_i_5_2_2 = rf_max(low__v_2, x_i_5_2);
            const rf_vec e_3 = rf_exp_shifted(x_i_5_2_2, scale_v_2, scale_lo_v_2, shift_n__v_2);
            const rf_vec e_3_2 = rf_select(live, e_3, rf_set(0.0));
            sum_lanes_3 = rf_acc_add(sum_lanes_3, e_3_2);
            const rf_vec x_i_5_3 = rf_select(live, x_i_5, rf_set(0.0));
            const rf_mask gone_2 = rf_eq(x_i_5, rf_set(-INFINITY));
            const rf_vec weight_2 = rf_select(gone_2, rf_set(0.0), x_i_5_3);
            sum_lanes_4 = rf_acc_fma(sum_lanes_4, weight_2, e_3_2);
        }
    }
    double sum_5, sum_lo_5; rf_fold2(sum_lanes_3, &sum_5, &sum_lo_5);
    *sum_2 = sum_5;
    *sum_lo_2 = sum_lo_5;
    double sum_6, sum_lo_6; rf_fold2(sum_lanes_4, &sum_6, &sum_lo_6);
    *sum_4 = sum_6;
    
    /* A row with +inf: its sum is infinite, or NaN. */
    if (!finite_v) entropy_rare(n, x, x_step, &*sum_2, &*sum_lo_2);
}

/* Rows of a batch. */
static void entropy_rows(intptr_t rows, intptr_t n, const char *x_rows, intptr_t x_next, intptr_t x_step, char *out_rows, intptr_t out_next)
{
    double x_buffer[128];
    
    /* What one row tells the next. */
    double shift_ = 0.0;
    double shift_n_ = 0.0;
    double low_ = 0.0;
    double doubts = 4.0;
    
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
            const double guess = num_exponent_of(first_max, 0x1.71547652b82fep+0);
            const double low = num_low_end(guess, 0x1.62e42fefa39efp-1, 1092.0);
            shift_ = no_shift;
            shift_n_ = guess;
            low_ = low;
        }
        const double reach = num_abs(shift_n_);
        const int near_zero = reach < 94548.0;
    
        /* Sweep: the exponential sum of x under a guessed power of two, the exponential sum of x, x under a guessed power of two. */
        rf_acc sum_lanes = rf_acc_zero();
        rf_acc sum_lanes_2 = rf_acc_zero();
        const rf_vec shift_n__v = rf_set(shift_n_);
        const rf_vec low__v = rf_set(low_);
        const rf_vec scale_v = rf_set(0x1.71547652b82fep+0);
        const rf_vec scale_lo_v = rf_set(0x1.777d0ffda0d24p-56);
        for (intptr_t i = 0; i < (near_zero ? n : 0); i += 128) {
            const intptr_t count = rf_least(n - i, 128);
            const double *x_b = rf_read(x, x_step, i, count, x_buffer);
            intptr_t j = 0;
            for (; j + 8 <= count; j += 8) {
                const rf_vec x_i_3 = rf_load(x_b + j);
                const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                sum_lanes = rf_acc_add(sum_lanes, e);
                const rf_mask gone = rf_eq(x_i_3, rf_set(-INFINITY));
                const rf_vec weight = rf_select(gone, rf_set(0.0), x_i_3);
                sum_lanes_2 = rf_acc_fma(sum_lanes_2, weight, e);
            }
            if (j < count) {
                const rf_mask live = rf_first_lanes(count - j);
                const rf_vec x_i_3 = rf_load_tail(x_b + j, live);
                const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                const rf_vec e_2 = rf_select(live, e, rf_set(0.0));
                sum_lanes = rf_acc_add(sum_lanes, e_2);
                const rf_vec x_i_3_3 = rf_select(live, x_i_3, rf_set(0.0));
                const rf_mask gone = rf_eq(x_i_3, rf_set(-INFINITY));
                const rf_vec weight = rf_select(gone, rf_set(0.0), x_i_3_3);
                sum_lanes_2 = rf_acc_fma(sum_lanes_2, weight, e_2);
            }
        }
        double sum, sum_lo; rf_fold2(sum_lanes, &sum, &sum_lo);
        double sum_2 = sum;
        double sum_lo_2 = sum_lo;
        const int large = sum >= 0x1p-16;
        const int small = sum <= 65536.0;
        const int safe = large && small;
        const int safe_2 = near_zero && safe;
        double sum_3, sum_lo_3; rf_fold2(sum_lanes_2, &sum_3, &sum_lo_3);
        double sum_4 = sum_3;
    
        /* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
        if (!safe_2) entropy_rare_2(n, x, x_step, &shift_, &shift_n_, &low_, &sum_2, &sum_lo_2, &sum_4);
    
        /* The results. */
        const double unit = sum_2 / 0x1.028f5c29d9eb6p+0;
        const double binade = unit * 0x1.5555555555555p+0;
        const double binade_2 = num_exponent(binade);
        const double down = -binade_2;
        const double near_one = num_scale(unit, down);
        const double power = shift_n_ + binade_2;
        const double log_lo = num_log(near_one);
        const double log_hi = power * 0x1.62e42fefa39efp-1;
        const double log_hi_2 = log_hi + shift_;
        const int endless_3 = sum_2 == INFINITY;
        const double log_hi_3 = num_choose(endless_3, INFINITY, log_hi_2);
        const int nothing = sum_2 == 0.0;
        const double log_hi_4 = num_choose(nothing, -INFINITY, log_hi_3);
        const double log_lo_2 = num_choose(endless_3, -INFINITY, log_lo);
        const double sum_7 = num_nan_if(endless_3, sum_2);
        const double divide = sum_4 / sum_7;
        const double subtract = log_hi_4 - divide;
        const double value = num_join(subtract, log_lo_2);
        num_result(out, value);
    
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
    }
}

__attribute__((visibility("default"))) void rowfold_entropy_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_entropy_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    const intptr_t together = dims[0];
    (void)data;
    for (intptr_t row = 0; row < dims[0]; row += together)
        entropy_rows(together, dims[1], args[0] + row * steps[0], steps[0], steps[2], args[1] + row * steps[1], steps[1]);
    rf_leave(env);
}
