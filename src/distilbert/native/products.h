// Linear layers: weights in panels of a few columns, rows in tiles that fit the registers.
//
// A row's result does not depend on the rows beside it nor on how work is shared out: each of its
// numbers is summed up in the order of the inputs.
#pragma once

#include <initializer_list>
#include <utility>

#include "tiles.h"

// Bytes of a panel that all tiles use in turn: they share the nearest cache, of 48 KB where vectors have
// 512 bits, else often of 32, with the rows.
#if defined(__AVX2__) && !defined(__AVX512F__)
constexpr long PART = 16 << 10;
#else
constexpr long PART = 32 << 10;
#endif
constexpr long MOST_ROWS = 96;   // of these tiles

enum Kind { FLOAT32, INT8 };

struct Linear {
    int64_t kind, inputs, outputs, activation;
    const void *weights;  // in panels, as `pack` makes them
    const float *bias;    // (outputs,)
    // In 8 bits only: weight = scale * integer, and sum = scale * sum of the integers, per output.
    const float *scales, *sums;

    long panels() const { return (outputs + COLUMNS - 1) / COLUMNS; }
};

// A row in 8 bits: row = base + step * q.
struct Range {
    float step, base;
};

static inline long up_to(long x, long multiple) { return (x + multiple - 1) / multiple * multiple; }

// The distance of rows of so many numbers: lines of the cache in an odd number, because rows whose
// distance is a power of two would all have their place in the same few of its sets.
template <class T>
static inline long apart(long width) {
    return ((up_to(width * sizeof(T), 64) / 64) | 1) * 64 / sizeof(T);
}

// Bytes of the packed weights of a layer.
static inline long packed_size(int64_t kind, long inputs, long outputs) {
    long columns = up_to(outputs, COLUMNS);
    return kind == INT8 ? columns * up_to(inputs, DEPTH) : columns * inputs * 4;
}

// (outputs, inputs) -> panels: for each input those of all columns.
static void pack_floats(long inputs, long outputs, const float *weights, float *packed) {
    // A few inputs of all columns at a time, so that the lines that are written stay in the cache.
    constexpr long FEW = 16;
    for (long first = 0; first < outputs; first += COLUMNS)
        for (long from = 0; from < inputs; from += FEW)
            for (long n = first; n < first + COLUMNS && n < outputs; n++)
                for (long k = from; k < from + FEW && k < inputs; k++)
                    packed[first * inputs + k * COLUMNS + n - first] = weights[n * inputs + k];
}

// By what a row of weights may be multiplied to become integers in 8 bits.
#if defined(ADDS_IN_16_BITS)
// The four products that are added up in 16 bits fit if weights of the same sign add up to 128:
// 255 * 128 < 2^15. Rounding may add a half to each.
static float finest(const float *row, long inputs) {
    Floats most = splat(1e-30f);
    for (long k = 0; k < inputs; k += WIDTH) {
        Floats total = {}, size = {};
        for (long i : {0, 1, 4, 5}) {
            Floats x = load_columns(row + k + i, inputs - k - i);
            total += x, size += larger(x, -x);
        }
        most = larger((size + larger(total, -total)) / 2, most);  // of the sign that has more
    }
    float found = most[0];
    for (int i = 0; i < WIDTH; i += 8)  // of eight inputs the others are 2, 3, 6 and 7
        for (int first : {i, i + 2}) found = most[first] > found ? most[first] : found;
    return 126 / found;
}
#else
static float finest(const float *row, long inputs) {
    Floats largests = splat(1e-30f);
    for (long k = 0; k < inputs; k += WIDTH) {
        Floats x = load_columns(row + k, inputs - k);
        largests = larger(larger(x, -x), largests);
    }
    return 127 / largest(largests);
}
#endif

// The same in 8 bits, for DEPTH inputs at a time, with a scale for each output.
static void pack_bytes(long inputs, long outputs, const float *weights, int8_t *packed,
                       float *scales, float *sums) {
    constexpr long RUN = DEPTH < WIDTH ? DEPTH : WIDTH;  // bytes that stay together
    for (long n = 0; n < outputs; n++) {
        const float *row = weights + n * inputs;
        float factor = finest(row, inputs);
        long panel = n / COLUMNS, column = n % COLUMNS;
        int8_t *to = packed + panel * up_to(inputs, DEPTH) * COLUMNS + column * DEPTH;
        Ints totals = {};
        for (long k = 0; k < inputs; k += WIDTH) {
            Floats rounded = load_columns(row + k, inputs - k) * factor + ROUNDING - ROUNDING;
            Ints integers = __builtin_convertvector(rounded, Ints);
            totals += integers;
            Bytes bytes = __builtin_convertvector(integers, Bytes);
            for (long i = 0; i < WIDTH && k + i < inputs; i += RUN)
                memcpy(to + (k + i) / DEPTH * DEPTH * COLUMNS + (k + i) % DEPTH,
                       (uint8_t *)&bytes + i, RUN);
        }
        long total = 0;
        for (int i = 0; i < WIDTH; i++) total += totals[i];
        scales[n] = 1 / factor;
        sums[n] = scales[n] * (float)total;
    }
}

// Scales and sums are of 8 bits only.
static void pack(int64_t kind, long inputs, long outputs, const float *weights, void *packed,
                 float *scales, float *sums) {
    memset(packed, 0, packed_size(kind, inputs, outputs));
    if (kind == INT8)
        pack_bytes(inputs, outputs, weights, (int8_t *)packed, scales, sums);
    else
        pack_floats(inputs, outputs, weights, (float *)packed);
}

// Each row in 8 bits, followed by zeros up to a multiple of DEPTH.
static void quantise(const float *x, long stride, long width, long rows, uint8_t *q, long q_stride,
                     Range *ranges) {
    for (long r = 0; r < rows; r++, x += stride, q += q_stride) {
        float low = x[0], high = x[0];
        long k = 0;
        if (width >= WIDTH) {
            Floats lows = load(x), highs = lows;
            for (; k + WIDTH <= width; k += WIDTH) {
                lows = smaller(load(x + k), lows);
                highs = larger(load(x + k), highs);
            }
            low = smallest(lows), high = largest(highs);
        }
        for (; k < width; k++) low = x[k] < low ? x[k] : low, high = x[k] > high ? x[k] : high;
        float step = (high - low) / 255, inverse = step > 1e-30f ? 1 / step : 0;
        for (k = 0; k + WIDTH <= width; k += WIDTH) {
            Floats level = (load(x + k) - low) * inverse + 0.5f;
            Ints integers = __builtin_convertvector(level, Ints) - MIDDLE;
            Bytes bytes = __builtin_convertvector(integers, Bytes);
            memcpy(q + k, &bytes, sizeof bytes);
        }
        for (; k < width; k++) q[k] = (uint8_t)((int)((x[k] - low) * inverse + 0.5f) - MIDDLE);
        for (; k % DEPTH; k++) q[k] = 0;
        ranges[r] = {step, low + MIDDLE * step};
    }
}

// What a product reads: rows of floats, or the same rows in 8 bits.
struct Input {
    const float *x;
    long stride;
    const uint8_t *q;
    long q_stride;
    const Range *ranges;
};

// A part of the inputs, of a size that keeps its part of a panel in the level-1 cache. What is summed
// up before the last part is in `sums`, (rows of the tile, COLUMNS).
struct Part {
    long from, to;
    bool is_last;
    void *sums;
    Ahead ahead;
};

// The sums are in an array of their own, or clang would not keep them in registers.
template <int R, class Vector, class Number, class Weight>
static inline __attribute__((always_inline)) void add_part(const Part &part, const Number *x,
                                                           long stride, const Weight *panel,
                                                           Vector (&y)[R][2]) {
    Vector *kept = (Vector *)part.sums, sums[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        sums[r][0] = part.from ? kept[2 * r] : Vector{};
        sums[r][1] = part.from ? kept[2 * r + 1] : Vector{};
    }
    tile<R>(part.to - part.from, x + part.from, stride, panel + part.from * COLUMNS, part.ahead,
            sums);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        Vector *to = part.is_last ? y[r] : kept + 2 * r;
        to[0] = sums[r][0], to[1] = sums[r][1];
    }
}

// y = activation(x W + b) for R rows and one panel.
template <int R, int A>
static void multiply_tile(const Linear &linear, long panel, const Input &input, long row,
                          const Part &part, float *y, long stride) {
    long first = panel * COLUMNS, columns = linear.outputs - first;
    Floats found[R][2], bias[2];
    if (linear.kind == INT8) {
        Ints sums[R][2];
        add_part<R>(part, input.q + row * input.q_stride, input.q_stride,
                    (const int8_t *)linear.weights + first * up_to(linear.inputs, DEPTH), sums);
        if (!part.is_last) return;
        for (int half = 0; half < 2; half++) {
            long at = first + half * WIDTH;
            bias[half] = load_columns(linear.bias + at, columns - half * WIDTH);
            Floats scale = load_columns(linear.scales + at, columns - half * WIDTH);
            Floats sum = load_columns(linear.sums + at, columns - half * WIDTH);
#pragma GCC unroll 12
            for (int r = 0; r < R; r++) {
                Range range = input.ranges[row + r];
                found[r][half] =
                    __builtin_convertvector(sums[r][half], Floats) * (scale * range.step) +
                    (sum * range.base + bias[half]);
            }
        }
    } else {
        add_part<R>(part, input.x + row * input.stride, input.stride,
                    (const float *)linear.weights + first * linear.inputs, found);
        if (!part.is_last) return;
        for (int half = 0; half < 2; half++)
            bias[half] = load_columns(linear.bias + first + half * WIDTH, columns - half * WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) found[r][0] += bias[0], found[r][1] += bias[1];
    }
    y += row * stride + first;
    for (int half = 0; half < 2; half++)
        if (columns >= COLUMNS) {
#pragma GCC unroll 12
            for (int r = 0; r < R; r++)
                store(y + r * stride + half * WIDTH, activate<A>(found[r][half]));
        } else {
            for (int r = 0; r < R; r++)
                store_columns(y + r * stride + half * WIDTH, activate<A>(found[r][half]),
                              columns - half * WIDTH);
        }
}

typedef void (*Tile)(const Linear &, long, const Input &, long, const Part &, float *, long);

template <int A, int... R>
static Tile tile_of(int rows, std::integer_sequence<int, R...>) {
    static const Tile tiles[] = {multiply_tile<R + 1, A>...};
    return tiles[rows - 1];
}

static Tile tile_for(int rows, int64_t activation) {
    auto all = std::make_integer_sequence<int, ROWS>();
    switch (activation) {
        case GELU: return tile_of<GELU>(rows, all);
        case GELU_TANH: return tile_of<GELU_TANH>(rows, all);
        case RELU: return tile_of<RELU>(rows, all);
        case SILU: return tile_of<SILU>(rows, all);
        case QUICK_GELU: return tile_of<QUICK_GELU>(rows, all);
        case TANH: return tile_of<TANH>(rows, all);
        default: return tile_of<NONE>(rows, all);
    }
}

// Rows cut into tiles of about equal height.
struct Tiles {
    long count, height, taller;  // so many have a row more

    explicit Tiles(long rows) {
        count = (rows + ROWS - 1) / ROWS;
        height = count ? rows / count : 0;
        taller = count ? rows % count : 0;
    }
    long start(long tile) const { return tile * height + (tile < taller ? tile : taller); }
    int size(long tile) const { return (int)(height + (tile < taller)); }
};

// y = activation(x W + b) for `rows` of the input, at most MOST_ROWS, and some of the panels.
static void multiply_block(const Linear &linear, const Input &input, long rows, long first,
                           long last, float *y, long stride) {
    alignas(64) float sums[MOST_ROWS * COLUMNS];
    Tiles tiles(rows);
    bool is_int8 = linear.kind == INT8;
    long inputs = is_int8 ? up_to(linear.inputs, DEPTH) : linear.inputs;
    long height = PART / (is_int8 ? COLUMNS : 4 * COLUMNS);
    if (tiles.count == 1) height = inputs;
    long size = packed_size(linear.kind, linear.inputs, COLUMNS);
    for (long panel = first; panel < last; panel++) {
        const char *next = (const char *)linear.weights + (panel + 1) * size;
        for (long from = 0; from < inputs; from += height) {
            long to = from + height < inputs ? from + height : inputs;
            long bytes = (to - from) * (size / inputs) / tiles.count;
            for (long t = 0; t < tiles.count; t++, next += bytes) {
                Part part{from, to, to == inputs, sums + tiles.start(t) * COLUMNS,
                          {next, 4 * COLUMNS / tiles.count}};
                tile_for(tiles.size(t), linear.activation)(linear, panel, input, tiles.start(t),
                                                           part, y, stride);
            }
        }
    }
}

// The same for any number of rows.
static void multiply(const Linear &linear, Input input, long rows, long first, long last, float *y,
                     long stride) {
    for (long from = 0; from < rows; from += MOST_ROWS) {
        long count = rows - from < MOST_ROWS ? rows - from : MOST_ROWS;
        multiply_block(linear, input, count, first, last, y + from * stride, stride);
        input.x += count * input.stride;
        input.q += count * input.q_stride;
        input.ranges += count;
    }
}
