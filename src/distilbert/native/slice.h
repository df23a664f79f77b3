// The stack of blocks, and a slice of the sequences of a call on its way through it.
#pragma once

#include <cstdlib>

#include "attention.h"
#include "team.h"

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
    int64_t first_only;        // the last layer computes first tokens only; then no sequence is empty
    int64_t slice_tokens, threads;
};

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
    // Memory of so many rows: of their bytes, and of all that belongs to them.
    long byte_size(long count) const {
        return Arena::bytes<uint8_t>(count * q_stride) + Arena::bytes<Range>(count);
    }
    long size(long count) const { return Arena::bytes<float>(count * stride) + byte_size(count); }
    void take_bytes(Arena &arena, long count) {
        q = arena.take<uint8_t>(count * q_stride);
        ranges = arena.take<Range>(count);
    }
    void take(Arena &arena, long count) {
        x = arena.take<float>(count * stride);
        take_bytes(arena, count);
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
            feed_forward(stack.blocks[i], rank, firsts ? last - first : count);
            if (call.states) {
                team.meet();
                keep(call.states + i * call.starts[call.sequences] * stack.width, rank);
            }
        }
        team.meet();
        if (!call.first_only) return keep(call.y, rank);
        if (rank == 0)
            for (long s = first; s < last; s++)
                memcpy(call.y + call.starts[s] * stack.width, x.row(s - first),
                       stack.width * sizeof(float));
    }

  private:
    long length(long sequence) const { return call.starts[sequence + 1] - call.starts[sequence]; }

    long scratch_size() const {
        long longest = 0;
        for (long s = first; s < last; s++) longest = Widths::larger_of(longest, length(s));
        return up_to(attention_scratch(longest, widths.head), 16);
    }

    long size() const {
        return x.size(count) + sums.size(count) + qkv.size(count) + context.size(count) +
               hidden.size(BLOCK_ROWS * team.size) + Arena::bytes<float>(scratch * team.size);
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
                for (long s = first; s < last; s++)
                    memmove(x.row(s - first), x.row(call.starts[s] - start),
                            stack.width * sizeof(float));
            team.meet();
        }
        project(block.query, rank, firsts ? last - first : count, qkv.x);
        team.meet();
        Span units = team.share((last - first) * block.heads, rank);
        for (long unit = units.from; unit < units.to; unit++) {
            long s = first + unit / block.heads, head = unit % block.heads;
            if (!length(s)) continue;
            long begin = call.starts[s] - start, query = firsts ? s - first : begin;
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
            add_and_normalise(block.norms[0], mine);
            if (together) team.meet();
            Span within = {0, span.size()}, my_within = {mine.from - from, mine.to - from};
            product(block.lin1, x, rows, span, mine, rank, wide.x - from * wide.stride, wide.stride);
            product(block.lin2, wide, rows, within, my_within, rank, sums.row(from), sums.stride);
            add_and_normalise(block.norms[1], mine);
        }
    }

    void add_and_normalise(const Norm &norm, Span mine) {
        for (long r = mine.from; r < mine.to; r++)
            normalise(norm, sums.row(r), x.row(r), stack.width);
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
