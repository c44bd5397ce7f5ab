/* Dense layers by tiles of six rows and 64 outputs, in float32.
 *
 * Weights lie in panels of up to 64 outputs: [panel][input][output].
 */

#pragma once

#include "vectors.h"

enum { ROWS = 6, MOST_VECTORS = 4 };
enum { TURN, ADD, GELU, GELU_DIFFERENCE };

typedef struct {
    int64_t inputs, outputs, in_float32;
    const float *weight; /* panels, where in_float32 */
    const int8_t *packed;
    const int32_t *offset;  /* (outputs) */
    const float *scale;     /* (outputs) */
    const float *input;     /* the wild type's, (tokens, inputs); or NULL */
    const float *output;    /* what is added: the wild type's, (tokens, outputs), or the bias, (outputs) */
    int64_t output_stride;  /* from one token's to the next's; 0 for a bias */
    double quiet;           /* rows that differ less from the wild type's are taken for it */
} Dense;

/* Rows of a dense layer. What goes in and comes out lies by row, or by place in `order`. */
typedef struct {
    const Dense *dense;
    int64_t group, count;
    const int32_t *order;  /* which row each is */
    const float *in;       /* for layers in float32: the input, or its difference */
    const uint8_t *steps; /* the difference in eight bits */
    const uint8_t *finer;   /* by place: eight bits more; or NULL */
    const float *scale;    /* by row: the largest difference */
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

/* Sums of six rows by up to 64 outputs, (ROWS, 64). */
INLINE void float_tile(const float *const *given, int64_t inputs, const float *panel, float *found,
                       int vectors) {
    const float *input[ROWS];
    EACH (i, ROWS) input[i] = given[i];
    __m512 sum[ROWS][MOST_VECTORS];
    EACH (i, ROWS)
        EACH (v, vectors) sum[i][v] = _mm512_setzero_ps();
    for (int64_t c = 0; c < inputs; c++, panel += vectors * LANES) {
        __m512 weight[MOST_VECTORS];
        EACH (v, vectors) weight[v] = _mm512_loadu_ps(panel + v * LANES);
        EACH (i, ROWS) {
            __m512 all = _mm512_set1_ps(input[i][c]);
            EACH (v, vectors) sum[i][v] = _mm512_fmadd_ps(all, weight[v], sum[i][v]);
        }
    }
    EACH (i, ROWS)
        EACH (v, vectors) _mm512_store_ps(found + i * 64 + v * LANES, sum[i][v]);
}

/* Apart, so that gcc finds a register for every sum. */
static __attribute__((noinline)) void widest_float_tile(const float *const *input, int64_t inputs,
                                                        const float *panel, float *found) {
    float_tile(input, inputs, panel, found, MOST_VECTORS);
}

/* One dense layer. */
INLINE void float_panels(const Product *p, int kind) {
    const Dense *dense = p->dense;
    _Alignas(64) float sums[ROWS * 64];
    for (int64_t output = 0; output < dense->outputs; output += 64) {
        const float *panel = dense->weight + output * dense->inputs;
        int64_t left = (dense->outputs - output) / LANES;
        int vectors = left < MOST_VECTORS ? (int)left : MOST_VECTORS;
        for (int64_t at = 0; at < p->count; at += ROWS) {
            const float *input[ROWS];
            for (int i = 0; i < ROWS; i++) {
                int64_t place = at + i < p->count ? at + i : p->count - 1;
                input[i] = p->in + in_at(p, place) * dense->inputs;
            }
            if (vectors == 4) widest_float_tile(input, dense->inputs, panel, sums);
            else if (vectors == 3) float_tile(input, dense->inputs, panel, sums, 3);
            else if (vectors == 2) float_tile(input, dense->inputs, panel, sums, 2);
            else float_tile(input, dense->inputs, panel, sums, 1);
            for (int i = 0; i < ROWS && at + i < p->count; i++) {
                int64_t token = p->order[at + i] / p->group;
                for (int v = 0; v < vectors; v++) {
                    int64_t o = output + v * LANES;
                    __m512 base = _mm512_loadu_ps(dense->output + token * dense->output_stride + o);
                    base = _mm512_add_ps(base, _mm512_load_ps(sums + i * 64 + v * LANES));
                    finish(p, kind, base, at + i, token, o);
                }
            }
        }
    }
}

/* Run with `kind` known to the compiler. */
#define OF_KIND(run, p, kind)                                                                                \
    switch (kind) {                                                                                          \
        case TURN: run(p, TURN); break;                                                                      \
        case ADD: run(p, ADD); break;                                                                        \
        case GELU: run(p, GELU); break;                                                                      \
        case GELU_DIFFERENCE: run(p, GELU_DIFFERENCE); break;                                                \
    }

static void multiply_floats(const Product *p, int kind) { OF_KIND(float_panels, p, kind) }
