// Dropout of attention weights that needs no memory: what is dropped follows from where it is.
#pragma once

#include "vectors.h"

typedef uint32_t Words __attribute__((vector_size(4 * WIDTH)));

// Each weight gets a number from 0 to 2^32 - 1, a hash of its place and the seed, and is dropped if
// that is below `least`; the others are multiplied by `scale`.
struct Dropout {
    uint64_t seed;
    uint32_t least;
    float scale;

    // A hash of 64 bits (splitmix64) for a row of weights.
    uint64_t row(long number) const {
        uint64_t x = seed + (uint64_t)(number + 1) * 0x9e3779b97f4a7c15ull;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ x >> 27) * 0x94d049bb133111ebull;
        return x ^ x >> 31;
    }

    // Factors of WIDTH weights of a row, from column k on: 0 or scale. The mixing of 32 bits is that
    // of MurmurHash3, once more between the two halves of the row's hash.
    Floats factors(uint64_t row, long k) const {
        Words x = ((Words)lanes() + (uint32_t)k) * 0x9e3779b1u + (uint32_t)row;
        x = (x ^ x >> 16) * 0x85ebca6bu;
        x = (x ^ x >> 13) + (uint32_t)(row >> 32);
        x = x * 0xc2b2ae35u;
        x = x ^ x >> 16;
        return x >= least ? splat(scale) : Floats{};
    }

    void drop(float *weights, long length, long number) const {
        uint64_t hash = row(number);
        for (long k = 0; k < length; k += WIDTH)
            store(weights + k, load(weights + k) * factors(hash, k));
    }
};
