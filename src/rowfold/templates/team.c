/*
 * Rows of a batch, handed out to threads: compiled once for all kernels by runtime/threads.py.
 *
 * Python makes the threads; each calls rowfold_team_work and stays in it, without the GIL. rowfold_team_loop has the ABI of
 * a kernel's loop and stands in its place: it publishes a job, takes part in it, and returns when all rows are done. A
 * thread that waits spins for 50 us, then sleeps. Everything that is written lies in memory that Python owns: this file
 * has no writable data, so that it is safe in any process. Which rows a thread takes is decided by chance and does not
 * matter to a row.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*Loop)(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
enum { MOST_OPERANDS = 64, MOST_DIMS = 16, SPIN_NS = 50000, PATIENCE = 2000, PACKED = 128 << 10, AHEAD = 4 };

typedef void (*Part)(void *job, intptr_t first, intptr_t last);

typedef struct {
    int64_t workers, sleeping, alarm, missed; /* workers: of this process; alarm: how often sleepers were woken */
    int64_t open, jobs;                       /* the job that may be joined, 0: none; how many there were */
    int64_t seats, running, busy, next;       /* threads that may join, threads that do, the team is taken, a place */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    Part part; /* does the places from first to last of a job that has so many; a share is a multiple of `least` */
    void *job;
    int64_t places, least, threads;
} Team;

typedef struct {
    int64_t loop, team, threads, operands, sizes; /* sizes: words of dims */
    int64_t awake, asleep;                        /* elements from which the team pays */
    int64_t grain;                                /* rows that belong together */
} Kind;

typedef struct {
    const Kind *kind;
    char **args;
    const intptr_t *dims, *steps;
} Rows;

typedef struct { /* begins as what cut.c.j2 calls a caller */
    int64_t share, row, room, groups, waiting;
    int64_t team, threads, elements, awake, asleep; /* elements: of a place */
} Cut;

typedef struct { /* an operand: how its rows lie, if they are on two axes; kind 0: as it is, 1: read, 2: written */
    int64_t base, row, outer, inner, kind;
} Fold;

typedef struct { /* rows of `outer` times `inner` elements of `size` bytes, that are packed one by one */
    int64_t loop, team, threads, operands, cores, outer, inner, size, awake, asleep, first, failed;
    Fold folds[MOST_OPERANDS];
} Folds;

#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define STORE(p, value) __atomic_store_n(p, value, __ATOMIC_SEQ_CST)
#define ADD(p, value) __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST)
#define EXPORT __attribute__((visibility("default")))

EXPORT void rowfold_team_start(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_work(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_fold(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_share(const Cut *cut, Part part, void *job, intptr_t places);

static void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Memory full of zeros, or of a team that a fork left behind without its threads, becomes a team without workers. */
void rowfold_team_start(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    Team *t = data;
    (void)args, (void)dims, (void)steps;
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->mutex, 0);
    pthread_cond_init(&t->wake, 0);
}

/* Places until none are left: a share of what is left each time, so that all threads end together. */
static void share(Team *t)
{
    int64_t place = LOAD(&t->next);
    while (place < t->places) {
        const int64_t left = t->places - place, wanted = left / (2 * t->threads);
        int64_t count = (wanted + t->least - 1) / t->least * t->least;
        count = count > t->least ? count : t->least;
        count = count < left ? count : left;
        if (!__atomic_compare_exchange_n(&t->next, &place, place + count, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
        t->part(t->job, (intptr_t)place, (intptr_t)(place + count));
        place = LOAD(&t->next);
    }
}

/* The next job, awaited. */
static int64_t awaited(Team *t, int64_t seen)
{
    for (;;) {
        const int64_t until = now() + SPIN_NS;
        do {
            for (int k = 0; k < 64; ++k) {
                const int64_t open = LOAD(&t->open);
                if (open && open != seen) return open;
                rest();
            }
        } while (now() < until);
        pthread_mutex_lock(&t->mutex);
        const int64_t alarm = LOAD(&t->alarm);
        ADD(&t->sleeping, 1);
        for (;;) {
            const int64_t open = LOAD(&t->open);
            if ((open && open != seen) || LOAD(&t->alarm) != alarm) break;
            pthread_cond_wait(&t->wake, &t->mutex);
        }
        ADD(&t->sleeping, -1);
        pthread_mutex_unlock(&t->mutex);
    }
}

/* What a worker does for as long as the process lives. */
void rowfold_team_work(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    Team *t = data;
    int64_t seen = 0;
    (void)args, (void)dims, (void)steps;
    ADD(&t->workers, 1);
    for (;;) {
        seen = awaited(t, seen);
        ADD(&t->running, 1); /* before the second look: who closes the job waits for those that counted themselves in */
        if (LOAD(&t->open) == seen && ADD(&t->seats, -1) > 0) share(t);
        ADD(&t->running, -1);
    }
}

static void wake(Team *t)
{
    if (!LOAD(&t->sleeping)) return;
    pthread_mutex_lock(&t->mutex);
    ADD(&t->alarm, 1);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->mutex);
}

/* Whether the team is worth asking. Work that is too small to wake it for adds up: who calls often finds it awake. */
static int pays(Team *t, int64_t elements, int64_t awake, int64_t asleep)
{
    if (elements < awake || !LOAD(&t->workers)) return 0;
    if (elements >= asleep || !LOAD(&t->sleeping)) return 1;
    if (ADD(&t->missed, elements) > 2 * asleep) {
        STORE(&t->missed, 0);
        wake(t);
    }
    return 0;
}

/* The job, done by all; false if the team is taken. */
static int together(Team *t, Part part, void *job, int64_t places, int64_t least, int64_t threads)
{
    int64_t none = 0;
    if (!__atomic_compare_exchange_n(&t->busy, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 0;
    t->part = part;
    t->job = job;
    t->places = places;
    t->least = least;
    t->threads = threads;
    STORE(&t->next, 0);
    STORE(&t->seats, threads - 1);
    STORE(&t->open, ADD(&t->jobs, 1) + 1);
    wake(t);
    share(t);
    STORE(&t->open, 0);
    for (int64_t k = 0; LOAD(&t->running); ++k) {
        if (k < PATIENCE) rest();
        else sched_yield();
    }
    STORE(&t->busy, 0);
    return 1;
}

/* Rows of a batch. */
static void rows(void *job, intptr_t first, intptr_t last)
{
    const Rows *r = job;
    char *own[MOST_OPERANDS];
    intptr_t dims[MOST_DIMS];
    memcpy(dims, r->dims, (size_t)r->kind->sizes * sizeof *dims);
    dims[0] = last - first;
    for (int64_t k = 0; k < r->kind->operands; ++k) own[k] = r->args[k] + first * r->steps[k];
    ((Loop)(uintptr_t)r->kind->loop)(own, dims, r->steps, 0);
}

void rowfold_team_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const Kind *kind = data;
    Team *t = (Team *)(uintptr_t)kind->team;
    Rows job = { kind, args, dims, steps };
    const int64_t n = dims[1] > 0 ? dims[1] : 1, each = dims[0] / kind->threads;
    int64_t least = 2048 / n + 1;
    if (kind->grain > 1) { /* tiles of rows, up to four at once */
        least = (each + kind->grain - 1) / kind->grain * kind->grain;
        least = least < kind->grain ? kind->grain : least > 4 * kind->grain ? 4 * kind->grain : least;
    }
    if (dims[0] < 2 || !pays(t, dims[0] * (n + 64), kind->awake, kind->asleep) /* a row costs something, too */
        || !together(t, rows, &job, dims[0], least, kind->threads))
        ((Loop)(uintptr_t)kind->loop)(args, dims, steps, 0);
}

/* Places of a walk over one row. */
void rowfold_team_share(const Cut *cut, Part part, void *job, intptr_t places)
{
    Team *t = (Team *)(uintptr_t)cut->team;
    if (places < 2 || !pays(t, places * cut->elements, cut->awake, cut->asleep)
        || !together(t, part, job, places, 1, cut->threads))
        part(job, 0, places);
}

/* `inner` elements between a row and memory where it lies together. */
static void moved(char *apart, intptr_t step, char *packed, int64_t inner, int64_t size, int out)
{
    if (step == size) memcpy(out ? apart : packed, out ? packed : apart, (size_t)(inner * size));
    else if (size == 4)
        for (int64_t k = 0; k < inner; ++k, apart += step, packed += 4) memcpy(out ? apart : packed, out ? packed : apart, 4);
    else
        for (int64_t k = 0; k < inner; ++k, apart += step, packed += 8) memcpy(out ? apart : packed, out ? packed : apart, 8);
}

/* Some rows: beside each other before the next part of each, for they may be neighbours in memory. */
static void some(const Folds *f, const Fold *fold, int64_t row, int64_t count, char *packed, int out)
{
    for (int64_t o = 0; o < f->outer; ++o)
        for (int64_t k = 0; k < count; ++k) {
            char *apart = (char *)(uintptr_t)fold->base + (row + k) * fold->row + o * fold->outer;
            if (o + AHEAD < f->outer) /* the hardware fetches ahead within a page only */
                for (int64_t b = 0; b < f->inner * fold->inner; b += 64) __builtin_prefetch(apart + AHEAD * fold->outer + b);
            moved(apart, (intptr_t)fold->inner, packed + (k * f->outer + o) * f->inner * f->size, f->inner, f->size, out);
        }
}

/* Rows on axes that are not one: some are packed in a cache, computed, and put where they belong. */
static void folded(void *job, intptr_t first, intptr_t last)
{
    Folds *f = job;
    const int64_t n = f->outer * f->inner, fit = PACKED / (n * f->size), grain = fit < 1 ? 1 : fit > 16 ? 16 : fit;
    const int64_t bytes = (grain * n * f->size + 63) / 64 * 64 + 64; /* arrays not 4 KB apart */
    char *own[MOST_OPERANDS], *memory = malloc((size_t)(f->operands * bytes + 64));
    intptr_t dims[2] = { 1, (intptr_t)n }, steps[2 * MOST_OPERANDS] = { 0 };
    if (!memory) {
        STORE(&f->failed, 1);
        return;
    }
    for (int64_t k = 0; k < f->operands; ++k) steps[k] = (intptr_t)(f->folds[k].kind ? n * f->size : f->folds[k].row);
    for (int64_t k = 0; k < f->cores; ++k) steps[f->operands + k] = (intptr_t)f->size;
    char *const start = memory + (64 - (uintptr_t)memory % 64) % 64;
    for (int64_t row = f->first + first, end = f->first + last; row < end; row += dims[0]) {
        dims[0] = (intptr_t)(end - row < grain ? end - row : grain);
        for (int64_t k = 0; k < f->operands; ++k) {
            const Fold *fold = &f->folds[k];
            own[k] = fold->kind ? start + k * bytes : (char *)(uintptr_t)fold->base + row * fold->row;
            if (fold->kind == 1) some(f, fold, row, dims[0], own[k], 0);
        }
        ((Loop)(uintptr_t)f->loop)(own, dims, steps, 0);
        for (int64_t k = 0; k < f->operands; ++k)
            if (f->folds[k].kind == 2) some(f, &f->folds[k], row, dims[0], own[k], 1);
    }
    free(memory);
}

/* dims[0] rows, from the first on. */
void rowfold_team_fold(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    Folds *f = data;
    Team *t = (Team *)(uintptr_t)f->team;
    (void)args, (void)steps;
    if (f->threads < 2 || dims[0] < 2 || !pays(t, dims[0] * f->outer * f->inner, f->awake, f->asleep)
        || !together(t, folded, f, dims[0], 1, f->threads))
        folded(f, 0, dims[0]);
}
