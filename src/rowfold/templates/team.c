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
#include <string.h>
#include <time.h>

typedef void (*Loop)(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
enum { MOST_OPERANDS = 64, MOST_DIMS = 16, SPIN_NS = 50000, PATIENCE = 2000 };

typedef struct {
    int64_t workers, sleeping, alarm, missed; /* workers: of this process; alarm: how often sleepers were woken */
    int64_t open, jobs;                       /* the job that may be joined, 0: none; how many there were */
    int64_t seats, running, busy, next;       /* threads that may join, threads that do, the team is taken, a row */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    char **args;
    const intptr_t *dims, *steps;
    const void *kind;
} Team;

typedef struct {
    int64_t loop, team, threads, operands, sizes; /* sizes: words of dims */
    int64_t awake, asleep;                        /* elements from which the team pays */
} Kind;

#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define STORE(p, value) __atomic_store_n(p, value, __ATOMIC_SEQ_CST)
#define ADD(p, value) __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST)
#define EXPORT __attribute__((visibility("default")))

EXPORT void rowfold_team_start(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_work(char **args, const intptr_t *dims, const intptr_t *steps, void *data);
EXPORT void rowfold_team_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *data);

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

/* Rows until none are left: a share of what is left each time, so that all threads end together. */
static void share(Team *t)
{
    const Kind *kind = t->kind;
    const int64_t rows = t->dims[0], n = t->dims[1] > 0 ? t->dims[1] : 1;
    const int64_t least = 2048 / n + 1;
    char *own[MOST_OPERANDS];
    intptr_t dims[MOST_DIMS];
    memcpy(dims, t->dims, (size_t)kind->sizes * sizeof *dims);
    int64_t row = LOAD(&t->next);
    while (row < rows) {
        int64_t count = (rows - row) / (2 * kind->threads);
        count = count > least ? count : least;
        count = count < rows - row ? count : rows - row;
        if (!__atomic_compare_exchange_n(&t->next, &row, row + count, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
        for (int64_t k = 0; k < kind->operands; ++k) own[k] = t->args[k] + row * t->steps[k];
        dims[0] = (intptr_t)count;
        ((Loop)(uintptr_t)kind->loop)(own, dims, t->steps, 0);
        row = LOAD(&t->next);
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
static int pays(Team *t, const Kind *kind, const intptr_t *dims)
{
    const int64_t elements = dims[0] * (dims[1] + 64); /* a row costs something, however short it is */
    if (dims[0] < 2 || elements < kind->awake || !LOAD(&t->workers)) return 0;
    if (elements >= kind->asleep || !LOAD(&t->sleeping)) return 1;
    if (ADD(&t->missed, elements) > 2 * kind->asleep) {
        STORE(&t->missed, 0);
        wake(t);
    }
    return 0;
}

void rowfold_team_loop(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    const Kind *kind = data;
    Team *t = (Team *)(uintptr_t)kind->team;
    int64_t none = 0;
    if (!pays(t, kind, dims)
        || !__atomic_compare_exchange_n(&t->busy, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        ((Loop)(uintptr_t)kind->loop)(args, dims, steps, 0);
        return;
    }
    t->args = args;
    t->dims = dims;
    t->steps = steps;
    t->kind = kind;
    STORE(&t->next, 0);
    STORE(&t->seats, kind->threads - 1);
    STORE(&t->open, ADD(&t->jobs, 1) + 1);
    wake(t);
    share(t);
    STORE(&t->open, 0);
    for (int64_t k = 0; LOAD(&t->running); ++k) {
        if (k < PATIENCE) rest();
        else sched_yield();
    }
    STORE(&t->busy, 0);
}
