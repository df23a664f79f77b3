// What comes before the blocks and after them: embeddings, and padding put back.
#pragma once

#include "slice.h"

// Rows of float32, or of bytes q followed by two float32: row = lowest + step * q.
struct Table {
    const void *rows;
    int64_t count, is_int8;
};

struct Embedding {
    Table words;
    const float *positions, *types;  // there may be no types
    int64_t position_count, type_count, width;
    Norm norm;
};

// For each token its row numbers; without those of types all have the first.
struct Lookup {
    const Embedding *embedding;
    const int64_t *words, *positions, *types;
    int64_t tokens;
    float *y;  // (tokens, width)
    int64_t threads;

    static bool within(const int64_t *numbers, long count, long limit) {
        bool all = true;
        for (long i = 0; i < count; i++) all &= numbers[i] >= 0 && numbers[i] < limit;
        return all;
    }
    bool exists() const {
        return within(words, tokens, embedding->words.count) &&
               within(positions, tokens, embedding->position_count) &&
               (!types || within(types, tokens, embedding->type_count));
    }
};

static void look_up_word(const Table &table, long number, long width, float *y) {
    if (!table.is_int8) {
        memcpy(y, (const float *)table.rows + number * width, width * sizeof(float));
        return;
    }
    const uint8_t *q = (const uint8_t *)table.rows + number * (width + 8);
    float step, lowest;
    memcpy(&step, q + width, 4);
    memcpy(&lowest, q + width + 4, 4);
    long k = 0;
    for (; k + WIDTH <= width; k += WIDTH) {
        Bytes bytes;
        memcpy(&bytes, q + k, sizeof bytes);
        store(y + k, __builtin_convertvector(bytes, Floats) * step + lowest);
    }
    for (; k < width; k++) y[k] = q[k] * step + lowest;
}

static inline void add_row(const float *row, long width, float *y) {
    for (long k = 0; k < width; k++) y[k] += row[k];
}

// y = norm(word + position + type) for some tokens; `row` is memory for one.
static void look_up(const Lookup &call, Span span, float *row) {
    const Embedding &e = *call.embedding;
    for (long i = span.from; i < span.to; i++) {
        look_up_word(e.words, call.words[i], e.width, row);
        if (e.types) add_row(e.types + (call.types ? call.types[i] : 0) * e.width, e.width, row);
        float *y = call.y + i * e.width;
        memcpy(y, e.positions + call.positions[i] * e.width, e.width * sizeof(float));
        normalise(e.norm, row, y, e.width);
    }
}

// Rows of a batch: those of the tokens at their places, the others filled.
struct Padding {
    const float *x;           // (tokens, width)
    const int64_t *places;    // (tokens,)
    int64_t tokens, width, rows;
    float fill;
    float *y;                 // (rows, width)
    int64_t threads;
};

static void pad(const Padding &call, const int32_t *token_of, Span span) {
    for (long r = span.from; r < span.to; r++) {
        float *y = call.y + r * call.width;
        if (token_of[r] >= 0)
            memcpy(y, call.x + token_of[r] * call.width, call.width * sizeof(float));
        else
            for (long k = 0; k < call.width; k++) y[k] = call.fill;
    }
}
