/*
 * How long it takes until two threads are at work on a job and done with it, when the worker is spinning (hot), and when it
 * has gone to sleep. Includes templates/team.c; benchmarks/dispatch.py compiles and runs it.
 */
#include TEAM

#include <stdio.h>
#include <stdlib.h>

/* Waits until the other thread is here, too. */
static void meet(void *job, intptr_t first, intptr_t last)
{
    int64_t *here = job;
    ADD(here, (int64_t)(last - first));
    while (LOAD(here) < 2) rest();
}

static void *work(void *team)
{
    rowfold_team_work(0, 0, 0, team);
    return 0;
}

static int lower(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nanoseconds of so many calls, in order. */
static void measure(const Cut *cut, double *ns, int count, int pause)
{
    for (int k = 0; k < count; ++k) {
        const struct timespec wait = { 0, pause };
        if (pause) nanosleep(&wait, 0);
        int64_t here = 0;
        const int64_t start = now();
        rowfold_team_share(cut, meet, &here, 2);
        ns[k] = (double)(now() - start);
    }
    qsort(ns, (size_t)count, sizeof *ns, lower);
}

int main(void)
{
    enum { COUNT = 2000 };
    static Team team;
    static double ns[COUNT];
    pthread_t worker;
    rowfold_team_start(0, 0, 0, &team);
    pthread_create(&worker, 0, work, &team);
    while (!LOAD(&team.workers)) sched_yield();
    const Cut cut = { 0, 0, 0, 0, 0, (int64_t)(uintptr_t)&team, 2, 1 << 20, 1, 1 };
    measure(&cut, ns, COUNT, 0);
    measure(&cut, ns, COUNT, 0);
    printf("hot: median %.2f us, least %.2f us\n", ns[COUNT / 2] / 1000, ns[0] / 1000);
    measure(&cut, ns, 300, 1000000);
    printf("asleep: median %.2f us, least %.2f us\n", ns[150] / 1000, ns[0] / 1000);
    return 0;
}
