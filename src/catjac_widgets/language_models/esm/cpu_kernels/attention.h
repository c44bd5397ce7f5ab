/* Self-attention of one sequence in float32. Queries lie side by side in a vector: nothing is summed within
 * one. */

#pragma once

#include "model.h"

enum { KEYS = 8 };

/* Numbers of one row after another times vectors of queries, summed over `depth`: left[i * across + d *
 * along]. */
INLINE void attention_tile(const float *left, int64_t across, int64_t along, const float *right,
                           int64_t depth, float *out, int rows, int vectors) {
    __m512 sum[KEYS][3];
    EACH (i, rows)
        EACH (v, vectors) sum[i][v] = _mm512_setzero_ps();
    for (int64_t d = 0; d < depth; d++, left += along, right += QUERIES) {
        __m512 queries[3];
        EACH (v, vectors) queries[v] = _mm512_loadu_ps(right + v * LANES);
        EACH (i, rows) {
            __m512 all = _mm512_set1_ps(left[i * across]);
            EACH (v, vectors) sum[i][v] = _mm512_fmadd_ps(all, queries[v], sum[i][v]);
        }
    }
    EACH (i, rows)
        EACH (v, vectors) _mm512_storeu_ps(out + i * QUERIES + v * LANES, sum[i][v]);
}

/* Softmax of scores (tokens, QUERIES) over the tokens, in place, without its division; one over the sums. */
INLINE void weigh(float *scores, int64_t tokens, float factor, float *share, int vectors) {
    for (int v = 0; v < vectors; v++) {
        float *column = scores + v * LANES;
        __m512 most = _mm512_loadu_ps(column), sum = _mm512_setzero_ps(), power = _mm512_set1_ps(factor);
        for (int64_t k = 1; k < tokens; k++)
            most = _mm512_max_ps(most, _mm512_loadu_ps(column + k * QUERIES));
        most = _mm512_mul_ps(most, power);
        for (int64_t k = 0; k < tokens; k++) {
            __m512 score = _mm512_loadu_ps(column + k * QUERIES);
            score = power_of_two(_mm512_fmsub_ps(score, power, most));
            _mm512_storeu_ps(column + k * QUERIES, score);
            sum = _mm512_add_ps(sum, score);
        }
        _mm512_storeu_ps(share + v * LANES, _mm512_div_ps(_mm512_set1_ps(1.0f), sum));
    }
}

/* Up to 48 queries of one head: queries lie side by side in a vector, so that nothing is summed within one.
 */
INLINE void attend_some(const Model *m, Work *w, int64_t g, int64_t h, int64_t from, int vectors) {
    int64_t tokens = m->tokens, depth = m->channels / m->heads, width = 3 * m->channels,
            row = w->group * width;
    const float *first = w->projected + g * width + h * depth;
    int64_t here = tokens - from < vectors * LANES ? tokens - from : vectors * LANES;
    for (int64_t q = 0; q < here; q++)
        for (int64_t d = 0; d < depth; d++) w->queries[d * QUERIES + q] = first[(from + q) * row + d];
    const float *keys = first + m->channels, *values = keys + m->channels;
    int64_t k = 0;
    for (; k + KEYS <= tokens; k += KEYS)
        attention_tile(keys + k * row, row, 1, w->queries, depth, w->scores + k * QUERIES, KEYS, vectors);
    for (; k < tokens; k++)
        attention_tile(keys + k * row, row, 1, w->queries, depth, w->scores + k * QUERIES, 1, vectors);
    float share[QUERIES];
    /* e to the power of a scaled score is a power of two. */
    weigh(w->scores, tokens, (float)(m->scaling * 1.4426950408889634), share, vectors);
    int64_t d = 0;
    for (; d + KEYS <= depth; d += KEYS)
        attention_tile(values + d, 1, row, w->scores, tokens, w->queries + d * QUERIES, KEYS, vectors);
    for (; d < depth; d += 2)
        attention_tile(values + d, 1, row, w->scores, tokens, w->queries + d * QUERIES, 2, vectors);
    for (int64_t q = 0; q < here; q++) {
        float *out = w->mixed + ((from + q) * w->group + g) * m->channels + h * depth;
        for (d = 0; d < depth; d++) out[d] = w->queries[d * QUERIES + q] * share[q];
    }
}

static void attend(const Model *m, Work *w, int64_t g) {
    for (int64_t h = 0; h < m->heads; h++)
        for (int64_t from = 0; from < m->tokens; from += QUERIES) {
            int64_t left = m->tokens - from;
            if (left > 2 * LANES) attend_some(m, w, g, h, from, 3);
            else if (left > LANES) attend_some(m, w, g, h, from, 2);
            else attend_some(m, w, g, h, from, 1);
        }
}
