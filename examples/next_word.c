/*
 * The probabilities of the next word, in C, with a kernel that Python wrote once:
 *
 *     rowfold emit softmax vendor --isas avx2,portable
 *     cc -O2 -Ivendor examples/next_word.c vendor/rowfold_softmax.c -o next_word
 *     ./next_word 0.5
 *
 * Its argument is the temperature (1 if there is none). No library of rowfold, Python or mathematics is linked.
 */
#include "rowfold_softmax.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONTEXTS = 2, WORDS = 5 };

static const char *const context[CONTEXTS] = { "the cat sat on the", "once upon a" };
static const char *const word[WORDS] = { "mat", "time", "table", "roof", "midnight" };
static const float logits[CONTEXTS][WORDS] = { { 6.1f, 0.3f, 4.4f, 4.9f, -2.0f }, { -1.5f, 9.2f, 0.1f, -0.7f, 7.0f } };

static const char *reason(int status)
{
    switch (status) {
    case ROWFOLD_SETTING: return "a temperature is a number above 0";
    case ROWFOLD_CPU: return "this CPU runs nothing of what was written; write it with --isas portable too";
    default: return "a pointer or a size is wrong";
    }
}

int main(int argc, char **argv)
{
    const double temperature = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    float probability[CONTEXTS][WORDS];
    const int status = rowfold_softmax_f32_rows(CONTEXTS, WORDS, logits[0], WORDS, 1, temperature, probability[0], WORDS, 1);
    if (status != ROWFOLD_OK) {
        fprintf(stderr, "next_word: %s (status %d)\n", reason(status), status);
        return 1;
    }
    for (int c = 0; c < CONTEXTS; ++c) {
        printf("%s ...\n", context[c]);
        for (int w = 0; w < WORDS; ++w) printf("  %-9s %5.1f %%\n", word[w], 100.0 * (double)probability[c][w]);
    }
    return 0;
}
