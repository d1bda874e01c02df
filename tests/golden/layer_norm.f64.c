/*
 * rowfold_layer_norm_f64_one_pass__portable_u1_a1
 *
 * layer_norm: one_pass, 2 sweeps (fewest by fusion: 2)
 *   sweep 1: mean(x), m2(x)
 *   sweep 2: write y
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
static inline rf_vec rf_fma(rf_vec a, rf_vec b, rf_vec c) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = fma(a.v[l], b.v[l], c.v[l]); return r; }
static inline rf_vec rf_neg(rf_vec a) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = -a.v[l]; return r; }
static inline rf_vec rf_select(rf_mask m, rf_vec a, rf_vec b) { rf_vec r; for (int l = 0; l < 8; ++l) r.v[l] = m.v[l] ? a.v[l] : b.v[l]; return r; }
static inline rf_mask rf_first_lanes(intptr_t count) { rf_mask r; for (int l = 0; l < 8; ++l) r.v[l] = l < count; return r; }
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
static inline rf_acc rf_acc_fma(rf_acc s, rf_vec x, rf_vec y)
{
    const rf_vec p = rf_mul(x, y);
    rf_acc r = rf_acc_add(s, p);
    r.lo = rf_add(r.lo, rf_fma(x, y, rf_neg(p)));
    return r;
}
typedef rf_vec rf_wide;
static inline rf_wide rf_distance(rf_vec x, rf_vec pivot) { return rf_sub(x, pivot); }
static inline rf_acc rf_acc_add_wide(rf_acc s, rf_wide x) { return rf_acc_add(s, x); }
static inline rf_acc rf_acc_fma_wide(rf_acc s, rf_wide x, rf_wide y) { return rf_acc_fma(s, x, y); }
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
static inline double num_scalar(const char *p) { double a; memcpy(&a, p, sizeof a); return a; }
static inline double num_element(const char *p, intptr_t step, intptr_t n, double at) { double a = 0; if (at >= 0 && at < (double)n) memcpy(&a, p + (intptr_t)at * step, sizeof a); return (double)a; }
static inline int num_bad(double a) { return !(a - a == 0); }
static inline double num_fma(double a, double b, double c) { return fma(a, b, c); }
static inline double num_finite_or_0(double a) { return num_bad(a) ? 0 : a; }
static inline double num_single(double a) { return num_finite_or_0((double)(double)a); }
static inline double num_second_moment(double squares, double squares_lo, double sum, double sum_lo, double off, double off_lo)
{
    const double explained = sum * off, lost = num_finite_or_0(num_fma(sum, off, -explained));
    return (squares - explained) + (squares_lo - (lost + (sum * off_lo + sum_lo * off)));
}
static inline double num_at_least_0(double a) { return a < 0 ? 0 : a; }
static inline double num_div_rest2(double hi, double lo, double b, double q) { return num_finite_or_0((num_fma(-q, b, hi) + lo) / b); }
static inline double num_sqrt(double a) { return sqrt(a); }

/* What a row needs for its last sweep, which runs beneath the next row. */
typedef struct {
    const char *x;
    char *out;
    rf_vec mean_v;
    rf_vec mean_lo_v;
    rf_vec sqrt_v_v;
} layer_norm_held;

/* Sweep: write y. One block of it. */
static void layer_norm_last(const layer_norm_held *held, intptr_t n, intptr_t i, intptr_t x_step, intptr_t out_step)
{
    double x_buffer[128];
    double out_buffer[128];
    const char *x = held->x;
    char *out = held->out;
    const rf_vec mean_v = held->mean_v, mean_lo_v = held->mean_lo_v, sqrt_v_v = held->sqrt_v_v;
    const intptr_t count = rf_least(n - i, 128);
    const double *x_b = rf_read(x, x_step, i, count, x_buffer);
    double *out_b = rf_open(out, out_step, i, out_buffer);
    intptr_t j = 0;
    for (; j + 8 <= count; j += 8) {
        const rf_vec x_i_4 = rf_load(x_b + j);
        const rf_vec y = rf_sub(x_i_4, mean_v);
        const rf_vec y_2 = rf_sub(y, mean_lo_v);
        const rf_vec y_3 = rf_div(y_2, sqrt_v_v);
        rf_store(out_b + j, y_3);
    }
    if (j < count) {
        const rf_mask live = rf_first_lanes(count - j);
        const rf_vec x_i_4 = rf_load_tail(x_b + j, live);
        const rf_vec y = rf_sub(x_i_4, mean_v);
        const rf_vec y_2 = rf_sub(y, mean_lo_v);
        const rf_vec y_3 = rf_div(y_2, sqrt_v_v);
        rf_store_tail(out_b + j, y_3, live);
    }
    rf_close(out, out_step, i, count, out_b);
}

/* The same for a block of which nothing is missing. */
static inline void layer_norm_last_whole(const layer_norm_held *held, intptr_t i, int far)
{
    const char *x = held->x;
    char *out = held->out;
    const rf_vec mean_v = held->mean_v, mean_lo_v = held->mean_lo_v, sqrt_v_v = held->sqrt_v_v;
    const double *x_b = (const double *)(const void *)(x + i * (intptr_t)sizeof(double));
    double *out_b = (double *)(void *)(out + i * (intptr_t)sizeof(double));
    for (intptr_t j = 0; j < 128; j += 8) {
        const rf_vec x_i_4 = rf_load(x_b + j);
        const rf_vec y = rf_sub(x_i_4, mean_v);
        const rf_vec y_2 = rf_sub(y, mean_lo_v);
        const rf_vec y_3 = rf_div(y_2, sqrt_v_v);
        rf_store_far(out_b + j, y_3, far);
    }
}

/* Rows of a batch. */
static void layer_norm_rows(intptr_t rows, intptr_t n, const char *x_rows, intptr_t x_next, intptr_t x_step, const char *eps, char *out_rows, intptr_t out_next, intptr_t out_step)
{
    const double row_length = (double)n;
    double x_buffer[128];
    
    /* The same for all rows. */
    const double eps_2 = num_scalar(eps);
    const int from_memory = n >= 512 && n <= 32768 && rows > 2097152 / n; /* not from a cache */
    const int contiguous = x_step == (intptr_t)sizeof(double) && out_step == (intptr_t)sizeof(double);
    layer_norm_held held;
    intptr_t held_at = n; /* so far no row waits for its last sweep */
    int held_whole = 0;
    const int far = n > 2097152; /* a row that no cache holds */
    int held_far = 0;
    
    for (intptr_t row = 0; row < rows; ++row) {
        const char *x = x_rows + row * x_next;
        char *out = out_rows + row * out_next;
    
        /* Sweep: mean(x), m2(x). */
        const double first_x = num_element(x, x_step, n, 0.0);
        const double pivot = num_single(first_x);
        const rf_vec pivot_v = rf_set(pivot);
        rf_acc moment_1_lanes = rf_acc_zero();
        rf_acc moment_2_lanes = rf_acc_zero();
        rf_acc sum_lanes = rf_acc_zero();
        RF_ALIGNED double sum_parts[128];
        for (intptr_t i = 0; i < n; i += 128) {
            const intptr_t count = rf_least(n - i, 128);
            const double *x_b = rf_read(x, x_step, i, count, x_buffer);
            if (from_memory) {
                rf_ahead(x_b);
            }
            const intptr_t vectors = (count + 7) / 8;
            intptr_t j = 0;
            for (; j + 8 <= count; j += 8) {
                const rf_vec x_i = rf_load(x_b + j);
                const rf_wide distance = rf_distance(x_i, pivot_v);
                moment_1_lanes = rf_acc_add_wide(moment_1_lanes, distance);
                moment_2_lanes = rf_acc_fma_wide(moment_2_lanes, distance, distance);
                rf_store(sum_parts + j, x_i);
            }
            if (j < count) {
                const rf_mask live = rf_first_lanes(count - j);
                const rf_vec x_i = rf_load_tail(x_b + j, live);
                const rf_vec x_i_2 = rf_select(live, x_i, pivot_v);
                const rf_wide distance = rf_distance(x_i_2, pivot_v);
                moment_1_lanes = rf_acc_add_wide(moment_1_lanes, distance);
                moment_2_lanes = rf_acc_fma_wide(moment_2_lanes, distance, distance);
                const rf_vec x_i_3 = rf_select(live, x_i, rf_set(0.0));
                rf_store(sum_parts + j, x_i_3);
            }
            sum_lanes = rf_acc_add_tree(sum_lanes, sum_parts, vectors);
            if (held_at < n) { layer_norm_last(&held, n, held_at, x_step, out_step); held_at += 128; }
        }
        for (; held_whole && n - held_at >= 128; held_at += 128) layer_norm_last_whole(&held, held_at, held_far);
        for (; held_at < n; held_at += 128) layer_norm_last(&held, n, held_at, x_step, out_step);
        double moment_1, moment_1_lo; rf_fold2(moment_1_lanes, &moment_1, &moment_1_lo);
        double moment_2, moment_2_lo; rf_fold2(moment_2_lanes, &moment_2, &moment_2_lo);
        const double off = moment_1 / row_length;
        const double off_lo = num_div_rest2(moment_1, moment_1_lo, row_length, off);
        const double m2 = num_second_moment(moment_2, moment_2_lo, moment_1, moment_1_lo, off, off_lo);
        const double m2_2 = num_at_least_0(m2);
        double total, total_lo; rf_fold2(sum_lanes, &total, &total_lo);
        const double mean = total / row_length;
        const double mean_lo = num_div_rest2(total, total_lo, row_length, mean);
        const double divide = m2_2 / row_length;
        const double add = divide + eps_2;
        const double sqrt_v = num_sqrt(add);
        const rf_vec mean_v = rf_set(mean);
        const rf_vec mean_lo_v = rf_set(mean_lo);
        const rf_vec sqrt_v_v = rf_set(sqrt_v);
    
        held.x = x;
        held.out = out;
        held.mean_v = mean_v;
        held.mean_lo_v = mean_lo_v;
        held.sqrt_v_v = sqrt_v_v;
        held_whole = contiguous && !num_bad(mean) && !num_bad(mean_lo) && !num_bad(sqrt_v); /* rows of NaN: by one loop, the compiler decides which is kept */
        held_at = held_whole && n >= 128 ? rf_unaligned(out) : 0; /* whole lines */
        if (held_at > 0) layer_norm_last(&held, held_at, 0, x_step, out_step);
        held_far = far && held_whole && ((uintptr_t)out + (uintptr_t)held_at * sizeof(double)) % 64 == 0;
    }
    for (; held_whole && n - held_at >= 128; held_at += 128) layer_norm_last_whole(&held, held_at, held_far);
    for (; held_at < n; held_at += 128) layer_norm_last(&held, n, held_at, x_step, out_step);
    if (far) rf_stream_end();
}

__attribute__((visibility("default"))) void rowfold_layer_norm_f64_one_pass__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

/* Every row of a batch: the inner loop of a NumPy generalized ufunc. */
void rowfold_layer_norm_f64_one_pass__portable_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const rf_env env = rf_enter();
    const intptr_t together = steps[1] == 0 ? dims[0] : 1; /* rows that share their settings */
    (void)data;
    for (intptr_t row = 0; row < dims[0]; row += together)
        layer_norm_rows(together, dims[1], args[0] + row * steps[0], steps[0], steps[3], args[1] + row * steps[1], args[2] + row * steps[2], steps[2], steps[4]);
    rf_leave(env);
}
