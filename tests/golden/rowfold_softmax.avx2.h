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
 */
#ifndef ROWFOLD_SOFTMAX_H
#define ROWFOLD_SOFTMAX_H
#include <stddef.h>
#include <stdint.h>

#ifndef ROWFOLD_OK
/* What the functions return. Unless it is ROWFOLD_OK, nothing was written. */
#define ROWFOLD_OK 0
#define ROWFOLD_NULL 1    /* a pointer is null that a row would be read from or written to */
#define ROWFOLD_SIZE 2    /* a negative number of rows or elements, or rows too short or too long for the function */
#define ROWFOLD_INDEX 3   /* an index that is not in [0, n) */
#define ROWFOLD_SETTING 4 /* a setting outside of its interval */
#define ROWFOLD_CPU 5     /* this CPU runs none of the instruction sets that were written */
#define ROWFOLD_STATE 6   /* a state of another round than the function, or the other state, is for */
#endif

/* The instruction sets that were written. */
#define ROWFOLD_SOFTMAX_AVX2 1u

#ifdef __cplusplus
extern "C" {
#endif

/* Those of them that were compiled and that this CPU and its system run; the functions take the first. */
unsigned rowfold_softmax_isas(void);

/*
 * softmax of rows of floats: n elements each, n >= 0.
 *
 *   x: a number for each of the n elements
 *   temperature: a number for all rows, temperature > 0.0
 *   out: a number for each of the n elements
 *
 * Error: at most 4 ULP, for rows of any length and any finite values.
 * Special values:
 *   (1, nan, 2) -> (nan, nan, nan)   [nan]
 *   (1, inf, 2) -> (nan, nan, nan)   [inf]
 *   (1, -inf, 1) -> (0.5, 0, 0.5)   [-inf]
 *   (-inf, -inf) -> (nan, nan)   [only -inf]
 *   (3) -> (1)   [one element]
 *
 * A result may be written over rows of the same type at the same places. No other memory is read or written, however the
 * rows are aligned. Functions may run at once in many threads.
 */
int rowfold_softmax_f32(ptrdiff_t n, const float *x, double temperature, float *out);

/*
 * The same for many rows. Strides count elements, may be negative, and are 0 where all rows share one:
 * x_row from a row to the next, x_step from an element to the next, for each x. The bits of a row are those that it has
 * alone. With ROWFOLD_OPENMP defined (and -fopenmp), the rows are shared among threads.
 */
int rowfold_softmax_f32_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t x_row, ptrdiff_t x_step, double temperature, float *out, ptrdiff_t out_row, ptrdiff_t out_step);

#if defined(__x86_64__) && defined(__GNUC__)
/* The loops for avx2, as NumPy calls them (arrays, {rows, n}, strides in bytes: rows first), unchecked. */
void rowfold_softmax_f32_speculative__avx2_u1_a1(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
#endif

#ifdef __cplusplus
}
#endif

#endif
