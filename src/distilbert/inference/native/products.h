// Linear layers: weights in panels of a few columns, rows in tiles that fit the registers.
//
// A row's result does not depend on the rows beside it nor on how work is shared out: each of its
// numbers is summed up in the order of the inputs.
#pragma once

#include <utility>

#include "vectors.h"

// Rows of a tile and columns of a panel. With 32 registers 12 x 2 vectors are accumulated, else 6 x 2;
// on Arm 8 x 2, because there the rows need registers too.
#if defined(__AVX512F__)
constexpr int ROWS = 12;
#elif defined(__aarch64__)
constexpr int ROWS = 8;
#else
constexpr int ROWS = 6;
#endif
constexpr long COLUMNS = 2 * WIDTH;

// 8-bit products need to add up four at a time without overflow: with VNNI they do; without, sums of
// two in 16 bits do if weights have 7 bits. On Arm both factors are signed, and that is enough.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__aarch64__)
constexpr int LARGEST_WEIGHT = 127;
#else
constexpr int LARGEST_WEIGHT = 63;
#endif

// What is taken off a row's bytes, which are from 0 to 255, so that they are signed where they must be.
#if defined(__aarch64__)
constexpr int MIDDLE = 128;
#else
constexpr int MIDDLE = 0;
#endif

// Inputs whose 8-bit products are added up by one instruction.
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int DEPTH = 8;
#else
constexpr int DEPTH = 4;
#endif

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

// (outputs, inputs) -> panels: for each input, or DEPTH of them in 8 bits, those of all columns.
static void pack(int64_t kind, long inputs, long outputs, const float *weights, void *packed,
                 float *scales, float *sums) {
    memset(packed, 0, packed_size(kind, inputs, outputs));
    for (long n = 0; n < outputs; n++) {
        const float *row = weights + n * inputs;
        long panel = n / COLUMNS, column = n % COLUMNS;
        if (kind == FLOAT32) {
            float *to = (float *)packed + panel * COLUMNS * inputs + column;
            for (long k = 0; k < inputs; k++) to[k * COLUMNS] = row[k];
            continue;
        }
        float most = 1e-30f;
        for (long k = 0; k < inputs; k++) most = __builtin_fmaxf(most, __builtin_fabsf(row[k]));
        int8_t *to = (int8_t *)packed + (panel * up_to(inputs, DEPTH) * COLUMNS + column * DEPTH);
        long total = 0;
        for (long k = 0; k < inputs; k++) {
            int integer = (int)__builtin_rintf(row[k] * (LARGEST_WEIGHT / most));
            to[k / DEPTH * DEPTH * COLUMNS + k % DEPTH] = (int8_t)integer;
            total += integer;
        }
        scales[n] = most / LARGEST_WEIGHT;
        sums[n] = scales[n] * (float)total;
    }
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

// sums + four products of bytes in a and b, lane by lane.
static inline Ints add_products(Ints sums, Ints a, Ints b) {
#if defined(__AVX512VNNI__)
    return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
    __m512i pairs = _mm512_maddubs_epi16((__m512i)a, (__m512i)b);
    return sums + (Ints)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVXVNNI__)
    return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)a, (__m256i)b);
#elif defined(__AVX2__)
    __m256i pairs = _mm256_maddubs_epi16((__m256i)a, (__m256i)b);
    return sums + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__ARM_FEATURE_DOTPROD)
    return (Ints)vdotq_s32((int32x4_t)sums, (int8x16_t)a, (int8x16_t)b);
#elif defined(__aarch64__)
    int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)a), vget_low_s8((int8x16_t)b));
    int16x8_t high = vmull_high_s8((int8x16_t)a, (int8x16_t)b);
    return (Ints)vpadalq_s16((int32x4_t)sums, vpaddq_s16(low, high));
#else
    for (int i = 0; i < 4; i++)
        sums += ((Ints)((uint32_t __attribute__((vector_size(4 * WIDTH))))a >> (8 * i)) & 255) *
                (b << (24 - 8 * i) >> 24);
    return sums;
#endif
}

// What will be read next is fetched meanwhile: `from`, and `pace` bytes further with every step.
struct Ahead {
    const char *from;
    long pace;
};

#if defined(__aarch64__)
// y + the products of one lane of each row with a panel's next columns. Multiplying by a lane takes
// a load for four inputs of a row instead of four.
template <int LANE>
static inline Floats add_lane(Floats sums, Floats row, Floats columns) {
    return (Floats)vfmaq_laneq_f32((float32x4_t)sums, (float32x4_t)columns, (float32x4_t)row, LANE);
}

#if defined(__ARM_FEATURE_DOTPROD)
template <int LANE>
static inline Ints add_lane(Ints sums, Ints row, Ints columns) {
    return (Ints)vdotq_laneq_s32((int32x4_t)sums, (int8x16_t)columns, (int8x16_t)row, LANE);
}
#endif

template <int LANE, int R, class Vector>
static inline __attribute__((always_inline)) void add_lanes(const Vector (&rows)[R],
                                                            const void *panel, Vector (&y)[R][2]) {
    Vector left, right;
    memcpy(&left, (const Vector *)panel + 2 * LANE, sizeof left);
    memcpy(&right, (const Vector *)panel + 2 * LANE + 1, sizeof right);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        y[r][0] = add_lane<LANE>(y[r][0], rows[r], left);
        y[r][1] = add_lane<LANE>(y[r][1], rows[r], right);
    }
}

// y = rows from x on times a panel, for as many inputs as are a multiple of those in a vector; returns
// how many. The sums are in an array of their own, or the compiler would not keep them in registers.
template <int R, class Vector, class Number>
static inline __attribute__((always_inline)) long add_vectors(long inputs, const Number *x,
                                                              long stride, const void *panel,
                                                              Ahead ahead, Vector (&y)[R][2]) {
    constexpr long STEP = sizeof(Vector) / sizeof(Number);
    Vector sums[R][2] = {};
    long k = 0;
    for (; k + STEP <= inputs; k += STEP, panel = (const Vector *)panel + 8) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += 4 * ahead.pace;
        Vector rows[R];
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) memcpy(&rows[r], x + r * stride + k, sizeof rows[r]);
        add_lanes<0>(rows, panel, sums);
        add_lanes<1>(rows, panel, sums);
        add_lanes<2>(rows, panel, sums);
        add_lanes<3>(rows, panel, sums);
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) y[r][0] = sums[r][0], y[r][1] = sums[r][1];
    return k;
}
#endif

// R rows times one panel of float32.
template <int R>
static inline __attribute__((always_inline)) void tile(long inputs, const float *x, long stride,
                                                       const float *panel, Ahead ahead,
                                                       Floats (&y)[R][2]) {
    for (int r = 0; r < R; r++) y[r][0] = y[r][1] = Floats{};
    long k = 0;
#if defined(__aarch64__)
    k = add_vectors(inputs, x, stride, panel, ahead, y);
    panel += k * COLUMNS;
#endif
    for (; k < inputs; k++, panel += COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += ahead.pace;
        Floats left = load(panel), right = load(panel + WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            Floats value = splat(x[r * stride + k]);
            y[r][0] += value * left;
            y[r][1] += value * right;
        }
    }
}

// The same in 8 bits; the result is in integers.
#if defined(__ARM_FEATURE_MATMUL_INT8)
// One instruction multiplies two rows by two columns: a vector has two sums of one row, then two of
// the next.
template <int R>
static inline __attribute__((always_inline)) void tile(long inputs, const uint8_t *x, long stride,
                                                       const int8_t *panel, Ahead ahead,
                                                       Ints (&y)[R][2]) {
    constexpr int PAIRS = (R + 1) / 2;
    int32x4_t sums[PAIRS][4] = {};
    for (long k = 0; k < inputs; k += 8, panel += 8 * COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += 2 * ahead.pace;
        int8x16_t columns[4];
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) columns[c] = vld1q_s8(panel + 16 * c);
#pragma GCC unroll 12
        for (int p = 0; p < PAIRS; p++) {
            const int8_t *row = (const int8_t *)x + 2 * p * stride + k;
            // The last of an odd number of rows is multiplied twice.
            int8x16_t rows = vcombine_s8(vld1_s8(row), vld1_s8(2 * p + 1 < R ? row + stride : row));
#pragma GCC unroll 4
            for (int c = 0; c < 4; c++) sums[p][c] = vmmlaq_s32(sums[p][c], rows, columns[c]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            int64x2_t left = (int64x2_t)sums[r / 2][2 * half];
            int64x2_t right = (int64x2_t)sums[r / 2][2 * half + 1];
            y[r][half] = (Ints)(r % 2 ? vzip2q_s64(left, right) : vzip1q_s64(left, right));
        }
}
#else
template <int R>
static inline __attribute__((always_inline)) void tile(long inputs, const uint8_t *x, long stride,
                                                       const int8_t *panel, Ahead ahead,
                                                       Ints (&y)[R][2]) {
    for (int r = 0; r < R; r++) y[r][0] = y[r][1] = Ints{};
    long k = 0;
#if defined(__ARM_FEATURE_DOTPROD)
    k = add_vectors(inputs, x, stride, panel, ahead, y);
    panel += k * COLUMNS;
#endif
    for (; k < inputs; k += 4, panel += 4 * COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += ahead.pace;
        Ints left, right;
        memcpy(&left, panel, sizeof left);
        memcpy(&right, panel + 4 * WIDTH, sizeof right);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, x + r * stride + k, 4);
            Ints value = four - Ints{};
            y[r][0] = add_products(y[r][0], value, left);
            y[r][1] = add_products(y[r][1], value, right);
        }
    }
}
#endif

// What a product reads: rows of floats, or the same rows in 8 bits.
struct Input {
    const float *x;
    long stride;
    const uint8_t *q;
    long q_stride;
    const Range *ranges;
};

template <int A>
static inline void finish(Floats y, float *to, long columns) {
    y = activate<A>(y);
    if (columns >= WIDTH)
        store(to, y);
    else if (columns > 0)
        store_some(to, y, columns);
}

// Bias, activation and, for 8 bits, scales of one panel.
struct Panel {
    long first, columns;  // of the outputs
    Floats bias[2], scales[2], sums[2];

    Panel(const Linear &linear, long panel) : first(panel * COLUMNS) {
        columns = linear.outputs - first < COLUMNS ? linear.outputs - first : COLUMNS;
        for (int half = 0; half < 2; half++) {
            long at = first + half * WIDTH, count = linear.outputs - at;
            count = count < 0 ? 0 : count > WIDTH ? WIDTH : count;
            bias[half] = load_some(linear.bias + at, count);
            if (linear.kind != INT8) continue;
            scales[half] = load_some(linear.scales + at, count);
            sums[half] = load_some(linear.sums + at, count);
        }
    }
};

template <int R, int A>
static void multiply_tile(const Linear &linear, const Panel &panel, const Input &input, long row,
                          Ahead ahead, float *y, long stride) {
    y += row * stride + panel.first;
    if (linear.kind == INT8) {
        Ints sums[R][2];
        long inputs = up_to(linear.inputs, DEPTH);
        tile<R>(inputs, input.q + row * input.q_stride, input.q_stride,
                (const int8_t *)linear.weights + panel.first * inputs, ahead, sums);
        for (int r = 0; r < R; r++)
            for (int half = 0; half < 2; half++) {
                Range range = input.ranges[row + r];
                Floats value = __builtin_convertvector(sums[r][half], Floats) *
                                   (panel.scales[half] * range.step) +
                               (panel.sums[half] * range.base + panel.bias[half]);
                finish<A>(value, y + r * stride + half * WIDTH, panel.columns - half * WIDTH);
            }
    } else {
        Floats sums[R][2];
        tile<R>(linear.inputs, input.x + row * input.stride, input.stride,
                (const float *)linear.weights + panel.first * linear.inputs, ahead, sums);
        for (int r = 0; r < R; r++)
            for (int half = 0; half < 2; half++)
                finish<A>(sums[r][half] + panel.bias[half], y + r * stride + half * WIDTH,
                          panel.columns - half * WIDTH);
    }
}

typedef void (*Tile)(const Linear &, const Panel &, const Input &, long, Ahead, float *, long);

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

// y = activation(x W + b) for `rows` of the input and the panels from first to last.
static void multiply(const Linear &linear, const Input &input, long rows, long first, long last,
                     float *y, long stride) {
    Tiles tiles(rows);
    if (!tiles.count) return;
    long size = packed_size(linear.kind, linear.inputs, COLUMNS);
    Ahead ahead{(const char *)linear.weights + (first + 1) * size, 4 * COLUMNS / tiles.count};
    for (long p = first; p < last; p++) {
        Panel panel(linear, p);
        for (long t = 0; t < tiles.count; t++) {
            Ahead part{ahead.from + t * (size / tiles.count), ahead.pace};
            tile_for(tiles.size(t), linear.activation)(linear, panel, input, tiles.start(t), part,
                                                       y, stride);
        }
        ahead.from += size;
    }
}
