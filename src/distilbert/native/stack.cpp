// How a call is shared out among threads, and what Python calls.
//
// Sequences are cut into slices. Where there are enough of them each thread takes slices through all
// layers alone; otherwise all threads work on one slice together.
#include <dlfcn.h>

#include "embedding.h"
#include "gradients.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

static Pool pool;

// Slices in the order in which they are taken, and how far the threads have come.
struct Work {
    const Call *call;
    const Span *slices;  // of sequences
    long count;
    std::atomic<long> next;
    std::atomic<bool> failed;
};

// One thread: slices for itself until there are none left.
static void alone(void *given, int) {
    Work &work = *(Work *)given;
    for (long n; (n = work.next.fetch_add(1)) < work.count;) {
        Team team(1);
        Slice slice(*work.call, work.slices[n].from, work.slices[n].to, team);
        if (!slice.has_memory())
            work.failed = true;
        else
            slice.run(0);
    }
}

static void together(void *given, int rank) { ((Slice *)given)->run(rank); }

// Cuts sequences into slices of at most about `most` tokens; returns how many there are.
//
// It begins with the last ones, which are the longest. Towards the end slices get smaller, so that
// all threads end at about the same time.
static long cut(const Call &call, long most, Span *slices) {
    long count = 0;
    for (long s = call.sequences; s > 0;) {
        long left = call.starts[s], goal = left / (2 * call.threads);
        goal = goal < FEW_ROWS ? FEW_ROWS : goal > most ? most : goal;
        Span slice{s - 1, s};
        // The cut that is nearest to the goal.
        while (slice.from > 0 &&
               left - call.starts[slice.from] + left - call.starts[slice.from - 1] <= 2 * goal)
            slice.from--;
        s = slice.from;
        slices[count++] = slice;
    }
    return count;
}

// Whether slices, each taken by whichever thread is free, keep all threads busy to the end.
static bool is_balanced(const Call &call, const Span *slices, long count) {
    int64_t *loads = (int64_t *)calloc(call.threads, sizeof(int64_t));
    if (!loads) return true;
    int64_t most = 0;
    for (long i = 0; i < count; i++) {
        long least = 0;
        for (long t = 1; t < call.threads; t++)
            if (loads[t] < loads[least]) least = t;
        loads[least] += call.starts[slices[i].to] - call.starts[slices[i].from];
        most = loads[least] > most ? loads[least] : most;
    }
    free(loads);
    return most * call.threads <= call.starts[call.sequences] * 1.15;
}

// Returns 0, or 1 if there is not enough memory.
EXPORT int distilbert_forward(const Call *call) {
    Span *slices = (Span *)malloc((call->sequences + 1) * sizeof(Span));
    if (!slices) return 1;
    Work work{call, slices, cut(*call, call->slice_tokens, slices), {0}, {false}};
    bool is_enough = call->starts[call->sequences] >= FEW_ROWS * call->threads &&
                     is_balanced(*call, slices, work.count);
    if (call->threads == 1 || is_enough) {
        if (call->threads == 1 || !pool.run((int)call->threads, alone, &work)) alone(&work, 0);
    } else {
        work.count = cut(*call, call->slice_tokens * call->threads, slices);
        for (long i = 0; i < work.count && !work.failed; i++) {
            Team team((int)call->threads);
            Slice slice(*call, slices[i].from, slices[i].to, team);
            if (!slice.has_memory()) {
                work.failed = true;
            } else if (!pool.run((int)call->threads, together, &slice)) {
                // The workers are another caller's.
                Work rest{call, slices + i, 1, {0}, {false}};
                alone(&rest, 0);
                work.failed = rest.failed.load();
            }
        }
    }
    free(slices);
    return work.failed;
}

// A job of which each rank does its share, with as many threads as there are to be had.
template <class Work>
static void run_team(long threads, Job job, Work &work) {
    Team team((int)threads), single(1);
    work.team = &team;
    if (threads > 1 && pool.run((int)threads, job, &work)) return;
    work.team = &single;
    job(&work, 0);
}

struct Product {
    const Linear *linear;
    Rows x;
    long rows;
    float *y;
    Team *team;
};

static void one_product(void *given, int rank) {
    Product &p = *(Product *)given;
    const Linear &linear = *p.linear;
    if (linear.kind == INT8) {
        p.x.to_bytes(linear.inputs, p.team->share(p.rows, rank));
        p.team->meet();
    }
    Span panels = p.team->share(linear.panels(), rank);
    multiply(linear, p.x.input(0), p.rows, panels.from, panels.to, p.y, linear.outputs);
}

// y (rows, outputs) = activation(x W + b). Returns 0, or 1 if there is not enough memory.
EXPORT int distilbert_linear(const Linear *linear, const float *x, int64_t rows, float *y,
                             int64_t threads) {
    // What is done in the time of waking a thread is not shared.
    if (rows * linear->inputs * linear->outputs < 1 << 20) threads = 1;
    Rows from(linear->inputs);
    long bytes = linear->kind == INT8 ? from.byte_size(rows) : 0;
    Arena arena(bytes);
    if (!arena.exists()) return 1;
    from.x = (float *)x, from.stride = linear->inputs;  // they are only read
    if (bytes) from.take_bytes(arena, rows);
    Product product{linear, from, rows, y, nullptr};
    run_team(threads, one_product, product);
    return 0;
}

// A job on PyTorch's own threads, if they are GNU OpenMP's: after each operation that they shared
// they go on spinning, and would take the cores from others. The job must not wait for a rank.
struct Shared {
    Job job;
    void *argument;
    std::atomic<int> ranks;
};

static void one_rank(void *given) {
    Shared &shared = *(Shared *)given;
    shared.job(shared.argument, shared.ranks.fetch_add(1));
}

static void run_among_operators(int threads, Job job, void *argument) {
    typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);
    static Parallel parallel = (Parallel)dlsym(RTLD_DEFAULT, "GOMP_parallel");
    Shared shared{job, argument, {0}};
    if (threads > 1 && parallel) return parallel(one_rank, &shared, threads, 0);
    if (threads == 1 || !pool.run(threads, job, argument)) job(argument, 0);
}

// Heads of sequences, of which each thread takes the next; the last, which are the longest, first.
struct Heads {
    const Training *call;
    bool back;
    long scratch;
    std::atomic<long> left;
    std::atomic<bool> failed;
};

static void some_heads(void *given, int) {
    Heads &heads = *(Heads *)given;
    const Training &call = *heads.call;
    Arena arena(heads.scratch * sizeof(float));
    if (!arena.exists()) {
        heads.failed = true;
        return;
    }
    float *scratch = arena.take<float>(heads.scratch);
    Dropout drops = call.drops(), *dropout = call.dropout > 0 ? &drops : nullptr;
    for (long number; (number = heads.left.fetch_sub(1) - 1) >= 0;) {
        Unit unit(call, number);
        if (!unit.length) continue;
        if (heads.back)
            attend_back(call, unit, dropout, scratch);
        else
            attend(forward_of(call, unit, dropout), scratch);
    }
}

// Attention with dropout, forward or back. Returns 0, or 1 if there is not enough memory.
EXPORT int distilbert_attention(const Training *call, int64_t back) {
    long longest = 0;
    for (long s = 0; s < call->sequences; s++) {
        long length = call->starts[s + 1] - call->starts[s];
        longest = length > longest ? length : longest;
    }
    long queries = call->first_only ? 1 : longest, size = call->head_size;
    long scratch = back ? gradients_scratch(queries, longest, size) : attention_scratch(longest, size);
    Heads heads{call, back != 0, scratch, {call->sequences * call->heads}, {false}};
    run_among_operators((int)call->threads, some_heads, &heads);
    return heads.failed;
}

// Work that a call has several ranks for, and what each of them needs.
template <class Call>
struct Portion {
    const Call *call;
    Team *team;
    void *memory;
};

static void some_tokens(void *given, int rank) {
    auto &work = *(Portion<Lookup> *)given;
    float *rows = (float *)work.memory;
    look_up(*work.call, work.team->share(work.call->tokens, rank),
            rows + rank * apart<float>(work.call->embedding->width));
}

static void some_rows(void *given, int rank) {
    auto &work = *(Portion<Padding> *)given;
    pad(*work.call, (const int32_t *)work.memory, work.team->share(work.call->rows, rank));
}

// What takes no longer than waking a thread is not shared.
template <class Call>
static void run_shares(const Call *call, long numbers, Job job, void *memory) {
    Portion<Call> work{call, nullptr, memory};
    run_team(numbers < 1 << 16 ? 1 : call->threads, job, work);
}

// Embeddings of tokens. Returns 0; 1 if there is not enough memory, 2 if a row does not exist.
EXPORT int distilbert_embed(const Lookup *call) {
    if (!call->exists()) return 2;
    long width = call->embedding->width;
    Arena arena(Arena::bytes<float>(call->threads * apart<float>(width)));
    if (!arena.exists()) return 1;
    run_shares(call, call->tokens * width, some_tokens,
               arena.take<float>(call->threads * apart<float>(width)));
    return 0;
}

// Rows of tokens put back to their places. Returns 0, or 1 if there is not enough memory.
EXPORT int distilbert_pad(const Padding *call) {
    Arena arena(Arena::bytes<int32_t>(call->rows));
    if (!arena.exists()) return 1;
    int32_t *token_of = arena.take<int32_t>(call->rows);
    memset(token_of, 255, call->rows * sizeof(int32_t));
    for (long i = 0; i < call->tokens; i++) token_of[call->places[i]] = (int32_t)i;
    run_shares(call, call->rows * call->width, some_rows, token_of);
    return 0;
}

EXPORT int64_t distilbert_packed_size(int64_t kind, int64_t inputs, int64_t outputs) {
    return packed_size(kind, inputs, outputs);
}

EXPORT void distilbert_pack(int64_t kind, int64_t inputs, int64_t outputs, const float *weights,
                            void *packed, float *scales, float *sums) {
    pack(kind, inputs, outputs, weights, packed, scales, sums);
}

// To be called in a fork.
EXPORT void distilbert_start_afresh() { pool.start_afresh(); }

// What this file was compiled from.
EXPORT const char *distilbert_sources() { return SOURCES; }
