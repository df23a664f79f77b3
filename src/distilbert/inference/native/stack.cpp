// The stack of blocks over sequences that lie one behind the other, and what Python calls.
//
// Rows are cut into slices of whole sequences. Where there are enough of them each thread takes
// slices through all layers alone; otherwise all threads work on one slice together.
#include <cstdlib>
#include <new>

#include "attention.h"
#include "team.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

struct Norm {
    const float *weight, *bias;
    double epsilon;
};

struct Block {
    Linear query, key_value, out, lin1, lin2;  // key_value gives keys, then values
    Norm norms[2];
    int64_t heads, head_size;
};

struct Stack {
    int64_t layers, width;
    const Block *blocks;
};

struct Call {
    const Stack *stack;
    const float *x;            // (tokens, width)
    float *y;                  // (tokens, width)
    float *states;             // (layers, tokens, width) or null
    const int64_t *starts;     // (sequences + 1,)
    int64_t sequences;
    const float *bias;         // added to scores, or null
    int64_t bias_strides[3];   // from sequence to sequence, head to head, query to query
    int64_t first_only;        // the last layer computes first tokens only
    int64_t slice_tokens, threads;
};

static Pool pool;

constexpr long FEW_ROWS = 48;    // with fewer for each thread, threads share columns instead of rows
constexpr long BLOCK_ROWS = MOST_ROWS;  // rows that go through the feed-forward together, in the cache

// Memory, cut into parts.
class Arena {
  public:
    explicit Arena(long bytes) : next((char *)aligned_alloc(64, up_to(bytes + 1, 64))), start(next) {}
    ~Arena() { free(start); }
    Arena(const Arena &) = delete;
    bool exists() const { return start; }

    template <class T>
    T *take(long count) {
        char *found = next;
        next += bytes<T>(count);
        return (T *)found;
    }
    template <class T>
    static long bytes(long count) {
        return up_to(count * sizeof(T), 64);
    }

  private:
    char *next, *start;
};

// Rows of numbers, and what they are in 8 bits once `quantise` has seen them.
struct Rows {
    float *x = nullptr;
    uint8_t *q = nullptr;
    Range *ranges = nullptr;
    long stride, q_stride;

    explicit Rows(long width) : stride(apart<float>(width)), q_stride(apart<uint8_t>(width)) {}
    static long bytes(long count, long width) {
        Rows rows(width);
        return Arena::bytes<float>(count * rows.stride) +
               Arena::bytes<uint8_t>(count * rows.q_stride) + Arena::bytes<Range>(count);
    }
    void take(Arena &arena, long count) {
        x = arena.take<float>(count * stride);
        q = arena.take<uint8_t>(count * q_stride);
        ranges = arena.take<Range>(count);
    }
    float *row(long r) const { return x + r * stride; }
    Input input(long from) const {
        return {row(from), stride, q + from * q_stride, q_stride, ranges + from};
    }
    void to_bytes(long width, Span span) const {
        quantise(row(span.from), stride, width, span.size(), q + span.from * q_stride, q_stride,
                 ranges + span.from);
    }
};

// y = norm(x + y); x is spoilt.
static void normalise(const Norm &norm, float *x, float *y, long width) {
    Floats total = {};
    float rest = 0;
    long k = 0;
    for (; k + WIDTH <= width; k += WIDTH) {
        Floats value = load(x + k) + load(y + k);
        store(x + k, value);
        total += value;
    }
    for (; k < width; k++) rest += x[k] += y[k];
    float mean = (sum(total) + rest) / width;
    total = Floats{}, rest = 0;
    for (k = 0; k + WIDTH <= width; k += WIDTH) {
        Floats value = load(x + k) - mean;
        total += value * value;
    }
    for (; k < width; k++) rest += (x[k] - mean) * (x[k] - mean);
    float variance = (sum(total) + rest) / width;
    float factor = 1 / __builtin_sqrtf(variance + (float)norm.epsilon);
    for (k = 0; k + WIDTH <= width; k += WIDTH)
        store(y + k,
              (load(x + k) - mean) * factor * load(norm.weight + k) + load(norm.bias + k));
    for (; k < width; k++) y[k] = (x[k] - mean) * factor * norm.weight[k] + norm.bias[k];
}

// Widths of the widest layer.
struct Widths {
    long model, heads = 0, hidden = 0, head = 0;

    explicit Widths(const Stack &stack) : model(stack.width) {
        for (long i = 0; i < stack.layers; i++) {
            const Block &block = stack.blocks[i];
            heads = larger_of(heads, block.out.inputs);
            hidden = larger_of(hidden, block.lin1.outputs);
            head = larger_of(head, block.head_size);
        }
    }
    static long larger_of(long a, long b) { return a > b ? a : b; }
};

// Sequences first to last of a call on their way through the layers, with a team.
class Slice {
  public:
    Slice(const Call &call, long first, long last, Team &team)
        : call(call), stack(*call.stack), first(first), last(last), team(team),
          start(call.starts[first]), count(call.starts[last] - start), widths(stack),
          x(widths.model), sums(widths.model), qkv(3 * widths.heads), context(widths.heads),
          hidden(widths.hidden), scratch(scratch_size()), arena(size()) {
        if (!arena.exists()) return;
        x.take(arena, count);
        sums.take(arena, count);
        qkv.take(arena, count);
        context.take(arena, count);
        hidden.take(arena, BLOCK_ROWS * team.size);
        scratches = arena.take<float>(scratch * team.size);
    }

    bool has_memory() const { return arena.exists(); }

    void run(int rank) {
        Span mine = team.share(count, rank);
        for (long r = mine.from; r < mine.to; r++)
            memcpy(x.row(r), call.x + (start + r) * stack.width, stack.width * sizeof(float));
        for (long i = 0; i < stack.layers; i++) {
            bool firsts = call.first_only && i + 1 == stack.layers;
            team.meet();
            attention(stack.blocks[i], rank, firsts);
            feed_forward(stack.blocks[i], rank, firsts ? first_tokens() : count);
            if (call.states) {
                team.meet();
                keep(call.states + i * call.starts[call.sequences] * stack.width, rank);
            }
        }
        team.meet();
        if (!call.first_only) return keep(call.y, rank);
        if (rank == 0)
            for (long s = first, row = 0; s < last; s++)
                if (length(s))
                    memcpy(call.y + call.starts[s] * stack.width, x.row(row++),
                           stack.width * sizeof(float));
    }

  private:
    long length(long sequence) const { return call.starts[sequence + 1] - call.starts[sequence]; }

    long first_tokens() const {
        long found = 0;
        for (long s = first; s < last; s++) found += length(s) > 0;
        return found;
    }

    long scratch_size() const {
        long longest = 0;
        for (long s = first; s < last; s++) longest = Widths::larger_of(longest, length(s));
        return up_to(attention_scratch(longest, widths.head), 16);
    }

    long size() const {
        return 2 * Rows::bytes(count, widths.model) + Rows::bytes(count, 3 * widths.heads) +
               Rows::bytes(count, widths.heads) + Rows::bytes(BLOCK_ROWS * team.size, widths.hidden) +
               Arena::bytes<float>(scratch * team.size);
    }

    // Where there are rows enough for all, each thread has its own through a whole block. Otherwise
    // they share the columns of each product, so that each reads a part of the weights only.
    bool shares_rows(long rows) const { return rows >= FEW_ROWS * team.size; }

    void meet_if_columns(long rows) {
        if (!shares_rows(rows)) team.meet();
    }

    // y = linear(x) of `rows` rows, of which a thread computes those of `span` or its columns.
    // Those that it turns into 8 bits, if the layer wants them so, are `mine`.
    void product(const Linear &linear, const Rows &from, long rows, Span span, Span mine, int rank,
                 float *y, long stride) {
        if (linear.kind == INT8) {
            from.to_bytes(linear.inputs, mine);
            meet_if_columns(rows);
        }
        Span panels{0, linear.panels()};
        if (!shares_rows(rows)) panels = team.share(panels.to, rank);
        multiply(linear, from.input(span.from), span.size(), panels.from, panels.to,
                 y + span.from * stride, stride);
        meet_if_columns(rows);
    }

    // A product of the first rows of x.
    void project(const Linear &linear, int rank, long rows, float *y) {
        if (!linear.outputs) return;
        Span mine = team.share(rows, rank);
        product(linear, x, rows, shares_rows(rows) ? mine : Span{0, rows}, mine, rank, y, qkv.stride);
    }

    // x -> context; if only first tokens are wanted, x becomes those.
    void attention(const Block &block, int rank, bool firsts) {
        long width = block.out.inputs, size = block.head_size;
        project(block.key_value, rank, count, qkv.x + block.query.outputs);
        if (firsts) {
            team.meet();
            if (rank == 0)
                for (long s = first, row = 0; s < last; s++)
                    if (length(s))
                        memmove(x.row(row++), x.row(call.starts[s] - start),
                                stack.width * sizeof(float));
            team.meet();
        }
        project(block.query, rank, firsts ? first_tokens() : count, qkv.x);
        team.meet();
        Span units = team.share((last - first) * block.heads, rank);
        long row = 0, done = first;  // of the first tokens
        for (long unit = units.from; unit < units.to; unit++) {
            long s = first + unit / block.heads, head = unit % block.heads;
            for (; done < s; done++) row += length(done) > 0;
            if (!length(s)) continue;
            long begin = call.starts[s] - start, query = firsts ? row : begin;
            const float *keys = qkv.row(begin) + width + head * size;
            const float *bias = call.bias;
            if (bias) bias += s * call.bias_strides[0] + head * call.bias_strides[1];
            attend({qkv.row(query) + head * size, keys, keys + width, qkv.stride,
                    firsts ? 1 : length(s), length(s), size, bias, call.bias_strides[2],
                    context.row(query) + head * size, context.stride},
                   scratches + rank * scratch);
        }
        team.meet();
    }

    // x = norm(out(context) + x), then x = norm(lin2(lin1(x)) + x), for the first rows, block by
    // block of them.
    void feed_forward(const Block &block, int rank, long rows) {
        bool together = !shares_rows(rows);
        Span mine = team.share(rows, rank), all = together ? Span{0, rows} : mine;
        // The rows of `hidden` are those of one block, or all of them.
        Rows wide = hidden;
        if (!together) {
            wide.x += rank * BLOCK_ROWS * wide.stride;
            wide.q += rank * BLOCK_ROWS * wide.q_stride;
            wide.ranges += rank * BLOCK_ROWS;
        }
        long height = together ? rows : BLOCK_ROWS;
        for (long from = all.from; from < all.to; from += height) {
            Span span{from, from + height < all.to ? from + height : all.to};
            if (!together) mine = span;
            product(block.out, context, rows, span, mine, rank, sums.x, sums.stride);
            for (long r = mine.from; r < mine.to; r++)
                normalise(block.norms[0], sums.row(r), x.row(r), stack.width);
            if (together) team.meet();
            Span within = {0, span.size()}, my_within = {mine.from - from, mine.to - from};
            product(block.lin1, x, rows, span, mine, rank, wide.x - from * wide.stride, wide.stride);
            product(block.lin2, wide, rows, within, my_within, rank, sums.row(from), sums.stride);
            for (long r = mine.from; r < mine.to; r++)
                normalise(block.norms[1], sums.row(r), x.row(r), stack.width);
        }
    }

    void keep(float *to, int rank) {
        Span mine = team.share(count, rank);
        for (long r = mine.from; r < mine.to; r++)
            memcpy(to + (start + r) * stack.width, x.row(r), stack.width * sizeof(float));
    }

    const Call &call;
    const Stack &stack;
    const long first, last;
    Team &team;
    const long start, count;  // tokens
    const Widths widths;
    Rows x, sums, qkv, context, hidden;
    const long scratch;  // floats of each thread
    Arena arena;
    float *scratches;
};

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

struct Product {
    const Linear *linear;
    Input input;
    uint8_t *q;
    Range *ranges;
    long rows;
    float *y;
    Team *team;
};

static void one_product(void *given, int rank) {
    Product &p = *(Product *)given;
    const Linear &linear = *p.linear;
    if (linear.kind == INT8) {
        Span mine = p.team->share(p.rows, rank);
        quantise(p.input.x + mine.from * linear.inputs, linear.inputs, linear.inputs, mine.size(),
                 p.q + mine.from * p.input.q_stride, p.input.q_stride, p.ranges + mine.from);
        p.team->meet();
    }
    Span panels = p.team->share(linear.panels(), rank);
    multiply(linear, p.input, p.rows, panels.from, panels.to, p.y, linear.outputs);
}

// y (rows, outputs) = activation(x W + b). Returns 0, or 1 if there is not enough memory.
EXPORT int distilbert_linear(const Linear *linear, const float *x, int64_t rows, float *y,
                             int64_t threads) {
    // What is done in the time of waking a thread is not shared.
    if (rows * linear->inputs * linear->outputs < 1 << 20) threads = 1;
    long stride = up_to(linear->inputs, DEPTH);
    Arena arena(linear->kind == INT8 ? Arena::bytes<uint8_t>(rows * stride) + Arena::bytes<Range>(rows)
                                     : 64);
    if (!arena.exists()) return 1;
    uint8_t *q = nullptr;
    Range *ranges = nullptr;
    if (linear->kind == INT8) q = arena.take<uint8_t>(rows * stride), ranges = arena.take<Range>(rows);
    Team team((int)threads), single(1);
    Product product{linear, {x, linear->inputs, q, stride, ranges}, q, ranges, rows, y, &team};
    if (threads == 1 || !pool.run((int)threads, one_product, &product)) {
        product.team = &single;
        one_product(&product, 0);
    }
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
