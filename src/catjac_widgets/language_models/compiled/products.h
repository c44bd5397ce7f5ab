/* Dense layers: eight-bit products of differences by tiles of six rows and 64 outputs, or float32 ones.
 *
 * Weights lie in panels of up to 64 outputs: [panel][input / 4][output][4]. Inputs are stored with 128 added,
 * because the instruction multiplies unsigned by signed bytes; `offset`, 128 times the sum of a weight's row,
 * takes that away again.
 */

#pragma once

#include "vectors.h"

enum { ROWS = 6, MOST_VECTORS = 4 };
enum { TURN, ADD, GELU, GELU_DIFFERENCE };

typedef struct {
    int64_t inputs, outputs, in_float32;
    const float *weight; /* (outputs, inputs), where in_float32 */
    const int8_t *packed;
    const int32_t *offset; /* (outputs) */
    const float *scale;    /* (outputs) */
    const float *input;    /* the wild type's, (tokens, inputs) */
    const float *output;   /* the wild type's, (tokens, outputs) */
} Dense;

/* Rows of a dense layer. What goes in and comes out lies by row, or by place in `order`. */
typedef struct {
    const Dense *dense;
    int64_t group, count;
    const int32_t *order;    /* which row each is */
    const uint8_t *coarse;   /* the difference in eight bits */
    const uint8_t *fine;     /* by place: eight bits more; or NULL */
    const float *difference; /* for layers in float32 */
    const float *scale;      /* by row: the largest difference */
    float *out;
    int in_by_place, out_by_place;
    const float *activated; /* GELU of the wild type's outputs, (tokens, outputs) */
    const float *cosine, *sine;
} Product;

INLINE int64_t in_at(const Product *p, int64_t place) { return p->in_by_place ? place : p->order[place]; }

INLINE float *out_at(const Product *p, int64_t place, int64_t output) {
    return p->out + (p->out_by_place ? place : p->order[place]) * p->dense->outputs + output;
}

/* What is done with sixteen outputs of one row. */
INLINE void finish(const Product *p, int kind, __m512 value, int64_t place, int64_t token, int64_t output) {
    float *out = out_at(p, place, output);
    int64_t channels = p->dense->inputs;
    if (kind == TURN && p->cosine && output < 2 * channels) {
        /* Queries and keys: channels 2k and 2k + 1 are turned together. */
        int64_t at = token * channels + (output < channels ? output : output - channels);
        __m512 other = _mm512_mul_ps(_mm512_permute_ps(value, 0xb1), _mm512_loadu_ps(p->sine + at));
        value = _mm512_fmadd_ps(value, _mm512_loadu_ps(p->cosine + at), other);
    }
    if (kind == ADD) value = _mm512_add_ps(value, _mm512_loadu_ps(out));
    if (kind == GELU || kind == GELU_DIFFERENCE) value = gelu(value);
    if (kind == GELU_DIFFERENCE)
        value = _mm512_sub_ps(value, _mm512_loadu_ps(p->activated + token * p->dense->outputs + output));
    _mm512_storeu_ps(out, value);
}

/* Add products of unsigned bytes with signed ones, by fours. Not the intrinsic: gcc 12 moves the sum about.
 */
INLINE void add_products(__m512i *sum, __m512i bytes, __m512i weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(bytes), "v"(weights));
}

/* Sums of six rows by up to 64 outputs, (ROWS, 64). */
INLINE void tile(const uint8_t *const *input, int64_t inputs, const int8_t *panel, int32_t *found,
                 int vectors) {
    __m512i sum[ROWS][MOST_VECTORS];
    EACH (i, ROWS)
        EACH (v, vectors) sum[i][v] = _mm512_setzero_si512();
    for (int64_t c = 0; c < inputs; c += 4, panel += vectors * 64) {
        __m512i weight[MOST_VECTORS];
        EACH (v, vectors) weight[v] = _mm512_loadu_si512(panel + 64 * v);
        EACH (i, ROWS) {
            int32_t four;
            memcpy(&four, input[i] + c, 4);
            __m512i all = _mm512_set1_epi32(four);
            EACH (v, vectors) add_products(&sum[i][v], all, weight[v]);
        }
    }
    EACH (i, ROWS)
        EACH (v, vectors) _mm512_store_si512(found + i * 64 + v * LANES, sum[i][v]);
}

/* Outputs [output, output + 16 vectors) of up to six rows, or three of two terms, from the place `at` on. */
INLINE void finish_tile(const Product *p, int kind, int pairs, int vectors, int64_t at, int64_t output,
                        const int32_t *sums) {
    const Dense *dense = p->dense;
    for (int i = 0; i < ROWS && at < p->count; i += 1 + pairs, at++, sums += 64 * (1 + pairs)) {
        int64_t row = p->order[at], token = row / p->group;
        __m512 step = _mm512_set1_ps(p->scale[row] / 127);
        for (int v = 0; v < vectors; v++) {
            int64_t o = output + v * LANES;
            __m512i offset = _mm512_loadu_si512(dense->offset + o);
            __m512i sum = _mm512_load_si512(sums + v * LANES);
            __m512 product = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
            if (pairs) {
                sum = _mm512_load_si512(sums + 64 + v * LANES);
                __m512 finer = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
                product = _mm512_fmadd_ps(finer, _mm512_set1_ps(1.0f / 254), product);
            }
            product = _mm512_mul_ps(product, _mm512_loadu_ps(dense->scale + o));
            __m512 base = _mm512_loadu_ps(dense->output + token * dense->outputs + o);
            finish(p, kind, _mm512_fmadd_ps(product, step, base), at, token, o);
        }
    }
}

INLINE void panels(const Product *p, int kind, int pairs) {
    const Dense *dense = p->dense;
    _Alignas(64) int32_t sums[ROWS * 64];
    for (int64_t output = 0; output < dense->outputs; output += 64) {
        const int8_t *panel = dense->packed + output * dense->inputs;
        int64_t left = (dense->outputs - output) / LANES;
        int vectors = left < MOST_VECTORS ? (int)left : MOST_VECTORS;
        for (int64_t at = 0; at < p->count; at += pairs ? ROWS / 2 : ROWS) {
            const uint8_t *input[ROWS];
            for (int i = 0; i < ROWS; i++) {
                /* At the end the last row is taken again. */
                int64_t place = at + (pairs ? i / 2 : i);
                if (place >= p->count) place = p->count - 1;
                input[i] = pairs && i % 2 ? p->fine + place * dense->inputs
                                          : p->coarse + in_at(p, place) * dense->inputs;
            }
            if (vectors == 4) tile(input, dense->inputs, panel, sums, 4);
            else if (vectors == 3) tile(input, dense->inputs, panel, sums, 3);
            else if (vectors == 2) tile(input, dense->inputs, panel, sums, 2);
            else tile(input, dense->inputs, panel, sums, 1);
            finish_tile(p, kind, pairs, vectors, at, output, sums);
        }
    }
}

/* Dot products of one row with four rows of a matrix. */
INLINE void four_dots(const float *x, const float *matrix, int64_t inputs, float *found) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int64_t c = 0; c < inputs; c += LANES) {
        __m512 value = _mm512_loadu_ps(x + c);
        for (int k = 0; k < 4; k++)
            sum[k] = _mm512_fmadd_ps(value, _mm512_loadu_ps(matrix + k * inputs + c), sum[k]);
    }
    for (int k = 0; k < 4; k++) found[k] = _mm512_reduce_add_ps(sum[k]);
}

/* The same layer in float32, for those whose differences eight bits cannot tell apart. */
INLINE void in_float32(const Product *p, int kind) {
    const Dense *dense = p->dense;
    for (int64_t output = 0; output < dense->outputs; output += LANES)
        for (int64_t at = 0; at < p->count; at++) {
            int64_t row = p->order[at], token = row / p->group;
            float found[LANES];
            for (int k = 0; k < LANES; k += 4)
                four_dots(p->difference + in_at(p, at) * dense->inputs,
                          dense->weight + (output + k) * dense->inputs, dense->inputs, found + k);
            __m512 base = _mm512_loadu_ps(dense->output + token * dense->outputs + output);
            finish(p, kind, _mm512_add_ps(_mm512_loadu_ps(found), base), at, token, output);
        }
}

static void multiply(const Product *p, int kind) {
    if (!p->count) return;
#define WITH(KIND)                                                                                           \
    case KIND:                                                                                               \
        if (p->dense->in_float32) in_float32(p, KIND);                                                       \
        else if (p->fine) panels(p, KIND, 1);                                                                \
        else panels(p, KIND, 0);                                                                             \
        break;
    switch (kind) {
        WITH(TURN)
        WITH(ADD)
        WITH(GELU)
        WITH(GELU_DIFFERENCE)
    }
#undef WITH
}
