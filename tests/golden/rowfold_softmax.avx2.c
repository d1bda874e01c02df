/*
 * rowfold_softmax.c
 *
 * e^(x/T) / sum e^(x/T).
 *
 * def softmax(x: rf.Row, *, temperature: rf.Positive = 1.0, empty: str = "nan") -> Any:
 *     e = np.exp((x - np.max(x)) / temperature)
 *     return on_empty(empty, x, e / np.sum(e))
 *
 * softmax: speculative, 2 sweeps (fewest by fusion: 2)
 *   sweep 1: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two, keep the exponentials in the output
 *   sweep 2: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there
 *
 * Written by rowfold 0.1.0, program 74590ab5ded1d9e0. Apache-2.0.
 *
 * Constants:
 *   786432.0: 1.5 2^19; adding it rounds to a sixteenth, which numbers the table's entry.
 *   12582912.0: adding it rounds to an integer.
 *   sixteenths: 1.0253 2^(k/16). With this factor, which cancels, all 16 are nearly exact (0.28 u).
 *   0x1.62e43p-1, 0x1.ebfff4p-3, 0x1.c6acd8p-5: (2^f - 1)/f for abs(f) <= 1/32, to 2^-29 of 2^f.
 *   176.0: octaves below the guess from which on an exponential is 0.
 *   0x1p+56, 0x1p+101: a sum between them did not overflow, and lost nothing that counts.
 *   94548.0: 2^16 log2 e. Exponents are exact up to there; beyond, the row's maximum is subtracted.
 *   72.0: octaves that exponentials are raised by, so that small ones are no subnormal numbers.
 *   4.0, 8.0, 0x1.47ae147ae147bp-6: doubts that make a row look for its maximum itself, in part or all over; what a row takes off.
 *   0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56: log2 e, and the rest of it.
 *
 * Compile it with -O3, or any other optimization, and no machine flag; it calls no library.
 */
#include "rowfold_softmax.h"
#include <float.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif
#if defined(__FAST_MATH__)
#error "rowfold_softmax holds its error bounds under IEEE arithmetic only: compile this file without -ffast-math"
#elif !defined(__GNUC__)
#error "rowfold_softmax was written for GCC and Clang: write it with isas=portable too"
#endif
#define RF_COPY __builtin_memcpy
#define RF_INFINITY __builtin_inff()
#define RF_NAN __builtin_nanf("")
#define RF_HIDDEN __attribute__((visibility("hidden")))
#define RF_ALIGNED __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */
#define RF_COLD __attribute__((cold, noinline)) /* compiled for size */
#define RF_APART __attribute__((noinline)) /* seldom called */
#define RF_PREFETCH(p, far, write) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(far)), write, 2)

#ifdef __cplusplus
extern "C" {
#endif
/* A product and a sum are one operation only where that is written. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* GCC 12 finds it in its own headers */
#pragma GCC diagnostic ignored "-Wuninitialized" /* and as C++, with AVX-512 */
#endif

#if defined(__x86_64__) && defined(__GNUC__)
/* avx2: 16 lanes of float. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
typedef unsigned softmax_avx2_env;
static inline softmax_avx2_env softmax_avx2_enter(void) { return _mm_getcsr(); }
static inline void softmax_avx2_leave(softmax_avx2_env env) { _mm_setcsr(env); }
static inline double softmax_avx2_num_scalar(const char *p) { double a; RF_COPY(&a, p, sizeof a); return a; }
static inline int softmax_avx2_num_bad(double a) { return !(a - a == 0); }
static inline double softmax_avx2_num_finite_or_0(double a) { return softmax_avx2_num_bad(a) ? 0 : a; }
static inline double softmax_avx2_libm_fma(double a, double b, double c) { return __builtin_fma(a, b, c); } /* an instruction here */
static inline double softmax_avx2_num_fma(double a, double b, double c) { return softmax_avx2_libm_fma(a, b, c); }
static inline double softmax_avx2_num_div_rest(double a, double b, double q) { return softmax_avx2_num_finite_or_0(softmax_avx2_num_fma(-q, b, a) / b); }
static inline void softmax_avx2_num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = softmax_avx2_num_finite_or_0(softmax_avx2_num_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline double softmax_avx2_num_lost(double hi, double lo) { return softmax_avx2_num_finite_or_0(hi - (double)(float)hi) + lo; }
typedef struct { __m256 a, b; } softmax_avx2_vec;
static inline softmax_avx2_vec softmax_avx2_pair(__m256 a, __m256 b) { const softmax_avx2_vec r = { a, b }; return r; }
static inline softmax_avx2_vec softmax_avx2_set(double a) { const __m256 x = _mm256_set1_ps((float)a); return softmax_avx2_pair(x, x); }
static inline intptr_t softmax_avx2_least(intptr_t a, intptr_t b) { return a < b ? a : b; }
static RF_APART const float *softmax_avx2_gather(const char *p, intptr_t step, intptr_t count, float *buffer)
{
    for (intptr_t j = 0; j < count; ++j) RF_COPY(buffer + j, p + j * step, sizeof(float));
    return buffer;
}
static inline const float *softmax_avx2_read(const char *p, intptr_t step, intptr_t i, intptr_t count, float *buffer) { return step == (intptr_t)sizeof(float) ? (const float *)(const void *)(p + i * step) : softmax_avx2_gather(p + i * step, step, count, buffer); }
typedef softmax_avx2_vec softmax_avx2_mask;
static inline softmax_avx2_mask softmax_avx2_lt(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)); }
static inline softmax_avx2_vec softmax_avx2_load(const float *p) { return softmax_avx2_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline softmax_avx2_vec softmax_avx2_iota(void) { static const float lane[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }; return softmax_avx2_load(lane); }
static inline softmax_avx2_mask softmax_avx2_first_lanes(intptr_t count) { return softmax_avx2_lt(softmax_avx2_iota(), softmax_avx2_set((double)count)); }
static inline softmax_avx2_vec softmax_avx2_load_tail(const float *p, softmax_avx2_mask m) { return softmax_avx2_pair(_mm256_maskload_ps(p, _mm256_castps_si256(m.a)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))); }
static inline softmax_avx2_vec softmax_avx2_select(softmax_avx2_mask m, softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)); }
static inline softmax_avx2_vec softmax_avx2_max(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline double softmax_avx2_max_rest(__m256 v) { const __m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)), d = _mm_max_ps(q, _mm_movehl_ps(q, q)); return (double)_mm_cvtss_f32(_mm_max_ps(d, _mm_shuffle_ps(d, d, 1))); }
static inline double softmax_avx2_fold_max(softmax_avx2_vec x) { return softmax_avx2_max_rest(_mm256_max_ps(x.a, x.b)); }
static inline double softmax_avx2_num_exponent_of(double m, double scale) { const double n = (m * scale + 0x1.8p52) - 0x1.8p52, most = 94548.0; return m * scale > most ? most : m * scale < -most ? -most : n; }
static inline double softmax_avx2_num_low_end(double n, double octave, double drop) { return (n - (n > -94547.0 ? drop : 4096.0)) * octave; } /* a row of -inf: nothing at all is left */
static inline double softmax_avx2_libm_number(uint64_t b) { double a; RF_COPY(&a, &b, sizeof a); return a; }
static inline uint64_t softmax_avx2_libm_bits(double a) { uint64_t b; RF_COPY(&b, &a, sizeof b); return b; }
static inline double softmax_avx2_libm_fabs(double a) { return softmax_avx2_libm_number(softmax_avx2_libm_bits(a) & 0x7fffffffffffffffu); }
static inline double softmax_avx2_num_abs(double a) { return softmax_avx2_libm_fabs(a); }
typedef struct { __m256d v[4]; } softmax_avx2_wide;
typedef softmax_avx2_wide softmax_avx2_acc;
static inline softmax_avx2_wide softmax_avx2_wide_zero(void) { const __m256d z = _mm256_setzero_pd(); const softmax_avx2_wide r = { { z, z, z, z } }; return r; }
static inline softmax_avx2_acc softmax_avx2_acc_zero(void) { return softmax_avx2_wide_zero(); }
static inline float *softmax_avx2_open(char *p, intptr_t step, intptr_t i, float *buffer) { return step == (intptr_t)sizeof(float) ? (float *)(void *)(p + i * step) : buffer; }
static inline void softmax_avx2_ahead(const float *p) { for (int k = 0; k < 16; ++k) RF_PREFETCH(p, 4096 + 64 * k, 0); }
static inline void softmax_avx2_ahead_write(const float *p) { for (int k = 0; k < 16; ++k) RF_PREFETCH(p, 4096 + 64 * k, 1); }
static inline void softmax_avx2_store(float *p, softmax_avx2_vec x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
static inline void softmax_avx2_store_tail(float *p, softmax_avx2_vec x, softmax_avx2_mask m) { _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a); _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b); }
static inline softmax_avx2_vec softmax_avx2_add(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline void softmax_avx2_tree(const float *parts, intptr_t vectors, softmax_avx2_vec *left, softmax_avx2_vec *right)
{
    const intptr_t fours = (vectors - 1) / 4, rest = vectors - 4 * fours; /* zeros added to a sum are left out */
    softmax_avx2_vec sum[4];
    for (int k = 0; k < 4; ++k) {
        const float *p = parts + 16 * k;
        const softmax_avx2_vec last = k < rest ? softmax_avx2_load(p + 64 * fours) : softmax_avx2_set(0);
        sum[k] = fours > 0 ? softmax_avx2_add(softmax_avx2_load(p), fours > 2 ? softmax_avx2_load(p + 128) : last) : last;
        if (fours > 1) sum[k] = softmax_avx2_add(sum[k], fours > 2 ? softmax_avx2_add(softmax_avx2_load(p + 64), last) : softmax_avx2_load(p + 64));
    }
    *left = softmax_avx2_add(sum[0], sum[2]);
    *right = softmax_avx2_add(sum[1], sum[3]);
}
static inline softmax_avx2_wide softmax_avx2_wide_add(softmax_avx2_wide x, softmax_avx2_wide y) { const softmax_avx2_wide r = { { _mm256_add_pd(x.v[0], y.v[0]), _mm256_add_pd(x.v[1], y.v[1]), _mm256_add_pd(x.v[2], y.v[2]), _mm256_add_pd(x.v[3], y.v[3]) } }; return r; }
static inline softmax_avx2_wide softmax_avx2_widen(softmax_avx2_vec x) { const softmax_avx2_wide r = { { _mm256_cvtps_pd(_mm256_castps256_ps128(x.a)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.a, 1)), _mm256_cvtps_pd(_mm256_castps256_ps128(x.b)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.b, 1)) } }; return r; }
static inline softmax_avx2_acc softmax_avx2_acc_add(softmax_avx2_acc s, softmax_avx2_vec x) { return softmax_avx2_wide_add(s, softmax_avx2_widen(x)); }
static inline softmax_avx2_acc softmax_avx2_acc_add_tree(softmax_avx2_acc s, const float *parts, intptr_t vectors)
{
    softmax_avx2_vec left, right;
    softmax_avx2_tree(parts, vectors, &left, &right);
    return softmax_avx2_acc_add(softmax_avx2_acc_add(s, left), right);
}
static RF_APART void softmax_avx2_scatter(char *p, intptr_t step, intptr_t count, const float *buffer) { for (intptr_t j = 0; j < count; ++j) RF_COPY(p + j * step, buffer + j, sizeof(float)); }
static inline void softmax_avx2_close(char *p, intptr_t step, intptr_t i, intptr_t count, const float *buffer) { if (step != (intptr_t)sizeof(float)) softmax_avx2_scatter(p + i * step, step, count, buffer); }
static inline softmax_avx2_acc softmax_avx2_acc_join(softmax_avx2_acc s, softmax_avx2_acc x) { return softmax_avx2_wide_add(s, x); }
static inline double softmax_avx2_sum_4(__m256d v) { const __m128d h = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1)); return _mm_cvtsd_f64(_mm_add_pd(h, _mm_unpackhi_pd(h, h))); }
static inline double softmax_avx2_wide_sum(softmax_avx2_wide x) { return softmax_avx2_sum_4(_mm256_add_pd(_mm256_add_pd(x.v[0], x.v[2]), _mm256_add_pd(x.v[1], x.v[3]))); }
static inline double softmax_avx2_fold(softmax_avx2_acc s) { return softmax_avx2_wide_sum(s); }
static inline softmax_avx2_vec softmax_avx2_set_lo(double a) { const double rest = a - (double)(float)a; return softmax_avx2_set(rest - rest == 0 ? rest : 0); }
static inline double softmax_avx2_num_max(double a, double b) { return a > b ? a : b; }
static inline double softmax_avx2_num_choose(int c, double a, double b) { return c ? a : b; }
static inline softmax_avx2_vec softmax_avx2_mul(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline softmax_avx2_vec softmax_avx2_fma(softmax_avx2_vec x, softmax_avx2_vec y, softmax_avx2_vec z) { return softmax_avx2_pair(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
static inline softmax_avx2_vec softmax_avx2_sub(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline softmax_avx2_vec softmax_avx2_neg(softmax_avx2_vec x) { return softmax_avx2_pair(-x.a, -x.b); }
static inline softmax_avx2_vec softmax_avx2_min(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline __m256 softmax_avx2_lacking(const float *p, __m256 at) { return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(_mm256_loadu_ps(p)), _mm256_slli_epi32(_mm256_castps_si256(at), 19))); }
static const float softmax_avx2_sixteenths[16] RF_ALIGNED = { 0x1.067aa2p+0f, 0x1.121998p+0f, 0x1.1e3c44p+0f, 0x1.2ae87cp+0f, 0x1.382456p+0f, 0x1.45f62ep+0f, 0x1.5464a8p+0f, 0x1.6376b4p+0f, 0x1.73339p+0f, 0x1.83a2cap+0f, 0x1.94cc4ap+0f, 0x1.a6b84ep+0f, 0x1.b96f74p+0f, 0x1.ccfab8p+0f, 0x1.e1638p+0f, 0x1.f6b39ap+0f };
static inline __m256 softmax_avx2_stepped(__m256 z, __m256 kept, __m256 low, __m256 high) { const __m256i j = _mm256_castps_si256(z); return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_setzero_si256(), _mm256_add_epi32(_mm256_castps_si256(_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, j), _mm256_permutevar8x32_ps(high, j), _mm256_castsi256_ps(_mm256_slli_epi32(j, 28)))), _mm256_slli_epi32(_mm256_castps_si256(kept), 19)))); }
static inline softmax_avx2_vec softmax_avx2_scaled_sixteenth(softmax_avx2_vec z, softmax_avx2_vec shift) { const softmax_avx2_vec at = softmax_avx2_fma(shift, softmax_avx2_set(16.0), softmax_avx2_add(softmax_avx2_iota(), softmax_avx2_set(12582912.0))), kept = softmax_avx2_min(softmax_avx2_add(shift, softmax_avx2_set(786432.0 + 127.9375)), softmax_avx2_max(softmax_avx2_add(shift, softmax_avx2_set(786432.0 - 254.0)), z));
    const __m256 low = softmax_avx2_lacking(softmax_avx2_sixteenths, at.a), high = softmax_avx2_lacking(softmax_avx2_sixteenths + 8, at.b); return softmax_avx2_pair(softmax_avx2_stepped(z.a, kept.a, low, high), softmax_avx2_stepped(z.b, kept.b, low, high)); }
static inline double softmax_avx2_num_far_shift(double m, double reach) { const double most = (double)FLT_MAX; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }
static inline double softmax_avx2_num_nan_if(int c, double a) { return c ? RF_NAN : a; }

/* UNIT 2^(x (k_hi + k_lo) - shift), bit by bit that of exp_shifted, where steps of the exponent can be added. */
static inline softmax_avx2_vec softmax_avx2_exp_normal(softmax_avx2_vec x, softmax_avx2_vec k_hi, softmax_avx2_vec k_lo, softmax_avx2_vec shift)
{
    const softmax_avx2_vec z = softmax_avx2_fma(x, k_hi, softmax_avx2_set(786432.0));
    const softmax_avx2_vec n_v = softmax_avx2_sub(z, softmax_avx2_set(786432.0));
    const softmax_avx2_vec t = softmax_avx2_neg(n_v);
    const softmax_avx2_vec f = softmax_avx2_fma(x, k_hi, t);
    const softmax_avx2_vec f_2 = softmax_avx2_fma(x, k_lo, f);
    const softmax_avx2_vec t_3 = softmax_avx2_scaled_sixteenth(z, shift);
    const softmax_avx2_vec t_2 = softmax_avx2_mul(t_3, f_2);
    const softmax_avx2_vec t_4 = softmax_avx2_fma(softmax_avx2_set(0x1.c6acd8p-5), f_2, softmax_avx2_set(0x1.ebfff4p-3));
    const softmax_avx2_vec t_5 = softmax_avx2_fma(t_4, f_2, softmax_avx2_set(0x1.62e43p-1));
    const softmax_avx2_vec t_6 = softmax_avx2_fma(t_2, t_5, t_3);
    return t_6;
}

/* What a row needs for its last sweep, which runs beneath the next row. */
typedef struct {
    char *out;
    softmax_avx2_vec r_lo;
    softmax_avx2_vec r_v;
} softmax_avx2_speculative_held;

/* Sweep: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there. One block of it. */
static void softmax_avx2_speculative_last(const softmax_avx2_speculative_held *held, intptr_t n, intptr_t i, intptr_t out_step)
{
    float out_buffer[256];
    char *out = held->out;
    const softmax_avx2_vec r_lo = held->r_lo, r_v = held->r_v;
    const intptr_t count = softmax_avx2_least(n - i, 256);
    float *out_b = softmax_avx2_open(out, out_step, i, out_buffer);
    (void)softmax_avx2_read(out, out_step, i, count, out_buffer);
    intptr_t j = 0;
    for (; j + 16 <= count; j += 16) {
        const softmax_avx2_vec out_i = softmax_avx2_load(out_b + j);
        const softmax_avx2_vec small_2 = softmax_avx2_mul(out_i, r_lo);
        const softmax_avx2_vec t = softmax_avx2_fma(out_i, r_v, small_2);
        softmax_avx2_store(out_b + j, t);
    }
    if (j < count) {
        const softmax_avx2_mask live = softmax_avx2_first_lanes(count - j);
        const softmax_avx2_vec out_i = softmax_avx2_load_tail(out_b + j, live);
        const softmax_avx2_vec small_2 = softmax_avx2_mul(out_i, r_lo);
        const softmax_avx2_vec t = softmax_avx2_fma(out_i, r_v, small_2);
        softmax_avx2_store_tail(out_b + j, t, live);
    }
    softmax_avx2_close(out, out_step, i, count, out_b);
}

/* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
RF_COLD static void softmax_avx2_speculative_rare(intptr_t n, const char *x, char *out, intptr_t x_step, intptr_t out_step, double *shift_, double *shift_n_, double *low_, double scale, double per_octave, double *sum_2, softmax_avx2_vec scale_v_2, softmax_avx2_vec scale_lo_v_2)
{
    float x_buffer[256];
    float out_buffer[256];

    /* Sweep: the maximum of a row that reaches beyond 2^16. */
    softmax_avx2_vec max_lanes_2 = softmax_avx2_set(-RF_INFINITY);
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = softmax_avx2_least(n - i, 256);
        const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
        for (intptr_t j = 0; j < count; j += 16) {
            const softmax_avx2_mask live = softmax_avx2_first_lanes(softmax_avx2_least(count - j, 16));
            const softmax_avx2_vec x_i_4 = softmax_avx2_load_tail(x_b + j, live);
            const softmax_avx2_vec x_i_4_2 = softmax_avx2_select(live, x_i_4, softmax_avx2_set(-RF_INFINITY));
            max_lanes_2 = softmax_avx2_max(x_i_4_2, max_lanes_2);
        }
    }
    const double max = softmax_avx2_fold_max(max_lanes_2);
    const double reach_2 = max * scale;
    const double shift = softmax_avx2_num_far_shift(max, reach_2);
    const double near = max - shift;
    const double shift_exponent_2 = softmax_avx2_num_exponent_of(near, scale);
    const int endless = max == RF_INFINITY;
    const double shift_exponent_3 = softmax_avx2_num_nan_if(endless, shift_exponent_2);
    const double low_2 = softmax_avx2_num_low_end(shift_exponent_3, per_octave, 176.0);
    *shift_ = shift;
    *shift_n_ = shift_exponent_3;
    *low_ = low_2;

    /* Sweep: its sums, shifted by that maximum. */
    softmax_avx2_acc sum_lanes_2 = softmax_avx2_acc_zero();
    RF_ALIGNED float sum_parts_2[256];
    const softmax_avx2_vec shift__v = softmax_avx2_set(*shift_);
    const double shift_exponent_4 = *shift_n_ - 72.0;
    const softmax_avx2_vec shift_n__v_2 = softmax_avx2_set(shift_exponent_4);
    const softmax_avx2_vec low__v_2 = softmax_avx2_set(*low_);
    softmax_avx2_acc sum_lanes_2_so_far = softmax_avx2_acc_zero();
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = softmax_avx2_least(n - i, 256);
        const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
        float *out_b = softmax_avx2_open(out, out_step, i, out_buffer);
        const intptr_t vectors = (count + 15) / 16;
        for (intptr_t j = 0; j < count; j += 16) {
            const softmax_avx2_mask live = softmax_avx2_first_lanes(softmax_avx2_least(count - j, 16));
            const softmax_avx2_vec x_i_5 = softmax_avx2_load_tail(x_b + j, live);
            const softmax_avx2_vec x_i_5_2 = softmax_avx2_sub(x_i_5, shift__v);
            const softmax_avx2_vec x_i_5_2_2 = softmax_avx2_max(low__v_2, x_i_5_2);
            const softmax_avx2_vec e_3 = softmax_avx2_exp_normal(x_i_5_2_2, scale_v_2, scale_lo_v_2, shift_n__v_2);
            softmax_avx2_store_tail(out_b + j, e_3, live);
            const softmax_avx2_vec e_3_2 = softmax_avx2_select(live, e_3, softmax_avx2_set(0.0));
            softmax_avx2_store(sum_parts_2 + j, e_3_2);
        }
        sum_lanes_2 = softmax_avx2_acc_add_tree(sum_lanes_2, sum_parts_2, vectors);
        softmax_avx2_close(out, out_step, i, count, out_b);
        if (!((i + 256) & 8191)) { /* a chunk ends */
            sum_lanes_2_so_far = softmax_avx2_acc_join(sum_lanes_2_so_far, sum_lanes_2);
            sum_lanes_2 = softmax_avx2_acc_zero();
        }
    }
    sum_lanes_2 = softmax_avx2_acc_join(sum_lanes_2_so_far, sum_lanes_2);
    const double sum_3 = softmax_avx2_fold(sum_lanes_2);
    *sum_2 = sum_3;
}

/* Rows of a batch. */
static void softmax_avx2_speculative_rows(intptr_t rows, intptr_t n, const char *x_rows, intptr_t x_next, intptr_t x_step, const char *temperature, char *out_rows, intptr_t out_next, intptr_t out_step)
{
    float x_buffer[256];
    float out_buffer[256];

    /* The same for all rows. */
    const double temperature_2 = softmax_avx2_num_scalar(temperature);
    const double reciprocal = 1.0 / temperature_2;
    const double factor_lo = softmax_avx2_num_div_rest(1.0, temperature_2, reciprocal);
    double scale, scale_lo; softmax_avx2_num_scale_log2e(reciprocal, factor_lo, &scale, &scale_lo);
    const double per_octave = 1.0 / scale;
    const double scale_rest = softmax_avx2_num_lost(scale, scale_lo);
    const softmax_avx2_vec scale_v = softmax_avx2_set(scale);
    const softmax_avx2_vec scale_lo_v = softmax_avx2_set(scale_rest);
    const double scale_rest_2 = softmax_avx2_num_lost(scale, scale_lo);
    const softmax_avx2_vec scale_v_2 = softmax_avx2_set(scale);
    const softmax_avx2_vec scale_lo_v_2 = softmax_avx2_set(scale_rest_2);

    /* What one row tells the next. */
    double shift_ = 0.0;
    double shift_n_ = 0.0;
    double low_ = 0.0;
    double doubts = 4.0;
    const int from_memory = n >= 1024 && n <= 65536 && rows > 2097152 / n; /* not from a cache */
    softmax_avx2_speculative_held held;
    intptr_t held_at = n; /* so far no row waits for its last sweep */

    for (intptr_t row = 0; row < rows; ++row) {
        const char *x = x_rows + row * x_next;
        char *out = out_rows + row * out_next;
        const int trusted = doubts < 4.0;
        const int wary = doubts >= 8.0;

        /* The rows before do not tell where this one's maximum lies. */
        if (!trusted) {

            /* Sweep: the row's first elements, to guess a power of two near its maximum. */
            softmax_avx2_vec max_lanes = softmax_avx2_set(-RF_INFINITY);
            for (intptr_t i = 0; i < (x == out || wary ? n : softmax_avx2_least(n, 16)); i += 256) {
                const intptr_t count = softmax_avx2_least((x == out || wary ? n : softmax_avx2_least(n, 16)) - i, 256);
                const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
                for (intptr_t j = 0; j < count; j += 16) {
                    const softmax_avx2_mask live = softmax_avx2_first_lanes(softmax_avx2_least(count - j, 16));
                    const softmax_avx2_vec x_i = softmax_avx2_load_tail(x_b + j, live);
                    const softmax_avx2_vec x_i_2 = softmax_avx2_select(live, x_i, softmax_avx2_set(-RF_INFINITY));
                    max_lanes = softmax_avx2_max(x_i_2, max_lanes);
                }
            }
            const double first_max = softmax_avx2_fold_max(max_lanes);
            const double no_shift = 0.0;
            const double guess = softmax_avx2_num_exponent_of(first_max, scale);
            const double low = softmax_avx2_num_low_end(guess, per_octave, 176.0);
            shift_ = no_shift;
            shift_n_ = guess;
            low_ = low;
        }
        const double reach = softmax_avx2_num_abs(shift_n_);
        const int near_zero = reach < 94548.0;

        /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two, keep the exponentials in the output. */
        softmax_avx2_acc sum_lanes = softmax_avx2_acc_zero();
        RF_ALIGNED float sum_parts[256];
        const double shift_exponent = shift_n_ - 72.0;
        const softmax_avx2_vec shift_n__v = softmax_avx2_set(shift_exponent);
        const softmax_avx2_vec low__v = softmax_avx2_set(low_);
        softmax_avx2_acc sum_lanes_so_far = softmax_avx2_acc_zero();
        for (intptr_t i = 0; i < (near_zero ? n : 0); i += 256) {
            const intptr_t count = softmax_avx2_least(n - i, 256);
            const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
            float *out_b = softmax_avx2_open(out, out_step, i, out_buffer);
            if (from_memory) {
                softmax_avx2_ahead(x_b);
                softmax_avx2_ahead_write(out_b);
            }
            const intptr_t vectors = (count + 15) / 16;
            intptr_t j = 0;
            for (; j + 16 <= count; j += 16) {
                const softmax_avx2_vec x_i_3 = softmax_avx2_load(x_b + j);
                const softmax_avx2_vec x_i_3_2 = softmax_avx2_max(low__v, x_i_3);
                const softmax_avx2_vec e = softmax_avx2_exp_normal(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                softmax_avx2_store(out_b + j, e);
                softmax_avx2_store(sum_parts + j, e);
            }
            if (j < count) {
                const softmax_avx2_mask live = softmax_avx2_first_lanes(count - j);
                const softmax_avx2_vec x_i_3 = softmax_avx2_load_tail(x_b + j, live);
                const softmax_avx2_vec x_i_3_2 = softmax_avx2_max(low__v, x_i_3);
                const softmax_avx2_vec e = softmax_avx2_exp_normal(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                softmax_avx2_store_tail(out_b + j, e, live);
                const softmax_avx2_vec e_2 = softmax_avx2_select(live, e, softmax_avx2_set(0.0));
                softmax_avx2_store(sum_parts + j, e_2);
            }
            sum_lanes = softmax_avx2_acc_add_tree(sum_lanes, sum_parts, vectors);
            softmax_avx2_close(out, out_step, i, count, out_b);
            if (!((i + 256) & 8191)) { /* a chunk ends */
                sum_lanes_so_far = softmax_avx2_acc_join(sum_lanes_so_far, sum_lanes);
                sum_lanes = softmax_avx2_acc_zero();
            }
            if (held_at < n) { softmax_avx2_speculative_last(&held, n, held_at, out_step); held_at += 256; }
        }
        for (; held_at < n; held_at += 256) softmax_avx2_speculative_last(&held, n, held_at, out_step);
        sum_lanes = softmax_avx2_acc_join(sum_lanes_so_far, sum_lanes);
        const double sum = softmax_avx2_fold(sum_lanes);
        double sum_2 = sum;
        const int large = sum >= 0x1p+56;
        const int small = sum <= 0x1p+101;
        const int safe = large && small;
        const int safe_2 = near_zero && safe;

        /* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
        if (!safe_2) softmax_avx2_speculative_rare(n, x, out, x_step, out_step, &shift_, &shift_n_, &low_, scale, per_octave, &sum_2, scale_v_2, scale_lo_v_2);
        const double r = 1.0 / sum_2;
        const softmax_avx2_vec r_v = softmax_avx2_set(r);
        const softmax_avx2_vec r_lo = softmax_avx2_set_lo(r);

        const double faded = doubts - 0x1.47ae147ae147bp-6;
        const double faded_2 = softmax_avx2_num_max(faded, 0.0);
        const int apart = x != out;
        const int unshifted = shift_ == 0.0;
        const double size = softmax_avx2_num_abs(shift_n_);
        const int near_2 = size < 94548.0;
        const int usable = apart && unshifted;
        const int usable_2 = usable && near_2;
        const double doubted = faded_2 + 1.0;
        const double faded_3 = softmax_avx2_num_choose(safe_2, faded_2, doubted);
        const double at_least = softmax_avx2_num_max(faded_3, 4.0);
        doubts = softmax_avx2_num_choose(usable_2, faded_3, at_least);

        held.out = out;
        held.r_lo = r_lo;
        held.r_v = r_v;
        held_at = 0;
    }
    for (; held_at < n; held_at += 256) softmax_avx2_speculative_last(&held, n, held_at, out_step);
}

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_softmax_f32_speculative__avx2_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const softmax_avx2_env env = softmax_avx2_enter();
    const intptr_t together = steps[1] == 0 ? dims[0] : 1; /* rows that share their settings */
    (void)data;
    for (intptr_t row = 0; row < dims[0]; row += together)
        softmax_avx2_speculative_rows(together, dims[1], args[0] + row * steps[0], steps[0], steps[3], args[1] + row * steps[1], args[2] + row * steps[2], steps[2], steps[4]);
    softmax_avx2_leave(env);
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if defined(__x86_64__) && defined(__GNUC__)
/* Whether CPUID shows all these bits, and whether the system saves these registers (XGETBV). */
static int softmax_cpuid(unsigned leaf, int name, unsigned bits)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (a < leaf) return 0;
    a = leaf;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return ((name == 'b' ? b : c) & bits) == bits;
}
static int softmax_saves(unsigned bits)
{
    unsigned a = 0, d = 0;
    if (!softmax_cpuid(1, 'c', 0x08000000u)) return 0; /* OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & bits) == bits;
}
#endif
/* The choice is made when the program is loaded, where the system can (CPUID takes microseconds under a hypervisor). */
#if defined(__x86_64__) && defined(__GNUC__) && defined(__ELF__) && defined(__GLIBC__) && !defined(ROWFOLD_NO_IFUNC)
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ROWFOLD_SOFTMAX_IFUNC
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#undef ROWFOLD_SOFTMAX_IFUNC
#endif
#endif
#endif
static unsigned softmax_isas(void)
{
    unsigned found = 0;
#if defined(__x86_64__) && defined(__GNUC__)
    if (softmax_saves(0x06u) && softmax_cpuid(1, 'c', 0x20001000u) && softmax_cpuid(7, 'b', 0x00000020u)) found |= ROWFOLD_SOFTMAX_AVX2;
#endif
    return found;
}
unsigned rowfold_softmax_isas(void) { return softmax_isas(); }
typedef void softmax_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *status);
static void softmax_none(char **args, const intptr_t *dims, const intptr_t *steps, void *status)
{
    (void)args, (void)dims, (void)steps;
    *(int *)status = ROWFOLD_CPU;
}
#if defined(ROWFOLD_SOFTMAX_IFUNC)
#define ROWFOLD_SOFTMAX_CHOSEN(run, choice) static softmax_loop run __attribute__((ifunc(#choice)));
#else
#define ROWFOLD_SOFTMAX_CHOSEN(run, choice) static void run(char **args, const intptr_t *dims, const intptr_t *steps, void *status) { choice()(args, dims, steps, status); }
#endif

/* floats: the loop for this CPU. */
RF_HIDDEN softmax_loop *rowfold_softmax_f32_choice(void); /* not static: C++ would rename it */
softmax_loop *rowfold_softmax_f32_choice(void)
{
    const unsigned found = softmax_isas();
#if defined(__x86_64__) && defined(__GNUC__)
    if (found & ROWFOLD_SOFTMAX_AVX2) return rowfold_softmax_f32_speculative__avx2_u1_a1;
#endif
    (void)found;
    return softmax_none;
}
ROWFOLD_SOFTMAX_CHOSEN(softmax_f32_run, rowfold_softmax_f32_choice)

int rowfold_softmax_f32_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t x_row, ptrdiff_t x_step, double temperature, float *out, ptrdiff_t out_row, ptrdiff_t out_step)
{
    char *const args[] = { (char *)(uintptr_t)x, (char *)(uintptr_t)&temperature, (char *)(uintptr_t)out };
    const intptr_t steps[] = { x_row * (intptr_t)sizeof(float), 0, out_row * (intptr_t)sizeof(float), x_step * (intptr_t)sizeof(float), out_step * (intptr_t)sizeof(float) };
    int status = ROWFOLD_OK;
    if (rows < 0 || n < 0) return ROWFOLD_SIZE;
    if (rows == 0) return ROWFOLD_OK;
    if (n && !x) return ROWFOLD_NULL;
    if (n && !out) return ROWFOLD_NULL;
    if (!(temperature > 0.0)) return ROWFOLD_SETTING;
#if defined(ROWFOLD_OPENMP)
    const ptrdiff_t parts = rows < 256 ? rows : 256;
#pragma omp parallel for schedule(static) reduction(| : status)
#else
    const ptrdiff_t parts = 1;
#endif
    for (ptrdiff_t part = 0; part < parts; ++part) {
        const intptr_t rest = rows % parts, first = rows / parts * part + (part < rest ? part : rest);
        const intptr_t dims[] = { rows / parts + (part < rest), n };
        char *here[3];
        for (int k = 0; k < 3; ++k) here[k] = args[k] + first * steps[k];
        softmax_f32_run(here, dims, steps, &status);
    }
    return status;
}

int rowfold_softmax_f32(ptrdiff_t n, const float *x, double temperature, float *out)
{
    return rowfold_softmax_f32_rows(1, n, x, 0, 1, temperature, out, 0, 1);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif
#ifdef __cplusplus
}
#endif
