// Some rows times a panel of columns, summed up in registers: what the processor is best at.
#pragma once

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

// Without VNNI, x86 multiplies bytes and adds up pairs of products in 16 bits. Four are added up there
// before they become 32 bits, which is the slower part; `finest` sees to it that they fit.
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
#define ADDS_IN_16_BITS
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

#if defined(ADDS_IN_16_BITS)
// sums + four products of bytes in a and b + four in c and d.
static inline Ints add_products(Ints sums, Ints a, Ints b, Ints c, Ints d) {
#if defined(__AVX512BW__)
    __m512i pairs = _mm512_add_epi16(_mm512_maddubs_epi16((__m512i)a, (__m512i)b),
                                     _mm512_maddubs_epi16((__m512i)c, (__m512i)d));
    return sums + (Ints)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#else
    __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16((__m256i)a, (__m256i)b),
                                     _mm256_maddubs_epi16((__m256i)c, (__m256i)d));
    return sums + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}
#endif

// What will be read next is fetched meanwhile: `from`, and `pace` bytes further with every step.
struct Ahead {
    const char *from;
    long pace;
};

// The same input of the next row. With 12 rows it is an addition that the compiler has to do there: the
// addresses of all would need more registers than there are: 5 to 8 % of the time (docs/log.md).
template <class Number>
static inline const Number *next_row(const Number *row, long stride) {
    row += stride;
#if defined(__AVX512F__)
    __asm__("" : "+r"(row));
#endif
    return row;
}

#if defined(__aarch64__)
// y += the products of one lane of each row with a panel's next columns. Multiplying by a lane takes
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

// y += rows from x on times a panel, for as many inputs as are a multiple of those in a vector; returns
// how many. The sums are in an array of their own, or the compiler would not keep them in registers.
template <int R, class Vector, class Number>
static inline __attribute__((always_inline)) long add_vectors(long inputs, const Number *x,
                                                              long stride, const void *panel,
                                                              Ahead ahead, Vector (&y)[R][2]) {
    constexpr long STEP = sizeof(Vector) / sizeof(Number);
    Vector sums[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) sums[r][0] = y[r][0], sums[r][1] = y[r][1];
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

// y += R rows times one panel of float32.
template <int R>
static inline __attribute__((always_inline)) void tile(long inputs, const float *x, long stride,
                                                       const float *panel, Ahead ahead,
                                                       Floats (&y)[R][2]) {
    long k = 0;
#if defined(__aarch64__)
    k = add_vectors(inputs, x, stride, panel, ahead, y);
    panel += k * COLUMNS;
#endif
    for (; k < inputs; k++, panel += COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += ahead.pace;
        Floats left = load(panel), right = load(panel + WIDTH);
        const float *row = x + k;
#pragma GCC unroll 12
        for (int r = 0; r < R; r++, row = next_row(row, stride)) {
            Floats value = splat(*row);
            y[r][0] += value * left;
            y[r][1] += value * right;
        }
    }
}

// The same in 8 bits; the sums are integers.
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
            y[r][half] += (Ints)(r % 2 ? vzip2q_s64(left, right) : vzip1q_s64(left, right));
        }
}
#else
template <int R>
static inline __attribute__((always_inline)) void tile(long inputs, const uint8_t *x, long stride,
                                                       const int8_t *panel, Ahead ahead,
                                                       Ints (&y)[R][2]) {
    long k = 0;
#if defined(__ARM_FEATURE_DOTPROD)
    k = add_vectors(inputs, x, stride, panel, ahead, y);
    panel += k * COLUMNS;
#elif defined(ADDS_IN_16_BITS)
    for (; k + 8 <= inputs; k += 8, panel += 8 * COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += 2 * ahead.pace;
        const Ints *columns = (const Ints *)panel;
        const uint8_t *row = x + k;
#pragma GCC unroll 12
        for (int r = 0; r < R; r++, row = next_row(row, stride)) {
            int32_t first, second;
            memcpy(&first, row, 4);
            memcpy(&second, row + 4, 4);
            Ints a = first - Ints{}, b = second - Ints{};
            y[r][0] = add_products(y[r][0], a, columns[0], b, columns[2]);
            y[r][1] = add_products(y[r][1], a, columns[1], b, columns[3]);
        }
    }
#endif
    for (; k < inputs; k += 4, panel += 4 * COLUMNS) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += ahead.pace;
        Ints left, right;
        memcpy(&left, panel, sizeof left);
        memcpy(&right, panel + 4 * WIDTH, sizeof right);
        const uint8_t *row = x + k;
#pragma GCC unroll 12
        for (int r = 0; r < R; r++, row = next_row(row, stride)) {
            int32_t four;
            memcpy(&four, row, 4);
            Ints value = four - Ints{};
            y[r][0] = add_products(y[r][0], value, left);
            y[r][1] = add_products(y[r][1], value, right);
        }
    }
}
#endif
