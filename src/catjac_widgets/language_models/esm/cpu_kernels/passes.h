/* How passes are run: a few sequences at a time go through all layers, so that what they hold stays in the
 * core's cache. Their tokens are interleaved (row = token * group + sequence), so that a wild type's numbers
 * are read once for all of them. Threads take groups by a shared counter.
 */

#pragma once

#include <stdlib.h>

#include "attention.h"

/* Embeddings of a group's tokens (group, tokens) to w->x, as `embed` of forward.py makes them: what
 * token dropout took away in training, 15 % of the tokens of which 80 % became masks, is made up for. */
static void embed(const Model *m, Work *w, const int64_t *tokens) {
    for (int64_t g = 0; g < w->group; g++, tokens += m->tokens) {
        int64_t masks = 0;
        for (int64_t t = 0; t < m->tokens; t++) masks += tokens[t] == m->mask;
        __m512 kept = _mm512_set1_ps(1 - (float)masks / (float)m->tokens);
        __m512 shown = _mm512_set1_ps(1 - 0.15f * 0.8f);
        for (int64_t t = 0; t < m->tokens; t++) {
            const float *letter = m->embedding + tokens[t] * m->channels;
            float *x = w->x + (t * w->group + g) * m->channels;
            for (int64_t c = 0; c < m->channels; c += LANES) {
                __m512 value = tokens[t] == m->mask ? _mm512_setzero_ps() : _mm512_loadu_ps(letter + c);
                if (m->mask >= 0) value = _mm512_div_ps(_mm512_mul_ps(value, shown), kept);
                if (m->positions)
                    value = _mm512_add_ps(value, _mm512_loadu_ps(m->positions + t * m->channels + c));
                _mm512_storeu_ps(x + c, value);
            }
            if (m->first_norm.weight) normed(&m->first_norm, x, x, m->channels);
        }
    }
}

/* The head's last steps, from its dense layer's outputs in w->mixed: logits (group, residues, letters). */
static void read_letters(const Model *m, Work *w, float *logits) {
    int64_t channels = m->channels, from = m->first * w->group, to = from + m->residues * w->group;
    for (int64_t row = from; row < to; row++) {
        float *x = w->mixed + row * channels, found[4];
        normed(&m->head_norm, x, x, channels);
        int64_t place = row % w->group * m->residues + row / w->group - m->first;
        for (int64_t a = 0; a < m->letters; a += 4) {
            /* The letters are padded to a multiple of four. */
            four_dots(x, m->letter_weight + a * channels, channels, found);
            for (int64_t k = 0; k < 4 && a + k < m->letters; k++)
                logits[place * m->letters + a + k] = found[k] + m->letter_bias[a + k];
        }
    }
}

/* Memory for `count` items, on a cache line's bounds; all of it is taken from one block. */
#define TAKE(pointer, count)                                                                                 \
    (w->pointer = (void *)(block + used), used += ((count) * sizeof *w->pointer + 127) / 64 * 64)

static size_t divide(const Model *m, Work *w, char *block) {
    size_t used = 0;
    int64_t rows = w->rows, channels = m->channels, wide = 0;
    for (int64_t l = 0; l < m->layers; l++)
        if (m->layer[l].up.outputs > wide) wide = m->layer[l].up.outputs;
    TAKE(x, rows * channels);
    TAKE(projected, rows * 3 * channels);
    TAKE(mixed, rows * channels);
    TAKE(difference, rows * channels);
    TAKE(scale, rows);
    TAKE(steps, rows * channels);
    TAKE(finer, w->group * m->strongest * channels);
    TAKE(hidden, w->block * wide);
    TAKE(hidden_steps, w->block * wide);
    TAKE(hidden_finer, w->block * wide);
    TAKE(queries, channels / m->heads * QUERIES);
    TAKE(scores, m->tokens * QUERIES);
    TAKE(order, rows);
    TAKE(strong_rows, w->group * m->strongest);
    TAKE(still_rows, rows);
    TAKE(kind, rows);
    return used;
}

/* Take groups of sequences until none is left: tokens (sequences, tokens) to logits (sequences, residues,
 * letters). Any number of threads may share `next`, which starts at 0. Returns 0, or 1 without
 * memory. `pass` takes the embeddings of one group from w->x. */
static int take_groups(const Model *m, const int64_t *tokens, int64_t sequences, int64_t groups,
                       int64_t block_rows, float *logits, int64_t *next,
                       void (*pass)(const Model *, Work *, float *)) {
    int64_t largest = (sequences + groups - 1) / groups;
    Work work = {.group = largest, .rows = largest * m->tokens, .block = block_rows}, *w = &work;
    char *block = aligned_alloc(64, divide(m, w, NULL));
    if (!block) return 1;
    for (;;) {
        int64_t number = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (number >= groups) break;
        int64_t from = number * sequences / groups;
        w->group = (number + 1) * sequences / groups - from;
        w->rows = w->group * m->tokens;
        divide(m, w, block);
        embed(m, w, tokens + from * m->tokens);
        pass(m, w, logits + from * m->residues * m->letters);
    }
    free(block);
    return 0;
}
