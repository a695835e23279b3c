/* bench/micro/recorder_cost.c — what a service's flight recorder costs a tick, and a page of it an
 * answer.
 *
 * Rows as a busy service has them: 20 buckets of latency of each version. Prints also how many
 * bytes such a row takes, and how long it takes to find the end of a full ring. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "canary/controller/recorder.h"

enum { PASSES = 7, TICKS = 216000, PAGE_ROWS = 1000, RING_SIZE = 4 * 1024 * 1024, BUCKETS = 20 };

static const uint64_t KEEP_US = UINT64_C(6) * 3600 * 1000000;

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e6 * (double)time.tv_sec + (double)time.tv_nsec / 1e3;
}

static double median(double *passes)
{
    for (int i = 1; i < PASSES; i++) {
        for (int j = i; j > 0 && passes[j] < passes[j - 1]; j--) {
            double swapped = passes[j];
            passes[j] = passes[j - 1];
            passes[j - 1] = swapped;
        }
    }
    return passes[PASSES / 2];
}

/* Six hours of ticks; gives what one of them took. */
static double record(struct recorder *recorder)
{
    static struct version_reading canary;
    static struct version_reading stable;
    struct recorder_look look = {.canary = &canary, .stable = &stable};
    double begin = now_us();
    for (unsigned i = 0; i < TICKS; i++) {
        look.now_us += 100000;
        look.wall_us += 100000;
        canary.ok += 10;
        stable.ok += 90;
        canary.latency.buckets[90 + i % BUCKETS] += 10;
        stable.latency.buckets[90 + i % BUCKETS] += 90;
        recorder_look(recorder, &look);
    }
    return (now_us() - begin) / TICKS;
}

static double page(const struct recorder *recorder, uint64_t after)
{
    struct buf text;
    size_t count = 0;
    buf_init(&text, 64 * 1024 * 1024);
    double begin = now_us();
    (void)recorder_write(recorder, after, PAGE_ROWS, SIZE_MAX, &text, &count);
    double took_us = now_us() - begin;
    buf_finish(&text);
    return took_us;
}

int main(void)
{
    double looks[PASSES];
    double pages[PASSES];
    double bytes = 0;
    for (int i = 0; i < PASSES; i++) {
        struct recorder *recorder = NULL;
        if (recorder_create(KEEP_US, RING_SIZE, &recorder) != OK) {
            return 1;
        }
        looks[i] = record(recorder);
        struct recorder_facts facts = recorder_facts(recorder);
        pages[i] = page(recorder, facts.last - PAGE_ROWS);
        bytes = (double)facts.used / (double)(facts.last - facts.first + 1);
        recorder_destroy(recorder);
    }
    printf("recorder_tick\t%.2f\tus\t%g\n", median(looks), 5.0);
    printf("recorder_page_of_1000\t%.0f\tus\t%g\n", median(pages), 5000.0);
    printf("recorder_row\t%.0f\tbytes\t%g\n", bytes, 200.0);
    return 0;
}
