/*
 * rowfold_softmax_f64_speculative__portable_u1_a1
 *
 * softmax: speculative, 2 sweeps (fewest by fusion: 2)
 *   sweep 1: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two, keep the exponentials in the output
 *   sweep 2: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there
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
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l]; return r; }
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
static inline intptr_t rf_unaligned(const char *p) { return (intptr_t)((64 - (uintptr_t)p % 64) % 64 / sizeof(double)); }
static inline void rf_ahead(const double *p) { for (int k = 0; k < 16; ++k) RF_PREFETCH(p, 4096 + 64 * k, 0); }
static inline void rf_ahead_write(const double *p) { for (int k = 0; k < 16; ++k) RF_PREFETCH(p, 4096 + 64 * k, 1); }
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
static inline double num_far_shift(double m, double reach) { const double most = DBL_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double num_low_end(double n, double octave, double drop) { return (n - (n > -94547.0 ? drop : 4096.0)) * octave; } /* a row of -inf: nothing at all is left */
static inline double num_div_rest(double a, double b, double q) { return num_finite_or_0(num_fma(-q, b, a) / b); }
static inline void num_reciprocal2(double hi, double lo, double *r, double *rest) { *r = 1 / hi; *rest = num_finite_or_0(*r * (num_fma(-*r, hi, 1) - *r * lo)); }
static inline void num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = num_finite_or_0(num_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline double num_choose(int c, double a, double b) { return c ? a : b; }
static inline double num_nan_if(int c, double a) { return c ? NAN : a; }
static inline double num_abs(double a) { return fabs(a); }
static inline double num_max(double a, double b) { return a > b ? a : b; }

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

/* What a row needs for its last sweep, which runs beneath the next row. */
typedef struct {
    char *out;
    rf_vec r_lo_v;
    rf_vec r_v;
} softmax_held;

/* Sweep: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there. One block of it. */
static void softmax_last(const softmax_held *held, intptr_t n, intptr_t i, intptr_t out_step)
{
    double out_buffer[128];
    char *out = held->out;
    const rf_vec r_lo_v = held->r_lo_v, r_v = held->r_v;
    const intptr_t count = rf_least(n - i, 128);
    double *out_b = rf_open(out, out_step, i, out_buffer);
    (void)rf_read(out, out_step, i, count, out_buffer);
    intptr_t j = 0;
    for (; j + 8 <= count; j += 8) {
        const rf_vec out_i = rf_load(out_b + j);
        const rf_vec small_2 = rf_mul(out_i, r_lo_v);
        const rf_vec t = rf_fma(out_i, r_v, small_2);
        rf_store(out_b + j, t);
    }
    if (j < count) {
        const rf_mask live = rf_first_lanes(count - j);
        const rf_vec out_i = rf_load_tail(out_b + j, live);
        const rf_vec small_2 = rf_mul(out_i, r_lo_v);
        const rf_vec t = rf_fma(out_i, r_v, small_2);
        rf_store_tail(out_b + j, t, live);
    }
    rf_close(out, out_step, i, count, out_b);
}

/* The same for a block of which nothing is missing. */
static inline void softmax_last_whole(const softmax_held *held, intptr_t i)
{
    char *out = held->out;
    const rf_vec r_lo_v = held->r_lo_v, r_v = held->r_v;
    double *out_b = (double *)(void *)(out + i * (intptr_t)sizeof(double));
    for (intptr_t j = 0; j < 128; j += 8) {
        const rf_vec out_i = rf_load(out_b + j);
        const rf_vec small_2 = rf_mul(out_i, r_lo_v);
        const rf_vec t = rf_fma(out_i, r_v, small_2);
        rf_store(out_b + j, t);
    }
}

/* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
RF_COLD static void softmax_rare(intptr_t n, const char *x, char *out, intptr_t x_step, intptr_t out_step, double *shift_, double *shift_n_, double *low_, double scale, double per_octave, double *sum_2, double *sum_lo_2, rf_vec scale_v_2, rf_vec scale_lo_v_2)
{
    double x_buffer[128];
    double out_buffer[128];
    
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
    const double shift_exponent_2 = num_exponent_of(near, scale);
    const int endless = max == INFINITY;
    const double shift_exponent_3 = num_nan_if(endless, shift_exponent_2);
    const double low_2 = num_low_end(shift_exponent_3, per_octave, 1092.0);
    *shift_ = shift;
    *shift_n_ = shift_exponent_3;
    *low_ = low_2;
    
    /* Sweep: its sums, shifted by that maximum. */
    rf_acc sum_lanes_2 = rf_acc_zero();
    RF_ALIGNED double sum_parts_2[128];
    const rf_vec shift__v = rf_set(*shift_);
    const double shift_exponent_4 = *shift_n_ - 72.0;
    const rf_vec shift_n__v_2 = rf_set(shift_exponent_4);
    const rf_vec low__v_2 = rf_set(*low_);
    for (intptr_t i = 0; i < n; i += 128) {
        const intptr_t count = rf_least(n - i, 128);
        const double *x_b = rf_read(x, x_step, i, count, x_buffer);
        double *out_b = rf_open(out, out_step, i, out_buffer);
        const intptr_t vectors = (count + 7) / 8;
        for (intptr_t j = 0; j < count; j += 8) {
            const rf_mask live = rf_first_lanes(rf_least(count - j, 8));
            const rf_vec x_i_5 = rf_load_tail(x_b + j, live);
            const rf_vec x_i_5_2 = rf_sub(x_i_5, shift__v);
            const rf_vec x_i_5_2_2 = rf_max(low__v_2, x_i_5_2);
            const rf_vec e_3 = rf_exp_shifted(x_i_5_2_2, scale_v_2, scale_lo_v_2, shift_n__v_2);
            rf_store_tail(out_b + j, e_3, live);
            const rf_vec e_3_2 = rf_select(live, e_3, rf_set(0.0));
            rf_store(sum_parts_2 + j, e_3_2);
        }
        sum_lanes_2 = rf_acc_add_tree(sum_lanes_2, sum_parts_2, vectors);
        rf_close(out, out_step, i, count, out_b);
    }
    double sum_3, sum_lo_3; rf_fold2(sum_lanes_2, &sum_3, &sum_lo_3);
    *sum_2 = sum_3;
    *sum_lo_2 = sum_lo_3;
}

/* Rows of a batch. */
static void softmax_rows(intptr_t rows, intptr_t n, const char *x_rows, intptr_t x_next, intptr_t x_step, const char *temperature, char *out_rows, intptr_t out_next, intptr_t out_step)
{
    double x_buffer[128];
    double out_buffer[128];
    
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
    
    /* What one row tells the next. */
    double shift_ = 0.0;
    double shift_n_ = 0.0;
    double low_ = 0.0;
    double doubts = 4.0;
    const int from_memory = n >= 512 && n <= 32768 && rows > 1048576 / n; /* not from a cache */
    const int contiguous = x_step == (intptr_t)sizeof(double) && out_step == (intptr_t)sizeof(double);
    softmax_held held;
    intptr_t held_at = n; /* so far no row waits for its last sweep */
    int held_whole = 0;
    
    for (intptr_t row = 0; row < rows; ++row) {
        const char *x = x_rows + row * x_next;
        char *out = out_rows + row * out_next;
        const int trusted = doubts < 4.0;
        const int wary = doubts >= 8.0;
    
        /* The rows before do not tell where this one's maximum lies. */
        if (!trusted) {
    
            /* Sweep: the row's first elements, to guess a power of two near its maximum. */
            rf_vec max_lanes = rf_set(-INFINITY);
            for (intptr_t i = 0; i < (x == out || wary ? n : rf_least(n, 8)); i += 128) {
                const intptr_t count = rf_least((x == out || wary ? n : rf_least(n, 8)) - i, 128);
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
            shift_ = no_shift;
            shift_n_ = guess;
            low_ = low;
        }
        const double reach = num_abs(shift_n_);
        const int near_zero = reach < 94548.0;
    
        /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two, keep the exponentials in the output. */
        rf_acc sum_lanes = rf_acc_zero();
        RF_ALIGNED double sum_parts[128];
        const double shift_exponent = shift_n_ - 72.0;
        const rf_vec shift_n__v = rf_set(shift_exponent);
        const rf_vec low__v = rf_set(low_);
        for (intptr_t i = 0; i < (near_zero ? n : 0); i += 128) {
            if (contiguous && n - i >= 128) {
                const double *x_b = (const double *)(const void *)(x + i * (intptr_t)sizeof(double));
                double *out_b = (double *)(void *)(out + i * (intptr_t)sizeof(double));
                if (from_memory) {
                    rf_ahead(x_b);
                    rf_ahead_write(out_b);
                }
                rf_vec half_of_sum_parts[8];
                rf_vec eight_of_x_i_3[8];
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 8 * k;
                    eight_of_x_i_3[k] = rf_load(x_b + j);
                }
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 8 * k;
                    const rf_vec x_i_3 = eight_of_x_i_3[k];
                    const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                    const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                    rf_store(out_b + j, e);
                    half_of_sum_parts[k] = e;
                }
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 64 + 8 * k;
                    eight_of_x_i_3[k] = rf_load(x_b + j);
                }
                RF_UNROLL
                for (int k = 0; k < 8; ++k) {
                    const intptr_t j = 64 + 8 * k;
                    const rf_vec x_i_3 = eight_of_x_i_3[k];
                    const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                    const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                    rf_store(out_b + j, e);
                    half_of_sum_parts[k] = rf_add(half_of_sum_parts[k], e);
                }
                if (held_whole && n - held_at >= 128) {
                    softmax_last_whole(&held, held_at);
                    held_at += 128;
                } else if (held_at < n) {
                    softmax_last(&held, n, held_at, out_step);
                    held_at += 128;
                }
                sum_lanes = rf_acc_add_half(sum_lanes, half_of_sum_parts);
                continue;
            }
            const intptr_t count = rf_least(n - i, 128);
            const double *x_b = rf_read(x, x_step, i, count, x_buffer);
            double *out_b = rf_open(out, out_step, i, out_buffer);
            if (from_memory) {
                rf_ahead(x_b);
                rf_ahead_write(out_b);
            }
            const intptr_t vectors = (count + 7) / 8;
            intptr_t j = 0;
            for (; j + 8 <= count; j += 8) {
                const rf_vec x_i_3 = rf_load(x_b + j);
                const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                rf_store(out_b + j, e);
                rf_store(sum_parts + j, e);
            }
            if (j < count) {
                const rf_mask live = rf_first_lanes(count - j);
                const rf_vec x_i_3 = rf_load_tail(x_b + j, live);
                const rf_vec x_i_3_2 = rf_max(low__v, x_i_3);
                const rf_vec e = rf_exp_shifted(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                rf_store_tail(out_b + j, e, live);
                const rf_vec e_2 = rf_select(live, e, rf_set(0.0));
                rf_store(sum_parts + j, e_2);
            }
            sum_lanes = rf_acc_add_tree(sum_lanes, sum_parts, vectors);
            rf_close(out, out_step, i, count, out_b);
            if (held_at < n) { softmax_last(&held, n, held_at, out_step); held_at += 128; }
        }
        for (; held_whole && n - held_at >= 128; held_at += 128) softmax_last_whole(&held, held_at);
        for (; held_at < n; held_at += 128) softmax_last(&held, n, held_at, out_step);
        double sum, sum_lo; rf_fold2(sum_lanes, &sum, &sum_lo);
        double sum_2 = sum;
        double sum_lo_2 = sum_lo;
        const int large = sum >= 0x1p+56;
        const int small = sum <= 0x1p+300;
        const int safe = large && small;
        const int safe_2 = near_zero && safe;
    
        /* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
        if (!safe_2) softmax_rare(n, x, out, x_step, out_step, &shift_, &shift_n_, &low_, scale, per_octave, &sum_2, &sum_lo_2, scale_v_2, scale_lo_v_2);
        double r, r_lo; num_reciprocal2(sum_2, sum_lo_2, &r, &r_lo);
        const rf_vec r_lo_v = rf_set(r_lo);
        const rf_vec r_v = rf_set(r);
    
        const double faded = doubts - 0x1.47ae147ae147bp-6;
        const double faded_2 = num_max(faded, 0.0);
        const int apart = x != out;
        const int unshifted = shift_ == 0.0;
        const double size = num_abs(shift_n_);
        const int near_2 = size < 94548.0;
        const int usable = apart && unshifted;
        const int usable_2 = usable && near_2;
        const double doubted = faded_2 + 1.0;
        const double faded_3 = num_choose(safe_2, faded_2, doubted);
        const double at_least = num_max(faded_3, 4.0);
        doubts = num_choose(usable_2, faded_3, at_least);
    
        held.out = out;
        held.r_lo_v = r_lo_v;
        held.r_v = r_v;
        held_whole = contiguous && !num_bad(r_lo) && !num_bad(r); /* rows of NaN: by one loop, the compiler decides which is kept */
        held_at = held_whole && n >= 128 ? rf_unaligned(out) : 0; /* whole lines */
        if (held_at > 0) softmax_last(&held, held_at, 0, out_step);
    }
    for (; held_whole && n - held_at >= 128; held_at += 128) softmax_last_whole(&held, held_at);
    for (; held_at < n; held_at += 128) softmax_last(&held, n, held_at, out_step);
}

__attribute__((visibility("default"))) void rowfold_softmax_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_softmax_f64_speculative__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    const intptr_t together = steps[1] == 0 ? dims[0] : 1; /* rows that share their settings */
    (void)data;
    for (intptr_t row = 0; row < dims[0]; row += together)
        softmax_rows(together, dims[1], args[0] + row * steps[0], steps[0], steps[3], args[1] + row * steps[1], args[2] + row * steps[2], steps[2], steps[4]);
    rf_leave(env);
}
