// Attention for training, and its gradients.
#pragma once

#include "attention.h"

// What a call is given: rows of (heads, head size) each.
struct Training {
    const float *q, *k, *v;  // queries (rows, …); keys and values (tokens, …)
    const int32_t *starts;   // (sequences + 1,), of the tokens
    int64_t sequences, heads, head_size;
    int64_t first_only;      // one query for each sequence
    double dropout;          // the share of weights that is dropped
    uint64_t seed;
    float *context;          // like q
    float *logs;             // (rows, heads)
    const float *d_context;  // like q, as all that follow are like theirs
    float *dq, *dk, *dv;
    int64_t threads;

    Dropout drops() const {
        double least = dropout * 4294967296.0;
        return {seed, (uint32_t)(least < 4294967295.0 ? least : 4294967295.0),
                dropout < 1 ? (float)(1 / (1 - dropout)) : 0.0f};
    }
};

// One head of one sequence.
struct Unit {
    long sequence, head, first, length, query, queries, width;

    Unit(const Training &call, long number) {
        sequence = number / call.heads, head = number % call.heads;
        first = call.starts[sequence], length = call.starts[sequence + 1] - first;
        query = call.first_only ? sequence : first;
        queries = call.first_only ? length > 0 : length;
        width = call.heads * call.head_size;
    }
};

static Sequence forward_of(const Training &call, const Unit &unit, const Dropout *dropout) {
    long from = unit.first * unit.width + unit.head * call.head_size;
    long query_offset = unit.query * unit.width + unit.head * call.head_size;
    long rows = call.first_only ? call.sequences : call.starts[call.sequences];
    return {call.q + query_offset, call.k + from, call.v + from, unit.width, unit.queries, unit.length,
            call.head_size, nullptr, 0, call.context + query_offset, unit.width,
            call.logs + unit.query * call.heads + unit.head, call.heads, dropout,
            unit.head * rows + unit.query};
}

// Floats that `attend_back` needs.
static inline long gradients_scratch(long queries, long length, long head_size) {
    long columns = up_to(length, COLUMNS), size = up_to(head_size, COLUMNS);
    return 2 * columns * head_size + length * size + 2 * queries * size +
           2 * queries * apart<float>(columns) + queries;
}

// `multiply_rows` with the transposed of x: its columns are the rows.
template <int R>
static void multiply_columns(long inputs, const float *x, long stride, const float *panels,
                             long columns, float *y, long y_stride) {
    for (long d = 0; d < columns; d += COLUMNS) {
        Floats sums[R][2] = {};
        const float *panel = panels + d * inputs;
        for (long k = 0; k < inputs; k++, panel += COLUMNS) {
            Floats left = load(panel), right = load(panel + WIDTH);
#pragma GCC unroll 12
            for (int r = 0; r < R; r++) {
                Floats value = splat(x[k * stride + r]);
                sums[r][0] += value * left;
                sums[r][1] += value * right;
            }
        }
        store_tile<R>(sums, y + d, y_stride, columns - d);
    }
}

typedef void (*Multiply)(long, const float *, long, const float *, long, float *, long);

template <int... R>
static Multiply rows_of(int rows, std::integer_sequence<int, R...>) {
    static const Multiply all[] = {multiply_rows<R + 1>...};
    return all[rows - 1];
}

template <int... R>
static Multiply columns_of(int rows, std::integer_sequence<int, R...>) {
    static const Multiply all[] = {multiply_columns<R + 1>...};
    return all[rows - 1];
}

// y (rows, columns) = x (rows, inputs) times panels.
static void multiply_all(long rows, long inputs, const float *x, long stride, const float *panels,
                         long columns, float *y, long y_stride) {
    Tiles tiles(rows);
    for (long t = 0; t < tiles.count; t++)
        rows_of(tiles.size(t), std::make_integer_sequence<int, ROWS>())(
            inputs, x + tiles.start(t) * stride, stride, panels, columns,
            y + tiles.start(t) * y_stride, y_stride);
}

// y (rows, columns) = the transposed of x (inputs, rows) times panels.
static void multiply_transposed(long rows, long inputs, const float *x, long stride,
                                const float *panels, long columns, float *y, long y_stride) {
    Tiles tiles(rows);
    for (long t = 0; t < tiles.count; t++)
        columns_of(tiles.size(t), std::make_integer_sequence<int, ROWS>())(
            inputs, x + tiles.start(t), stride, panels, columns, y + tiles.start(t) * y_stride,
            y_stride);
}

// Gradients of one head of one sequence. With P the weights, M the factors of dropout, O = (P M) V:
// dV = (P M)' dO, dP = M (dO V'), dS = P (dP - rowsum(dO O)), dQ = dS K / sqrt(D), dK = dS' Q / sqrt(D)
// (FlashAttention, arXiv 2205.14135, appendix B.2).
static void attend_back(const Training &call, const Unit &unit, const Dropout *dropout,
                        float *scratch) {
    Sequence s = forward_of(call, unit, dropout);
    long size = s.head_size, length = s.length, queries = s.queries, stride = s.stride;
    long columns = up_to(length, COLUMNS), padded = up_to(size, COLUMNS);
    long distance = apart<float>(columns);
    long query_offset = s.q - call.q, from = s.k - call.k;
    const float *d_context = call.d_context + query_offset;
    float *panels = scratch;                          // keys, then values, as columns
    float *key_panels = panels + 2 * columns * size;  // keys as inputs
    float *query_panels = key_panels + length * padded;
    float *grad_panels = query_panels + queries * padded;
    float *weights = grad_panels + queries * padded;
    float *scores = weights + queries * distance;
    float *deltas = scores + queries * distance;
    for (long i = 0; i < queries; i++) {
        Floats total = {};
        for (long d = 0; d < size; d += WIDTH)
            total += load_columns(d_context + i * stride + d, size - d) *
                     load_columns(s.context + i * stride + d, size - d);
        deltas[i] = sum(total);
    }
    pack_columns(s.k, stride, length, size, panels);
    pack_columns(s.v, stride, length, size, panels + columns * size);
    pack_inputs(s.k, stride, length, size, key_panels);
    pack_inputs(s.q, stride, queries, size, query_panels);
    pack_inputs(d_context, stride, queries, size, grad_panels);
    multiply_all(queries, size, s.q, stride, panels, columns, weights, distance);
    multiply_all(queries, size, d_context, stride, panels + columns * size, columns, scores,
                 distance);
    float scale = 1 / __builtin_sqrtf((float)size);
    for (long i = 0; i < queries; i++) {
        float *p = weights + i * distance, *ds = scores + i * distance;
        float delta = deltas[i], log = s.logs[i * s.logs_stride];
        uint64_t hash = dropout ? dropout->row(s.unit + i) : 0;
        for (long k = 0; k < length; k += WIDTH) {
            Floats weight = exponential(load(p + k) * scale - log);
            Floats factor = dropout ? dropout->factors(hash, k) : splat(1.0f);
            store(p + k, weight * factor);
            store(ds + k, weight * (load(ds + k) * factor - delta) * scale);
        }
    }
    multiply_all(queries, length, scores, distance, key_panels, size, call.dq + query_offset, stride);
    multiply_transposed(length, queries, scores, distance, query_panels, size, call.dk + from,
                        stride);
    multiply_transposed(length, queries, weights, distance, grad_panels, size, call.dv + from,
                        stride);
}
