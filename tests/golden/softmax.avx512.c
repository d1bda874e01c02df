/*
 * rowfold_softmax_f32_three_pass_reload__avx512_u1_a1
 *
 * softmax: three_pass_reload, 3 sweeps (fewest by fusion: 2)
 *   sweep 1: the maximum of x
 *   sweep 2: the exponential sum of multiply(x, divide(1, temperature)) shifted by its maximum, keep the exponentials in the output
 *   sweep 3: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there
 *
 * Written by rowfold 0.1.0 for avx512; compile with -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
/* The intrinsics in use, as builtins: reading all of immintrin.h takes longer than compiling this file. */
typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef double __m512d __attribute__((vector_size(64), may_alias));
typedef float __m256 __attribute__((vector_size(32), may_alias));
typedef unsigned short __mmask16;
static inline unsigned _mm_getcsr(void) { return __builtin_ia32_stmxcsr(); }
static inline void _mm_setcsr(unsigned a) { __builtin_ia32_ldmxcsr(a); }
typedef float rf_any_ps512 __attribute__((vector_size(64), aligned(4), may_alias));
static inline __m512 _mm512_set1_ps(float a) { return (__m512){ a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a }; }
static inline __m512 _mm512_setzero_ps(void) { return (__m512){ 0 }; }
static inline __m512 _mm512_loadu_ps(const float *p) { return (__m512)*(const rf_any_ps512 *)p; }
static inline void _mm512_storeu_ps(float *p, __m512 a) { *(rf_any_ps512 *)p = (rf_any_ps512)a; }
static inline __m512 _mm512_maskz_loadu_ps(__mmask16 k, const float *p) { return (__m512)__builtin_ia32_loadups512_mask(p, _mm512_setzero_ps(), k); }
static inline void _mm512_mask_storeu_ps(float *p, __mmask16 k, __m512 a) { __builtin_ia32_storeups512_mask(p, a, k); }
static inline __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
static inline __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
static inline __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
static inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) { return (__m512)__builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4); }
static inline __m512 _mm512_max_ps(__m512 a, __m512 b) { return (__m512)__builtin_ia32_maxps512_mask(a, b, a, -1, 4); }
static inline __m512 _mm512_scalef_ps(__m512 a, __m512 b) { return (__m512)__builtin_ia32_scalefps512_mask(a, b, a, -1, 4); }
static inline __m512 _mm512_mask_blend_ps(__mmask16 k, __m512 a, __m512 b) { return (__m512)__builtin_ia32_blendmps_512_mask(a, b, k); }
typedef double rf_any_pd512 __attribute__((vector_size(64), aligned(8), may_alias));
static inline __m512d _mm512_setzero_pd(void) { return (__m512d){ 0 }; }
static inline void _mm512_storeu_pd(double *p, __m512d a) { *(rf_any_pd512 *)p = (rf_any_pd512)a; }
static inline __m512d _mm512_add_pd(__m512d a, __m512d b) { return a + b; }
static inline __m256 _mm512_castps512_ps256(__m512 a) { return __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7); }
static inline __m256 rf_upper_half(__m512 a) { return __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15); }
#define _mm512_extractf32x8_ps(a, one) rf_upper_half(a)
static inline __m512d _mm512_cvtps_pd(__m256 a) { return __builtin_convertvector(a, __m512d); }
#else
#include <immintrin.h>
#endif

#if defined(__GNUC__)
#define RF_ALIGNED __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */
#define RF_PREFETCH(p, far, write) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(far)), write, 2)
#else
#define RF_ALIGNED
#define RF_PREFETCH(p, far, write)
#endif

/* The vocabulary: 16 lanes of float. */
typedef __m512 rf_vec;
typedef __mmask16 rf_mask;
static inline rf_vec rf_set(double a) { return _mm512_set1_ps((float)a); }
static inline rf_vec rf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline rf_vec rf_load_tail(const float *p, rf_mask live) { return _mm512_maskz_loadu_ps(live, p); }
static inline void rf_store(float *p, rf_vec a) { _mm512_storeu_ps(p, a); }
static inline void rf_store_tail(float *p, rf_vec a, rf_mask live) { _mm512_mask_storeu_ps(p, live, a); }
static inline rf_vec rf_add(rf_vec a, rf_vec b) { return _mm512_add_ps(a, b); }
static inline rf_vec rf_sub(rf_vec a, rf_vec b) { return _mm512_sub_ps(a, b); }
static inline rf_vec rf_mul(rf_vec a, rf_vec b) { return _mm512_mul_ps(a, b); }
static inline rf_vec rf_fma(rf_vec a, rf_vec b, rf_vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline rf_vec rf_max(rf_vec a, rf_vec b) { return _mm512_max_ps(a, b); }
static inline rf_vec rf_neg(rf_vec a) { return -a; }
static inline rf_vec rf_scale(rf_vec p, rf_vec n) { return _mm512_scalef_ps(p, n); }
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { return _mm512_mask_blend_ps(m, b, a); }
static inline rf_mask rf_first_lanes(intptr_t count) { return (rf_mask)((1u << count) - 1u); }
typedef struct { __m512d a, b; } rf_wide;
static inline rf_wide rf_widen(rf_vec v) { const rf_wide r = { _mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)) }; return r; }
static inline rf_wide rf_wide_zero(void) { const rf_wide r = { _mm512_setzero_pd(), _mm512_setzero_pd() }; return r; }
static inline rf_wide rf_wide_add(rf_wide x, rf_wide y) { const rf_wide r = { _mm512_add_pd(x.a, y.a), _mm512_add_pd(x.b, y.b) }; return r; }
static inline void rf_wide_store(double *p, rf_wide x) { _mm512_storeu_pd(p, x.a); _mm512_storeu_pd(p + 8, x.b); }
typedef unsigned rf_env;
static inline rf_env rf_enter(void) { return _mm_getcsr(); }
static inline void rf_leave(rf_env env) { _mm_setcsr(env); }
static inline intptr_t rf_least(intptr_t a, intptr_t b) { return a < b ? a : b; }
static inline const float *rf_read(const char *p, intptr_t step, intptr_t i, intptr_t count, float *buffer)
{
    if (step == (intptr_t)sizeof(float)) return (const float *)(const void *)(p + i * step);
    for (intptr_t j = 0; j < count; ++j) memcpy(buffer + j, p + (i + j) * step, sizeof(float));
    return buffer;
}
static inline float *rf_open(char *p, intptr_t step, intptr_t i, float *buffer)
{
    return step == (intptr_t)sizeof(float) ? (float *)(void *)(p + i * step) : buffer;
}
static inline void rf_close(char *p, intptr_t step, intptr_t i, intptr_t count, const float *buffer)
{
    if (step == (intptr_t)sizeof(float)) return;
    for (intptr_t j = 0; j < count; ++j) memcpy(p + (i + j) * step, buffer + j, sizeof(float));
}
static inline rf_vec rf_set_lo(double a) { const double rest = a - (double)(float)a; return rf_set(rest - rest == 0 ? rest : 0); }
static inline void rf_tree(float *parts, intptr_t vectors, rf_vec *left, rf_vec *right)
{
    for (intptr_t k = vectors; k < 16; ++k) rf_store(parts + 16 * k, rf_set(0));
    rf_vec sum[8];
    for (int k = 0; k < 8; ++k) sum[k] = rf_add(rf_load(parts + 16 * k), rf_load(parts + 16 * (k + 8)));
    for (int k = 0; k < 4; ++k) sum[k] = rf_add(sum[k], sum[k + 4]);
    *left = rf_add(sum[0], sum[2]);
    *right = rf_add(sum[1], sum[3]);
}
typedef rf_wide rf_acc;
static inline rf_acc rf_acc_zero(void) { return rf_wide_zero(); }
static inline rf_acc rf_acc_add(rf_acc s, rf_vec x) { return rf_wide_add(s, rf_widen(x)); }
static inline double rf_fold(rf_acc s)
{
    double lane[16];
    rf_wide_store(lane, s);
    for (int l = 0; l < 8; ++l) lane[l] += lane[l + 8];
    for (int l = 0; l < 4; ++l) lane[l] += lane[l + 4];
    for (int l = 0; l < 2; ++l) lane[l] += lane[l + 2];
    for (int l = 0; l < 1; ++l) lane[l] += lane[l + 1];
    return lane[0];
}
static inline rf_acc rf_acc_add_tree(rf_acc s, float *parts, intptr_t vectors)
{
    rf_vec left, right;
    rf_tree(parts, vectors, &left, &right);
    return rf_acc_add(rf_acc_add(s, left), right);
}
static inline double rf_fold_max(rf_vec v)
{
    float lane[16];
    rf_store(lane, v);
    for (int l = 0; l < 8; ++l) lane[l] = lane[l] > lane[l + 8] ? lane[l] : lane[l + 8];
    for (int l = 0; l < 4; ++l) lane[l] = lane[l] > lane[l + 4] ? lane[l] : lane[l + 4];
    for (int l = 0; l < 2; ++l) lane[l] = lane[l] > lane[l + 2] ? lane[l] : lane[l + 2];
    for (int l = 0; l < 1; ++l) lane[l] = lane[l] > lane[l + 1] ? lane[l] : lane[l + 1];
    return (double)lane[0];
}
static inline double num_scalar(const char *p) { double a; memcpy(&a, p, sizeof a); return a; }
static inline int num_bad(double a) { return !(a - a == 0); }
static inline double num_fma(double a, double b, double c) { return fma(a, b, c); }
static inline double num_finite_or_0(double a) { return num_bad(a) ? 0 : a; }
static inline double num_lost(double hi, double lo) { return num_finite_or_0(hi - (double)(float)hi) + lo; }
static inline double num_far_shift(double m, double reach) { const double most = (double)FLT_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double num_low_end(double n, double scale, double drop) { return (n - drop) / scale; }
static inline double num_div_rest(double a, double b, double q) { return num_finite_or_0(num_fma(-q, b, a) / b); }
static inline void num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = num_finite_or_0(num_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline double num_nan_if(int c, double a) { return c ? NAN : a; }

/* 2^(x (k_hi + k_lo)) = p 2^n with an integer n and p in [0.7, 1.42]: nothing overflows, whatever n is. */
static inline void rf_exp_split(rf_vec x, rf_vec k_hi, rf_vec k_lo, rf_vec *out_0, rf_vec *out_1)
{
    const rf_vec t = rf_fma(x, k_hi, rf_set(12582912.0));
    const rf_vec n_v = rf_sub(t, rf_set(12582912.0));
    const rf_vec t_2 = rf_neg(n_v);
    const rf_vec f = rf_fma(x, k_hi, t_2);
    const rf_vec f_2 = rf_fma(x, k_lo, f);
    const rf_vec t_3 = rf_fma(rf_set(0x1.416b76p-13), f_2, rf_set(0x1.5f0832p-10));
    const rf_vec t_4 = rf_fma(t_3, f_2, rf_set(0x1.3b2dep-7));
    const rf_vec t_5 = rf_fma(t_4, f_2, rf_set(0x1.c6af7cp-5));
    const rf_vec t_6 = rf_fma(t_5, f_2, rf_set(0x1.ebfbdcp-3));
    const rf_vec t_7 = rf_fma(t_6, f_2, rf_set(0x1.62e43p-1));
    const rf_vec p = rf_fma(t_7, f_2, rf_set(1.0));
    *out_0 = p;
    *out_1 = n_v;
}

/* One row. */
static void softmax_row(intptr_t n, const char *x, intptr_t x_step, intptr_t x_next, const char *temperature, char *out, intptr_t out_step, intptr_t out_next)
{
    float x_buffer[256];
    float out_buffer[256];
    
    /* Sweep: the maximum of x. */
    rf_vec max_lanes = rf_set(-INFINITY);
    rf_vec turn_1_of_max_lanes = max_lanes;
    rf_vec turn_2_of_max_lanes = max_lanes;
    rf_vec turn_3_of_max_lanes = max_lanes;
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = rf_least(n - i, 256);
        const float *x_b = rf_read(x, x_step, i, count, x_buffer);
        const intptr_t whole = count & ~(intptr_t)15;
        intptr_t j = 0;
        for (; j + 48 < whole; j += 64) {
            {
                const rf_vec x_i = rf_load(x_b + j);
                max_lanes = rf_max(x_i, max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 16);
                turn_1_of_max_lanes = rf_max(x_i, turn_1_of_max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 32);
                turn_2_of_max_lanes = rf_max(x_i, turn_2_of_max_lanes);
            }
            {
                const rf_vec x_i = rf_load(x_b + j + 48);
                turn_3_of_max_lanes = rf_max(x_i, turn_3_of_max_lanes);
            }
        }
        for (; j < whole; j += 16) {
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
    const double low = num_low_end(shift_exponent_2, scale, 190.0);
    const double shift_ = shift;
    const double shift_n_ = shift_exponent_2;
    const double low_ = low;
    
    /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) shifted by its maximum, keep the exponentials in the output. */
    rf_acc sum_lanes = rf_acc_zero();
    RF_ALIGNED float sum_parts[256];
    const rf_vec shift__v = rf_set(shift_);
    const rf_vec shift_n__v = rf_set(shift_n_);
    const rf_vec low__v = rf_set(low_);
    const double scale_rest = num_lost(scale, scale_lo);
    const rf_vec scale_v = rf_set(scale);
    const rf_vec scale_lo_v = rf_set(scale_rest);
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = rf_least(n - i, 256);
        const float *x_b = rf_read(x, x_step, i, count, x_buffer);
        float *out_b = rf_open(out, out_step, i, out_buffer);
        const intptr_t whole = count & ~(intptr_t)15;
        const intptr_t vectors = (count + 15) / 16;
        intptr_t j = 0;
        for (; j < whole; j += 16) {
            RF_PREFETCH(x, x_next + (i + j) * (intptr_t)sizeof(float), 0);
            RF_PREFETCH(out, out_next + (i + j) * (intptr_t)sizeof(float), 1);
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
    const double sum = rf_fold(sum_lanes);
    const double sum_2 = sum;
    
    /* Sweep: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there. */
    const double r = 1.0 / sum_2;
    const rf_vec r_v = rf_set(r);
    const rf_vec r_lo = rf_set_lo(r);
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = rf_least(n - i, 256);
        float *out_b = rf_open(out, out_step, i, out_buffer);
        (void)rf_read(out, out_step, i, count, out_buffer);
        const intptr_t whole = count & ~(intptr_t)15;
        intptr_t j = 0;
        for (; j < whole; j += 16) {
            const rf_vec out_i = rf_load(out_b + j);
            const rf_vec small = rf_mul(out_i, r_lo);
            const rf_vec t = rf_fma(out_i, r_v, small);
            rf_store(out_b + j, t);
        }
        if (j < count) {
            const rf_mask live = rf_first_lanes(count - j);
            const rf_vec out_i = rf_load_tail(out_b + j, live);
            const rf_vec small = rf_mul(out_i, r_lo);
            const rf_vec t = rf_fma(out_i, r_v, small);
            rf_store_tail(out_b + j, t, live);
        }
        rf_close(out, out_step, i, count, out_b);
    }
}

__attribute__((visibility("default"))) void rowfold_softmax_f32_three_pass_reload__avx512_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_softmax_f32_three_pass_reload__avx512_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    (void)data;
    for (intptr_t row = 0; row < dims[0]; ++row)
        softmax_row(dims[1], args[0] + row * steps[0], steps[3], steps[0], args[1] + row * steps[1], args[2] + row * steps[2], steps[4], steps[2]);
    rf_leave(env);
}
