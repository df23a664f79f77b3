// Attention of one head over one sequence.
#pragma once

#include <cmath>

#include "dropout.h"
#include "products.h"

struct Sequence {
    const float *q, *k, *v;  // first row of this head
    long stride;             // from row to row of all three
    long queries, length, head_size;
    const float *bias;  // added to the scores, (queries or 1, length); or null
    long bias_stride;   // from query to query
    float *context;     // (queries, head size)
    long context_stride;
    // In training only, or null: the logarithm of each query's sum of weights, and what is dropped.
    float *logs = nullptr;
    long logs_stride = 0;
    const Dropout *dropout = nullptr;
    long unit = 0;  // the number of the first query among all heads' and sequences'
};

// Floats that `attend` needs besides.
static inline long attention_scratch(long length, long head_size) {
    return up_to(length, COLUMNS) * (head_size + ROWS) + length * up_to(head_size, COLUMNS);
}

// A row of weights: their sum before they were divided by it, and the largest score.
struct Softened {
    float sum, top;
};

// The row becomes e^(scale x + bias - their largest).
static inline Softened soften(float *row, long length, float scale, const float *bias) {
    long padded = up_to(length, WIDTH);
    // As a whole vector: reading what single numbers were written to would wait for them.
    if (long last = padded - WIDTH; length < padded)
        store(row + last, lanes() < (int)(length - last) ? load(row + last)
                                                         : splat(-__builtin_inff()));
    if (bias) {
        for (long k = 0; k < length; k++) row[k] = row[k] * scale + bias[k];
        scale = 1;
    }
    Floats most = load(row);
    for (long k = WIDTH; k < padded; k += WIDTH) most = larger(load(row + k), most);
    float top = largest(most);
    Floats total = {};
    for (long k = 0; k < padded; k += WIDTH) {
        Floats weight = exponential((load(row + k) - top) * scale);
        store(row + k, weight);
        total += weight;
    }
    return {sum(total), top * scale};
}

// The sums of a tile, as far as there are columns.
template <int R>
static void store_tile(Floats (&y)[R][2], float *to, long stride, long columns) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        store_columns(to + r * stride, y[r][0], columns);
        store_columns(to + r * stride + WIDTH, y[r][1], columns - WIDTH);
    }
}

// y = R rows times panels.
template <int R>
static void multiply_rows(long inputs, const float *x, long stride, const float *panels,
                          long columns, float *y, long y_stride) {
    for (long d = 0; d < columns; d += COLUMNS) {
        Floats sums[R][2] = {};
        tile<R>(inputs, x, stride, panels + d * inputs, {(const char *)panels, 0}, sums);
        store_tile<R>(sums, y + d, y_stride, columns - d);
    }
}

template <int R>
static void attend_tile(const Sequence &s, long query, const float *keys, const float *values,
                        float *weights, float scale) {
    long padded = up_to(s.length, COLUMNS);
    float inverse[R];
    multiply_rows<R>(s.head_size, s.q + query * s.stride, s.stride, keys, padded, weights, padded);
    for (int r = 0; r < R; r++) {
        float *row = weights + r * padded;
        Softened found = soften(row, s.length, scale,
                                s.bias ? s.bias + (query + r) * s.bias_stride : nullptr);
        inverse[r] = 1 / found.sum;
        if (s.logs) s.logs[(query + r) * s.logs_stride] = found.top + logf(found.sum);
        if (s.dropout) s.dropout->drop(row, s.length, s.unit + query + r);
    }
    for (long d = 0; d < s.head_size; d += COLUMNS) {
        Floats y[R][2] = {};
        tile<R>(s.length, weights, padded, values + d * s.length, {(const char *)values, 0}, y);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) y[r][0] *= inverse[r], y[r][1] *= inverse[r];
        store_tile<R>(y, s.context + query * s.context_stride + d, s.context_stride,
                      s.head_size - d);
    }
}

typedef void (*AttendTile)(const Sequence &, long, const float *, const float *, float *, float);

template <int... R>
static AttendTile attend_tile_of(int rows, std::integer_sequence<int, R...>) {
    static const AttendTile tiles[] = {attend_tile<R + 1>...};
    return tiles[rows - 1];
}

// Rows as the columns of panels: (rows, inputs) -> for each input those of all rows, zeros behind.
static void pack_columns(const float *x, long stride, long rows, long inputs, float *panels) {
    for (long row = 0; row < up_to(rows, COLUMNS); row++) {
        float *to = panels + row / COLUMNS * COLUMNS * inputs + row % COLUMNS;
        for (long k = 0; k < inputs; k++) to[k * COLUMNS] = row < rows ? x[row * stride + k] : 0;
    }
}

// Rows as the inputs of panels: (inputs, columns) -> panels of columns, zeros behind.
static void pack_inputs(const float *x, long stride, long inputs, long columns, float *panels) {
    for (long row = 0; row < inputs; row++)
        for (long d = 0; d < up_to(columns, COLUMNS); d += WIDTH)
            store(panels + d / COLUMNS * COLUMNS * inputs + row * COLUMNS + d % COLUMNS,
                  load_columns(x + row * stride + d, columns - d));
}

static void attend(const Sequence &s, float *scratch) {
    long size = s.head_size;
    float *k_panels = scratch, *v_panels = k_panels + up_to(s.length, COLUMNS) * size;
    float *weights = v_panels + s.length * up_to(size, COLUMNS);
    pack_columns(s.k, s.stride, s.length, size, k_panels);
    pack_inputs(s.v, s.stride, s.length, size, v_panels);
    float scale = 1 / __builtin_sqrtf((float)size);
    Tiles tiles(s.queries);
    for (long t = 0; t < tiles.count; t++)
        attend_tile_of(tiles.size(t), std::make_integer_sequence<int, ROWS>())(
            s, tiles.start(t), k_panels, v_panels, weights, scale);
}
