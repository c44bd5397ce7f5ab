/* Dense layers as eight-bit products of differences, by tiles of six rows and 64 outputs.
 *
 * Weights lie in panels of up to 64 outputs: [panel][input / 4][output][4]. Inputs are stored with 128 added,
 * because the instruction multiplies unsigned by signed bytes; `offset`, 128 times the sum of a weight's row,
 * takes that away again.
 */

#pragma once

#include "passes.h"

static void subtract(float *x, const float *base, int64_t channels) {
    for (int64_t c = 0; c < channels; c += LANES)
        _mm512_storeu_ps(x + c, _mm512_sub_ps(_mm512_loadu_ps(x + c), _mm512_loadu_ps(base + c)));
}

static float largest_of(const float *x, int64_t channels) {
    __m512 most = _mm512_set1_ps(1e-30f);
    for (int64_t c = 0; c < channels; c += LANES)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + c)));
    return _mm512_reduce_max_ps(most);
}

/* Round a difference to eight bits, and what that leaves to another eight if `finer` is given. */
static void rounded(const float *difference, float largest, uint8_t *steps, uint8_t *finer,
                    int64_t channels) {
    __m512 factor = _mm512_set1_ps(127.0f / largest), smaller = _mm512_set1_ps(254.0f);
    __m512i shift = _mm512_set1_epi32(128);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d = _mm512_mul_ps(_mm512_loadu_ps(difference + c), factor);
        __m512i whole = _mm512_cvtps_epi32(d);
        _mm_storeu_si128((__m128i *)(steps + c), _mm512_cvtepi32_epi8(_mm512_add_epi32(whole, shift)));
        if (finer) {
            whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(d, _mm512_cvtepi32_ps(whole)), smaller));
            _mm_storeu_si128((__m128i *)(finer + c), _mm512_cvtepi32_epi8(_mm512_add_epi32(whole, shift)));
        }
    }
}

/* Add products of unsigned bytes with signed ones, by fours. Not the intrinsic: gcc 12 moves the sum about.
 */
INLINE void add_products(__m512i *sum, __m512i bytes, __m512i weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(bytes), "v"(weights));
}

/* Sums of six rows by up to 64 outputs, (ROWS, 64). */
INLINE void byte_tile(const uint8_t *const *input, int64_t inputs, const int8_t *panel, int32_t *found,
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
            __m512 base = _mm512_loadu_ps(dense->output + token * dense->output_stride + o);
            finish(p, kind, _mm512_fmadd_ps(product, step, base), at, token, o);
        }
    }
}

/* One dense layer; `pairs` where rows have two terms. */
INLINE void byte_panels(const Product *p, int kind, int pairs) {
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
                input[i] = pairs && i % 2 ? p->finer + place * dense->inputs
                                          : p->steps + in_at(p, place) * dense->inputs;
            }
            if (vectors == 4) byte_tile(input, dense->inputs, panel, sums, 4);
            else if (vectors == 3) byte_tile(input, dense->inputs, panel, sums, 3);
            else if (vectors == 2) byte_tile(input, dense->inputs, panel, sums, 2);
            else byte_tile(input, dense->inputs, panel, sums, 1);
            finish_tile(p, kind, pairs, vectors, at, output, sums);
        }
    }
}

/* Rows that do not differ from the wild type have its outputs. */
INLINE void same(const Product *p, int kind) {
    const Dense *dense = p->dense;
    for (int64_t at = 0; at < p->count; at++) {
        int64_t token = p->order[at] / p->group;
        const float *base = dense->output + token * dense->output_stride;
        for (int64_t o = 0; o < dense->outputs; o += LANES)
            finish(p, kind, _mm512_loadu_ps(base + o), at, token, o);
    }
}

static void leave(const Product *p, int kind) { OF_KIND(same, p, kind) }

INLINE void one_term(const Product *p, int kind) { byte_panels(p, kind, 0); }
INLINE void two_terms(const Product *p, int kind) { byte_panels(p, kind, 1); }

static void multiply(const Product *p, int kind) {
    if (!p->count) return;
    if (p->dense->in_float32) multiply_floats(p, kind);
    else if (p->finer) OF_KIND(two_terms, p, kind)
    else OF_KIND(one_term, p, kind)
}
