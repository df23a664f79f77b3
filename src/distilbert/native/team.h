// Threads: a pool that stays, and teams that work on one thing together.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>

#include "vectors.h"

static inline void breathe() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// From a to b, b not included.
struct Span {
    long from, to;
    long size() const { return to - from; }
};

// Threads that go through the same code, each with its own rank, and wait for each other at times.
class Team {
  public:
    explicit Team(int size) : size(size) {}
    const int size;

    // Until all have come here. Waits are of microseconds, so they spin.
    void meet() {
        if (size == 1) return;
        unsigned now = round.load(std::memory_order_relaxed);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
            arrived.store(0, std::memory_order_relaxed);
            round.store(now + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round.load(std::memory_order_acquire) == now; spins++)
            if (spins < 2000)
                breathe();
            else
                sched_yield();
    }

    // The share of a rank.
    Span share(long count, int rank) const {
        return {count * rank / size, count * (rank + 1) / size};
    }

  private:
    std::atomic<int> arrived{0};
    std::atomic<unsigned> round{0};
};

typedef void (*Job)(void *argument, int rank);

// The workers of the process. One caller has them at a time; another one does its work alone.
class Pool {
  public:
    // Calls job(argument, rank) for `threads` ranks side by side, the caller being rank 0, and
    // returns true; or returns false because there are no workers to be had.
    bool run(int threads, Job job, void *argument) {
        if (pthread_mutex_trylock(&in_use)) return false;
        while (workers < threads - 1) {
            Start *start = new Start{this, workers + 1, round.load()};
            pthread_t thread;
            if (pthread_create(&thread, nullptr, work, start)) {
                delete start;
                pthread_mutex_unlock(&in_use);
                return false;
            }
            pthread_detach(thread);
            workers++;
        }
        this->job = job, this->argument = argument;
        busy.store(threads - 1, std::memory_order_relaxed);
        pthread_mutex_lock(&asleep);
        round.store(((round.load() >> THREAD_BITS) + 1) << THREAD_BITS | threads);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&asleep);
        job(argument, 0);
        for (int spins = 0; busy.load(std::memory_order_acquire); spins++)
            if (spins < 2000)
                breathe();
            else
                sched_yield();
        pthread_mutex_unlock(&in_use);
        return true;
    }

    // In a fork, which has no threads but the one that forked.
    void start_afresh() {
        workers = 0;
        busy = 0;
        in_use = PTHREAD_MUTEX_INITIALIZER;
        asleep = PTHREAD_MUTEX_INITIALIZER;
        wake = PTHREAD_COND_INITIALIZER;
    }

  private:
    struct Start {
        Pool *pool;
        int rank;
        uint64_t seen;
    };

    static void *work(void *given) {
        Start start = *(Start *)given;
        delete (Start *)given;
        Pool &pool = *start.pool;
        for (uint64_t seen = start.seen;;) {
            // For as long as a caller may be between two calls of a loop, then asleep.
            for (int spins = 0; pool.round.load(std::memory_order_acquire) == seen; spins++) {
                if (spins < 2000) {
                    breathe();
                    continue;
                }
                pthread_mutex_lock(&pool.asleep);
                while (pool.round.load(std::memory_order_acquire) == seen)
                    pthread_cond_wait(&pool.wake, &pool.asleep);
                pthread_mutex_unlock(&pool.asleep);
            }
            seen = pool.round.load(std::memory_order_acquire);
            // Nobody waits for those who are not among the threads of this round.
            if (start.rank >= (int)(seen & ((1 << THREAD_BITS) - 1))) continue;
            pool.job(pool.argument, start.rank);
            pool.busy.fetch_sub(1, std::memory_order_release);
        }
    }

    pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER, asleep = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
    static constexpr int THREAD_BITS = 16;
    std::atomic<uint64_t> round{0};  // its number, and in the lowest bits how many threads it has
    std::atomic<int> busy{0};
    int workers = 0;
    Job job = nullptr;
    void *argument = nullptr;
};
