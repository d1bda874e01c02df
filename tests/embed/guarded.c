/* Every loop of softmax that this CPU runs, on rows between pages that nobody may touch: prints a hash of all bits. */
#define _DEFAULT_SOURCE
#include "rowfold_softmax.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void loop(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

static char *room(size_t page)
{
    char *all = (char *)mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(all, page, PROT_NONE);
    mprotect(all + 2 * page, page, PROT_NONE);
    return all + page;
}

static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static void check(const char *isa, loop *rows, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static char *in, *out;
    if (!in) in = room(page), out = room(page);
    uint64_t hash = 1469598103934665603u, state = 7;
    const double temperature = 1.0;
    for (size_t n = 1; n < 300; n += 1 + n / 40)
        for (int end = 0; end < 2; ++end) {
            char *x = end ? in + page - n * size : in, *y = end ? out + page - n * size : out;
            const double spread = n % 3 ? 10 : 200;
            for (size_t i = 0; i < n; ++i) {
                const double value = ((double)(next(&state) >> 40) * 0x1p-24 - 0.5) * spread;
                const float narrow = (float)value;
                memcpy(x + i * size, size == 4 ? (const void *)&narrow : (const void *)&value, size);
            }
            char *args[] = { x, (char *)(uintptr_t)&temperature, y };
            const intptr_t dims[] = { 1, (intptr_t)n };
            const intptr_t steps[] = { 0, 0, 0, (intptr_t)size, (intptr_t)size };
            rows(args, dims, steps, 0);
            for (size_t b = 0; b < n * size; ++b) hash = (hash ^ (unsigned char)y[b]) * 1099511628211u;
        }
    printf("%s %d %016llx\n", isa, (int)size, (unsigned long long)hash);
}

#define NAME2(dtype, isa) rowfold_softmax_##dtype##_speculative__##isa##_u1_a1
#define NAME(dtype, isa) NAME2(dtype, isa)
#define BIT2(ISA) ROWFOLD_SOFTMAX_##ISA
#define BIT(ISA) BIT2(ISA)
int main(void)
{
    if (!(rowfold_softmax_isas() & BIT(ISA_MACRO))) return puts("not here"), 0;
    check(ISA_NAME, NAME(f32, ISA), 4);
    check(ISA_NAME, NAME(f64, ISA), 8);
    return 0;
}
