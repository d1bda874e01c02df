/*
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
 * Compile it with -O3, or any other optimization, and no machine flag; it calls no library.
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
 */
#include "rowfold_softmax.h"
#if !(defined(__x86_64__) && defined(__GNUC__))
#error "rowfold_softmax was written for x86_64, by GCC or Clang: write it with isas=portable too"
#elif defined(__FAST_MATH__)
#error "rowfold_softmax holds its error bounds under IEEE arithmetic only: compile this file without -ffast-math"
#endif
#include <immintrin.h>
#include <cpuid.h>
#define RF_APART __attribute__((noinline)) /* seldom called */
#define RF_AVX2 __attribute__((target("avx2,fma,f16c")))

/* A product and a sum are one operation only where that is written. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

/* avx2: 16 lanes of float. */
static inline RF_AVX2 double softmax_avx2_num_scalar(const char *p) { double a; __builtin_memcpy(&a, p, sizeof a); return a; }
static RF_APART RF_AVX2 double softmax_avx2_num_finite_or_0(double a) { return a - a == 0 ? a : 0; }
static inline RF_AVX2 double softmax_avx2_num_div_rest(double a, double b, double q) { return softmax_avx2_num_finite_or_0(__builtin_fma(-q, b, a) / b); }
static inline RF_AVX2 void softmax_avx2_num_scale_log2e(double c, double lo, double *hi, double *rest) { *hi = c * 0x1.71547652b82fep+0; *rest = softmax_avx2_num_finite_or_0(__builtin_fma(c, 0x1.71547652b82fep+0, -*hi) + (c * 0x1.777d0ffda0d24p-56 + lo * 0x1.71547652b82fep+0)); }
static inline RF_AVX2 double softmax_avx2_num_lost(double hi, double lo) { return softmax_avx2_num_finite_or_0(hi - (double)(float)hi) + lo; }
typedef struct { __m256 a, b; } softmax_avx2_vec;
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_pair(__m256 a, __m256 b) { const softmax_avx2_vec r = { a, b }; return r; }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_set(double a) { const __m256 x = _mm256_set1_ps((float)a); return softmax_avx2_pair(x, x); }
static inline RF_AVX2 intptr_t softmax_avx2_least(intptr_t a, intptr_t b) { return a < b ? a : b; }
static RF_APART RF_AVX2 double softmax_avx2_num_exponent_of(double m, double scale)
{
    const double z = m * scale, most = 94548.0;
    return z > most ? most : z < -most ? -most : (z + 0x1.8p52) - 0x1.8p52;
}
static RF_APART RF_AVX2 double softmax_avx2_num_low_end(double n, double octave, double drop) { return (n - (n > -94547.0 ? drop : 4096.0)) * octave; } /* a row of -inf: nothing at all is left */
typedef struct { __m256d v[4]; } softmax_avx2_wide;
static inline RF_AVX2 softmax_avx2_wide softmax_avx2_wide_zero(void) { const __m256d z = _mm256_setzero_pd(); const softmax_avx2_wide r = { { z, z, z, z } }; return r; }
static RF_APART RF_AVX2 void softmax_avx2_ahead(const float *p)
{
    for (intptr_t k = 0; k < 256; k += 16) __builtin_prefetch((const void *)((uintptr_t)(p + k) + 4096), 0, 2);
}
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_load(const float *p) { return softmax_avx2_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_max(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline RF_AVX2 void softmax_avx2_store(float *p, softmax_avx2_vec x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_add(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline RF_AVX2 softmax_avx2_wide softmax_avx2_wide_add(softmax_avx2_wide x, softmax_avx2_wide y) { const softmax_avx2_wide r = { { _mm256_add_pd(x.v[0], y.v[0]), _mm256_add_pd(x.v[1], y.v[1]), _mm256_add_pd(x.v[2], y.v[2]), _mm256_add_pd(x.v[3], y.v[3]) } }; return r; }
static inline RF_AVX2 softmax_avx2_wide softmax_avx2_widen(softmax_avx2_vec x) { const softmax_avx2_wide r = { { _mm256_cvtps_pd(_mm256_castps256_ps128(x.a)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.a, 1)), _mm256_cvtps_pd(_mm256_castps256_ps128(x.b)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.b, 1)) } }; return r; }
static inline RF_AVX2 softmax_avx2_wide softmax_avx2_acc_add(softmax_avx2_wide s, softmax_avx2_vec x) { return softmax_avx2_wide_add(s, softmax_avx2_widen(x)); }
static RF_APART RF_AVX2 void softmax_avx2_acc_gain(softmax_avx2_wide *s, const softmax_avx2_vec *v)
{
    softmax_avx2_vec sum[4];
    for (int k = 0; k < 4; ++k) sum[k] = softmax_avx2_add(v[k], v[k + 4]);
    *s = softmax_avx2_acc_add(softmax_avx2_acc_add(*s, softmax_avx2_add(sum[0], sum[2])), softmax_avx2_add(sum[1], sum[3]));
}
static RF_APART RF_AVX2 void softmax_avx2_acc_move(softmax_avx2_wide *total, softmax_avx2_wide *part)
{
    *total = softmax_avx2_wide_add(*total, *part);
    *part = softmax_avx2_wide_zero();
}
static inline RF_AVX2 double softmax_avx2_sum_4(__m256d v) { const __m128d h = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1)); return _mm_cvtsd_f64(_mm_add_pd(h, _mm_unpackhi_pd(h, h))); }
static inline RF_AVX2 double softmax_avx2_wide_sum(softmax_avx2_wide x) { return softmax_avx2_sum_4(_mm256_add_pd(_mm256_add_pd(x.v[0], x.v[2]), _mm256_add_pd(x.v[1], x.v[3]))); }
static inline RF_AVX2 double softmax_avx2_num_max(double a, double b) { return a > b ? a : b; }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_set_lo(double a) { return softmax_avx2_set(softmax_avx2_num_finite_or_0(a - (double)(float)a)); }
static inline RF_AVX2 intptr_t softmax_avx2_unaligned(const char *p) { return (intptr_t)((64 - (uintptr_t)p % 64) % 64 / sizeof(float)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_mul(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_fma(softmax_avx2_vec x, softmax_avx2_vec y, softmax_avx2_vec z) { return softmax_avx2_pair(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
static inline RF_AVX2 float *softmax_avx2_open(char *p, intptr_t step, intptr_t i, float *buffer) { return step == (intptr_t)sizeof(float) ? (float *)(void *)(p + i * step) : buffer; }
static RF_APART RF_AVX2 const float *softmax_avx2_gather(const char *p, intptr_t step, intptr_t count, float *buffer)
{
    for (intptr_t j = 0; j < count; ++j) __builtin_memcpy(buffer + j, p + j * step, sizeof(float));
    return buffer;
}
static inline RF_AVX2 const float *softmax_avx2_read(const char *p, intptr_t step, intptr_t i, intptr_t count, float *buffer) { return step == (intptr_t)sizeof(float) ? (const float *)(const void *)(p + i * step) : softmax_avx2_gather(p + i * step, step, count, buffer); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_load_tail(const float *p, softmax_avx2_vec m) { return softmax_avx2_pair(_mm256_maskload_ps(p, _mm256_castps_si256(m.a)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_lt(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_iota(void) { static const float lane[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }; return softmax_avx2_load(lane); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_first_lanes(intptr_t count) { return softmax_avx2_lt(softmax_avx2_iota(), softmax_avx2_set((double)count)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_load_some(const float *p, intptr_t left) { return left >= 16 ? softmax_avx2_load(p) : softmax_avx2_load_tail(p, softmax_avx2_first_lanes(left)); }
static inline RF_AVX2 void softmax_avx2_store_tail(float *p, softmax_avx2_vec x, softmax_avx2_vec m) { _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a); _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b); }
static inline RF_AVX2 void softmax_avx2_store_some(float *p, softmax_avx2_vec a, intptr_t left) { left >= 16 ? softmax_avx2_store(p, a) : softmax_avx2_store_tail(p, a, softmax_avx2_first_lanes(left)); }
static RF_APART RF_AVX2 void softmax_avx2_scatter(char *p, intptr_t step, intptr_t count, const float *buffer)
{
    for (intptr_t j = 0; j < count; ++j) __builtin_memcpy(p + j * step, buffer + j, sizeof(float));
}
static inline RF_AVX2 void softmax_avx2_close(char *p, intptr_t step, intptr_t i, intptr_t count, const float *buffer) { if (step != (intptr_t)sizeof(float)) softmax_avx2_scatter(p + i * step, step, count, buffer); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_sub(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_neg(softmax_avx2_vec x) { return softmax_avx2_pair(-x.a, -x.b); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_min(softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline RF_AVX2 __m256 softmax_avx2_lacking(const float *p, __m256 at) { return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(_mm256_loadu_ps(p)), _mm256_slli_epi32(_mm256_castps_si256(at), 19))); }
static const float softmax_avx2_sixteenths[16] __attribute__((aligned(64))) /* a vector that straddles cache lines costs twice */ = { 0x1.067aa2p+0f, 0x1.121998p+0f, 0x1.1e3c44p+0f, 0x1.2ae87cp+0f, 0x1.382456p+0f, 0x1.45f62ep+0f, 0x1.5464a8p+0f, 0x1.6376b4p+0f, 0x1.73339p+0f, 0x1.83a2cap+0f, 0x1.94cc4ap+0f, 0x1.a6b84ep+0f, 0x1.b96f74p+0f, 0x1.ccfab8p+0f, 0x1.e1638p+0f, 0x1.f6b39ap+0f };
static inline RF_AVX2 __m256 softmax_avx2_stepped(__m256 z, __m256 kept, __m256 low, __m256 high) { const __m256i j = _mm256_castps_si256(z); return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_setzero_si256(), _mm256_add_epi32(_mm256_castps_si256(_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, j), _mm256_permutevar8x32_ps(high, j), _mm256_castsi256_ps(_mm256_slli_epi32(j, 28)))), _mm256_slli_epi32(_mm256_castps_si256(kept), 19)))); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_scaled_sixteenth(softmax_avx2_vec z, softmax_avx2_vec shift) { const softmax_avx2_vec at = softmax_avx2_fma(shift, softmax_avx2_set(16.0), softmax_avx2_add(softmax_avx2_iota(), softmax_avx2_set(12582912.0))), kept = softmax_avx2_min(softmax_avx2_add(shift, softmax_avx2_set(786432.0 + 127.9375)), softmax_avx2_max(softmax_avx2_add(shift, softmax_avx2_set(786432.0 - 254.0)), z));
    const __m256 low = softmax_avx2_lacking(softmax_avx2_sixteenths, at.a), high = softmax_avx2_lacking(softmax_avx2_sixteenths + 8, at.b); return softmax_avx2_pair(softmax_avx2_stepped(z.a, kept.a, low, high), softmax_avx2_stepped(z.b, kept.b, low, high)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_select(softmax_avx2_vec m, softmax_avx2_vec x, softmax_avx2_vec y) { return softmax_avx2_pair(_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)); }
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_select_some(intptr_t left, softmax_avx2_vec a, softmax_avx2_vec b) { return left >= 16 ? a : softmax_avx2_select(softmax_avx2_first_lanes(left), a, b); }
static inline RF_AVX2 double softmax_avx2_max_rest(__m256 v) { const __m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)), d = _mm_max_ps(q, _mm_movehl_ps(q, q)); return (double)_mm_cvtss_f32(_mm_max_ps(d, _mm_shuffle_ps(d, d, 1))); }
static inline RF_AVX2 double softmax_avx2_fold_max(softmax_avx2_vec x) { return softmax_avx2_max_rest(_mm256_max_ps(x.a, x.b)); }
static inline RF_AVX2 double softmax_avx2_num_far_shift(double m, double reach) { const double most = (double)0x1.fffffep+127; return reach <= 94548.0 && reach >= -94548.0 ? 0 : m > most ? most : m < -most ? -most : m; }

/* UNIT 2^(x (k_hi + k_lo) - shift), bit by bit that of exp_shifted, where steps of the exponent can be added. */
static inline RF_AVX2 softmax_avx2_vec softmax_avx2_exp_normal(softmax_avx2_vec x, softmax_avx2_vec k_hi, softmax_avx2_vec k_lo, softmax_avx2_vec shift)
{
    const softmax_avx2_vec z = softmax_avx2_fma(x, k_hi, softmax_avx2_set(786432.0));
    const softmax_avx2_vec n_v = softmax_avx2_sub(z, softmax_avx2_set(786432.0));
    const softmax_avx2_vec f = softmax_avx2_fma(x, k_hi, softmax_avx2_neg(n_v));
    const softmax_avx2_vec f_2 = softmax_avx2_fma(x, k_lo, f);
    const softmax_avx2_vec t_3 = softmax_avx2_scaled_sixteenth(z, shift);
    const softmax_avx2_vec t_4 = softmax_avx2_fma(softmax_avx2_set(0x1.c6acd8p-5), f_2, softmax_avx2_set(0x1.ebfff4p-3));
    const softmax_avx2_vec t_6 = softmax_avx2_fma(softmax_avx2_mul(t_3, f_2), softmax_avx2_fma(t_4, f_2, softmax_avx2_set(0x1.62e43p-1)), t_3);
    return t_6;
}

/* The max of a row. */
static RF_APART RF_AVX2 double softmax_avx2_speculative_max(intptr_t n, const char *x, intptr_t x_step)
{
    float x_buffer[256];
    softmax_avx2_vec max_lanes = softmax_avx2_set(-__builtin_inff());
    for (intptr_t i = 0; i < n; i += 256) {
        const intptr_t count = softmax_avx2_least(n - i, 256);
        const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
        for (intptr_t j = 0; j < count; j += 16) {
            const intptr_t live_count = softmax_avx2_least(count - j, 16);
            const softmax_avx2_vec x_i = softmax_avx2_load_some(x_b + j, live_count);
            const softmax_avx2_vec x_i_2 = softmax_avx2_select_some(live_count, x_i, softmax_avx2_set(-__builtin_inff()));
            max_lanes = softmax_avx2_max(x_i_2, max_lanes);
        }
    }
    return softmax_avx2_fold_max(max_lanes);
}

/* A block that is not whole, not contiguous, or of a row whose elements are shifted by its maximum. */
static inline RF_AVX2 void softmax_avx2_speculative_some(intptr_t n, intptr_t i, const char *x, intptr_t x_step, char *out, intptr_t out_step, double shift_, double low_, double scale, double scale_rest_2, double shift_exponent_4, softmax_avx2_wide *sum_lanes_2)
{
    float x_buffer[256], out_buffer[256];
    const softmax_avx2_vec shift__v = softmax_avx2_set(shift_), low__v_2 = softmax_avx2_set(low_), scale_v_2 = softmax_avx2_set(scale);
    const softmax_avx2_vec scale_lo_v_2 = softmax_avx2_set(scale_rest_2), shift_n__v_2 = softmax_avx2_set(shift_exponent_4);
    const intptr_t count = softmax_avx2_least(n - i, 256);
    const float *x_b = softmax_avx2_read(x, x_step, i, count, x_buffer);
    float *out_b = softmax_avx2_open(out, out_step, i, out_buffer);
    softmax_avx2_vec half_of_sum_parts_2[8];
    for (int k = 0; k < 8; ++k) half_of_sum_parts_2[k] = softmax_avx2_set(0.0);
    for (intptr_t j = 0; j < count; j += 16) {
        const intptr_t live_count = softmax_avx2_least(count - j, 16);
        const softmax_avx2_vec x_i_5 = softmax_avx2_load_some(x_b + j, live_count);
        const softmax_avx2_vec x_i_5_2 = softmax_avx2_sub(x_i_5, shift__v);
        const softmax_avx2_vec x_i_5_2_2 = softmax_avx2_max(low__v_2, x_i_5_2);
        const softmax_avx2_vec e_3 = softmax_avx2_exp_normal(x_i_5_2_2, scale_v_2, scale_lo_v_2, shift_n__v_2);
        softmax_avx2_store_some(out_b + j, e_3, live_count);
        const softmax_avx2_vec e_3_2 = softmax_avx2_select_some(live_count, e_3, softmax_avx2_set(0.0));
        half_of_sum_parts_2[j / 16 % 8] = softmax_avx2_add(half_of_sum_parts_2[j / 16 % 8], e_3_2);
    }
    softmax_avx2_acc_gain(sum_lanes_2, half_of_sum_parts_2);
    softmax_avx2_close(out, out_step, i, count, out_b);
}

/* What a row needs for its last sweep, which runs beneath the next row. */
typedef struct { char *out; softmax_avx2_vec r_lo, r_v; } softmax_avx2_speculative_held;

/* Sweep: write divide(e, expsum(1, multiply(x, divide(1, temperature)))), from the exponentials kept there. One block, of which nothing is missing. */
static inline __attribute__((always_inline)) /* calls would spill every constant */ RF_AVX2 void softmax_avx2_speculative_last_whole(const softmax_avx2_speculative_held *held, intptr_t i)
{
    char *out = held->out;
    const softmax_avx2_vec r_lo = held->r_lo, r_v = held->r_v;
    float *out_b = (float *)(void *)(out + i * (intptr_t)sizeof(float));
    for (intptr_t j = 0; j < 256; j += 16) {
        const softmax_avx2_vec out_i = softmax_avx2_load(out_b + j);
        const softmax_avx2_vec small_2 = softmax_avx2_mul(out_i, r_lo);
        const softmax_avx2_vec t = softmax_avx2_fma(out_i, r_v, small_2);
        softmax_avx2_store(out_b + j, t);
    }
}

/* All other blocks, which may lack something. */
static RF_APART RF_AVX2 void softmax_avx2_speculative_rest(const softmax_avx2_speculative_held *held, intptr_t held_at, intptr_t held_end, intptr_t out_step)
{
    float out_buffer[256];
    char *out = held->out;
    const softmax_avx2_vec r_lo = held->r_lo, r_v = held->r_v;
    for (intptr_t i = held_at; i < held_end; i += 256) {
        const intptr_t count = softmax_avx2_least(held_end - i, 256);
        float *out_b = softmax_avx2_open(out, out_step, i, out_buffer);
        (void)softmax_avx2_read(out, out_step, i, count, out_buffer);
        for (intptr_t j = 0; j < count; j += 16) {
            const intptr_t live_count = softmax_avx2_least(count - j, 16);
            const softmax_avx2_vec out_i = softmax_avx2_load_some(out_b + j, live_count);
            const softmax_avx2_vec small_2 = softmax_avx2_mul(out_i, r_lo);
            const softmax_avx2_vec t = softmax_avx2_fma(out_i, r_v, small_2);
            softmax_avx2_store_some(out_b + j, t, live_count);
        }
        softmax_avx2_close(out, out_step, i, count, out_b);
    }
}

/* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
__attribute__((cold, noinline)) /* compiled for size */ static RF_AVX2 void softmax_avx2_speculative_rare(intptr_t n, const char *x, char *out, intptr_t x_step, intptr_t out_step, double *shift_, double *shift_n_, double *low_, double scale, double per_octave, double *sum_2, double scale_rest_2)
{
    /* Sweep: the maximum of a row that reaches beyond 2^16. */
    const double max = softmax_avx2_speculative_max(n, x, x_step);
    const double shift = softmax_avx2_num_far_shift(max, max * scale);
    const double shift_exponent_3 = max == __builtin_inff() ? __builtin_nanf("") : softmax_avx2_num_exponent_of(max - shift, scale);
    *shift_ = shift;
    *shift_n_ = shift_exponent_3;
    *low_ = softmax_avx2_num_low_end(shift_exponent_3, per_octave, 176.0);

    /* Sweep: its sums, shifted by that maximum. */
    softmax_avx2_wide sum_lanes_2 = softmax_avx2_wide_zero(), sum_lanes_2_so_far = softmax_avx2_wide_zero();
    const double shift_exponent_4 = *shift_n_ - 72.0;
    for (intptr_t i = 0; i < n; i += 256) {
        softmax_avx2_speculative_some(n, i, x, x_step, out, out_step, *shift_, *low_, scale, scale_rest_2, shift_exponent_4, &sum_lanes_2);
        if (!((i + 256) & 8191)) softmax_avx2_acc_move(&sum_lanes_2_so_far, &sum_lanes_2); /* a chunk ends */
    }
    sum_lanes_2 = softmax_avx2_wide_add(sum_lanes_2_so_far, sum_lanes_2);
    *sum_2 = softmax_avx2_wide_sum(sum_lanes_2);
}

/* Every row of a batch: the inner loop of a NumPy generalized ufunc, for rows that share their settings. */
void RF_AVX2 rowfold_softmax_f32_speculative__avx2_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const unsigned env = _mm_getcsr(); /* the caller's flags */
    const intptr_t rows = dims[0], n = dims[1], x_next = steps[0], x_step = steps[3], out_next = steps[2], out_step = steps[4];
    const char *x_rows = args[0], *temperature = args[1];
    char *out_rows = args[2];
    (void)data;

    /* The same for all rows. */
    const double temperature_2 = softmax_avx2_num_scalar(temperature);
    const double reciprocal = 1.0 / temperature_2;
    const double factor_lo = softmax_avx2_num_div_rest(1.0, temperature_2, reciprocal);
    double scale, scale_lo;
    softmax_avx2_num_scale_log2e(reciprocal, factor_lo, &scale, &scale_lo);
    const double per_octave = 1.0 / scale;
    const double scale_rest = softmax_avx2_num_lost(scale, scale_lo);
    const softmax_avx2_vec scale_v = softmax_avx2_set(scale), scale_lo_v = softmax_avx2_set(scale_rest);

    /* What one row tells the next. */
    double shift_ = 0.0, shift_n_ = 0.0, low_ = 0.0, doubts = 4.0;
    const int from_memory = n >= 1024 && n <= 65536 && rows > 2097152 / n; /* not from a cache */
    const int contiguous = x_step == (intptr_t)sizeof(float) && out_step == (intptr_t)sizeof(float);
    softmax_avx2_speculative_held held;
    intptr_t held_at = n; /* so far no row waits for its last sweep */

    for (intptr_t row = 0; row < rows; ++row) {
        const char *x = x_rows + row * x_next;
        char *out = out_rows + row * out_next;
        const int wary = doubts >= 8.0;

        /* The rows before do not tell where this one's maximum lies. */
        if (!(doubts < 4.0)) {
            /* Sweep: the row's first elements, to guess a power of two near its maximum. */
            const double first_max = softmax_avx2_speculative_max((x == out || wary ? n : softmax_avx2_least(n, 16)), x, x_step);
            const double guess = softmax_avx2_num_exponent_of(first_max, scale);
            shift_ = 0.0;
            shift_n_ = guess;
            low_ = softmax_avx2_num_low_end(guess, per_octave, 176.0);
        }
        const int near_zero = __builtin_fabs(shift_n_) < 94548.0;

        /* Sweep: the exponential sum of multiply(x, divide(1, temperature)) under a guessed power of two, keep the exponentials in the output. */
        softmax_avx2_wide sum_lanes = softmax_avx2_wide_zero(), sum_lanes_so_far = softmax_avx2_wide_zero();
        const double shift_exponent = shift_n_ - 72.0;
        const softmax_avx2_vec shift_n__v = softmax_avx2_set(shift_exponent), low__v = softmax_avx2_set(low_);
        for (intptr_t i = 0; i < (near_zero ? n : 0); i += 256) {
            if (contiguous && n - i >= 256) {
                const float *x_b = (const float *)(const void *)(x + i * (intptr_t)sizeof(float));
                float *out_b = (float *)(void *)(out + i * (intptr_t)sizeof(float));
                if (from_memory) softmax_avx2_ahead(x_b);
                if (from_memory) softmax_avx2_ahead(out_b);
                softmax_avx2_vec half_of_sum_parts[8];
                for (intptr_t half_at = 0; half_at < 256; half_at += 128) {
                    for (intptr_t k = 0, j = half_at; k < 8; ++k, j += 16) {
                        const softmax_avx2_vec x_i_3 = softmax_avx2_load(x_b + j);
                        const softmax_avx2_vec x_i_3_2 = softmax_avx2_max(low__v, x_i_3);
                        const softmax_avx2_vec e = softmax_avx2_exp_normal(x_i_3_2, scale_v, scale_lo_v, shift_n__v);
                        softmax_avx2_store(out_b + j, e);
                        half_of_sum_parts[k] = half_at ? softmax_avx2_add(half_of_sum_parts[k], e) : e;
                    }
                }
                if (n - held_at >= 256) {
                    softmax_avx2_speculative_last_whole(&held, held_at);
                    held_at += 256;
                }
                softmax_avx2_acc_gain(&sum_lanes, half_of_sum_parts);
            } else softmax_avx2_speculative_some(n, i, x, x_step, out, out_step, 0.0, low_, scale, scale_rest, shift_exponent, &sum_lanes);
            if (!((i + 256) & 8191)) softmax_avx2_acc_move(&sum_lanes_so_far, &sum_lanes); /* a chunk ends */
        }
        if (held_at < n) softmax_avx2_speculative_rest(&held, held_at, n, out_step);
        sum_lanes = softmax_avx2_wide_add(sum_lanes_so_far, sum_lanes);
        const double sum = softmax_avx2_wide_sum(sum_lanes);
        double sum_2 = sum;
        const int safe_2 = near_zero && sum >= 0x1p+56 && sum <= 0x1p+101;

        /* A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself. */
        if (!safe_2) softmax_avx2_speculative_rare(n, x, out, x_step, out_step, &shift_, &shift_n_, &low_, scale, per_octave, &sum_2, scale_rest);
        const double r = 1.0 / sum_2;

        const double faded_2 = softmax_avx2_num_max(doubts - 0x1.47ae147ae147bp-6, 0.0);
        const int usable_2 = x != out && shift_ == 0.0 && __builtin_fabs(shift_n_) < 94548.0;
        const double faded_3 = safe_2 ? faded_2 : faded_2 + 1.0;
        doubts = usable_2 ? faded_3 : softmax_avx2_num_max(faded_3, 4.0);
        held.out = out;
        held.r_lo = softmax_avx2_set_lo(r);
        held.r_v = softmax_avx2_set(r);
        held_at = n >= 256 ? softmax_avx2_unaligned(out) : 0; /* whole lines */
        if (held_at > 0) softmax_avx2_speculative_rest(&held, 0, held_at, out_step);
    }
    if (held_at < n) softmax_avx2_speculative_rest(&held, held_at, n, out_step);
    _mm_setcsr(env);
}

/* Whether CPUID shows all these bits, and whether the system saves these registers (XGETBV). */
static int softmax_cpuid(unsigned leaf, int name, unsigned bits)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(leaf, 0, &a, &b, &c, &d) && ((name == 'b' ? b : c) & bits) == bits;
}
static int softmax_saves(unsigned bits)
{
    unsigned a, d;
    if (!softmax_cpuid(1, 'c', 0x08000000u)) return 0; /* OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & bits) == bits;
}
static unsigned softmax_isas(void) { return softmax_saves(0x06u) && softmax_cpuid(1, 'c', 0x20001000u) && softmax_cpuid(7, 'b', 0x00000020u) ? ROWFOLD_SOFTMAX_AVX2 : 0; }
unsigned rowfold_softmax_isas(void) { return softmax_isas(); }
typedef void softmax_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *status);
static void softmax_none(char **args, const intptr_t *dims, const intptr_t *steps, void *status)
{
    (void)args, (void)dims, (void)steps;
    *(int *)status = ROWFOLD_CPU;
}
/* The choice is made when the program is loaded, where the system can (CPUID takes microseconds under a hypervisor). */
#if defined(__has_feature) && !defined(ROWFOLD_NO_IFUNC)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define ROWFOLD_NO_IFUNC
#endif
#endif
#if defined(__x86_64__) && defined(__ELF__) && defined(__GLIBC__) && !defined(ROWFOLD_NO_IFUNC) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ROWFOLD_SOFTMAX_CHOSEN(run, choice) static softmax_loop run __attribute__((ifunc(#choice)));
#else
#define ROWFOLD_SOFTMAX_CHOSEN(run, choice) static void run(char **args, const intptr_t *dims, const intptr_t *steps, void *status) { choice()(args, dims, steps, status); }
#endif

/* floats: the loop for this CPU. */
softmax_loop *rowfold_softmax_f32_choice(void) __asm__("rowfold_softmax_f32_choice") __attribute__((visibility("hidden"))); /* the name by which ifunc knows it, in C++ too */
softmax_loop *rowfold_softmax_f32_choice(void) { return softmax_isas() ? rowfold_softmax_f32_speculative__avx2_u1_a1 : softmax_none; }
ROWFOLD_SOFTMAX_CHOSEN(softmax_f32_run, rowfold_softmax_f32_choice)

RF_APART int rowfold_softmax_f32_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t x_row, ptrdiff_t x_step, double temperature, float *out, ptrdiff_t out_row, ptrdiff_t out_step)
{
    const intptr_t steps[] = { x_row * (intptr_t)sizeof(float), 0, out_row * (intptr_t)sizeof(float), x_step * (intptr_t)sizeof(float), out_step * (intptr_t)sizeof(float) };
    int status = ROWFOLD_OK;
    if (rows < 0 || n < 0) return ROWFOLD_SIZE;
    if (rows == 0) return ROWFOLD_OK;
    if (n && (!x || !out)) return ROWFOLD_NULL;
    if (!(temperature > 0.0)) return ROWFOLD_SETTING;
    ptrdiff_t parts = 1;
#if defined(ROWFOLD_OPENMP)
    parts = rows < 256 ? rows : 256;
#pragma omp parallel for schedule(static) reduction(| : status)
#endif
    for (ptrdiff_t part = 0; part < parts; ++part) {
        const intptr_t rest = rows % parts, first = rows / parts * part + (part < rest ? part : rest);
        const intptr_t dims[] = { rows / parts + (part < rest), n };
        char *args[] = { (char *)((uintptr_t)x + (uintptr_t)(first * steps[0])), (char *)(uintptr_t)&temperature, (char *)((uintptr_t)out + (uintptr_t)(first * steps[2])) };
        softmax_f32_run(args, dims, steps, &status);
    }
    return status;
}

int rowfold_softmax_f32(ptrdiff_t n, const float *x, double temperature, float *out) { return rowfold_softmax_f32_rows(1, n, x, 0, 1, temperature, out, 0, 1); }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
