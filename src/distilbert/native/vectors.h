// Vectors of floats as wide as the processor has them, in the compiler's own portable notation.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX2__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Ints __attribute__((vector_size(4 * WIDTH)));
typedef uint8_t Bytes __attribute__((vector_size(WIDTH)));

static inline Floats load(const float *from) {
    Floats x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline void store(float *to, Floats x) { memcpy(to, &x, sizeof x); }

static inline Floats splat(float x) { return x - Floats{}; }

// If one is nan, b.
static inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

// Reads and stores those numbers of a vector that there are; `columns` may be more than a vector
// has, or less than none. The others are read as 0.
static inline Floats load_columns(const float *from, long columns) {
    if (columns >= WIDTH) return load(from);
    float all[WIDTH] = {};
    if (columns > 0) memcpy(all, from, 4 * columns);
    return load(all);
}

static inline void store_columns(float *to, Floats y, long columns) {
    if (columns >= WIDTH) return store(to, y);
    if (columns > 0) memcpy(to, &y, 4 * columns);
}

// 0, 1, 2, … in the lanes.
static inline Ints lanes() {
    static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Ints x;
    memcpy(&x, numbers, sizeof x);
    return x;
}

#if defined(__AVX512F__)
static inline float sum(Floats x) { return _mm512_reduce_add_ps((__m512)x); }
static inline float smallest(Floats x) { return _mm512_reduce_min_ps((__m512)x); }
static inline float largest(Floats x) { return _mm512_reduce_max_ps((__m512)x); }
#else
static inline float sum(Floats x) {
    float all[WIDTH];
    store(all, x);
    for (int half = WIDTH / 2; half; half /= 2)
        for (int i = 0; i < half; i++) all[i] += all[i + half];
    return all[0];
}

static inline float smallest(Floats x) {
    float found = x[0];
    for (int i = 1; i < WIDTH; i++) found = x[i] < found ? x[i] : found;
    return found;
}

static inline float largest(Floats x) { return -smallest(-x); }
#endif

// Horner's scheme; the coefficients ascend.
template <int N>
static inline Floats polynomial(Floats x, const float (&coefficients)[N]) {
    Floats y = splat(coefficients[N - 1]);
    for (int i = N - 2; i >= 0; i--) y = y * x + coefficients[i];
    return y;
}

// Added to it, a number below 2^22 is rounded to an integer, which is then in the lowest bits.
constexpr float ROUNDING = 12582912.0f;

// e^x, relative error 1e-7; below -87 it stays at 1e-38, above 88 at 2e38.
static inline Floats exponential(Floats x) {
    // scripts/fit_functions.py
    static const float powers[] = {1.0f,          1.0f,           0.5f,           0.16666415f,
                                   0.041666217f, 0.0083751371f, 0.0013948593f};
    x = larger(splat(-87.0f), smaller(splat(88.0f), x));
    Floats shifted = x * 1.44269504f + ROUNDING;
    Floats n = shifted - ROUNDING;
    Floats rest = x - n * 0.693145752f;  // log 2 in two parts
    rest = rest - n * 1.42860677e-6f;
    Ints exponent = (Ints)shifted << 23;
    return (Floats)((Ints)polynomial(rest, powers) + exponent);
}

static inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

// x Phi(x) = max(x, 0) - f(|x|), where f is a polynomial in |x| scaled to [-1, 1]; error 2e-7.
static inline Floats gelu(Floats x) {
    // scripts/fit_functions.py
    static const float powers[] = {
        0.0081943702f, -0.060577981f, 0.19126338f,  -0.30868089f,  0.17894758f,  0.26041827f,
        -0.6283229f,   0.45969734f,   0.15138386f,  -0.5452764f,   0.27221251f,  0.23240207f,
        -0.25690621f,  -0.037460409f, 0.09892437f,  -0.00052204734f, -0.01569692f};
    const float reach = 5.5f;
    Floats magnitude = smaller(larger(x, -x), splat(reach));
    Floats tail = polynomial(magnitude * (2 / reach) - 1.0f, powers);
    return larger(Floats{}, x) - tail;  // in this order nan stays nan
}

enum Activation { NONE, GELU, GELU_TANH, RELU, SILU, QUICK_GELU, TANH };

template <int A>
static inline Floats activate(Floats x) {
    if (A == GELU) return gelu(x);
    if (A == GELU_TANH) return x * sigmoid(1.5957691f * (x + 0.044715f * x * x * x));
    if (A == RELU) return larger(Floats{}, x);
    if (A == SILU) return x * sigmoid(x);
    if (A == QUICK_GELU) return x * sigmoid(1.702f * x);
    if (A == TANH) {
        Floats y = 2.0f * sigmoid(2.0f * x) - 1.0f;
        return x == x ? y : x;  // the exponential makes a number of some nans, which only x shows
    }
    return x;
}
