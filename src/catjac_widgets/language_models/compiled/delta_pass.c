/* One pass of mutants through ESM-2 or ESM-1b, each dense layer as the wild type's output plus an eight-bit
 * product with the difference from the wild type's input (see delta_layers.py, which this follows number by
 * number; the tests compare the two).
 *
 * A few sequences at a time go through all layers, so that what they hold stays in the core's cache. Their
 * tokens are interleaved (row = token * group + sequence), so that the wild type's numbers are read once for
 * all of them. Threads take groups by a shared counter.
 *
 * Needs AVX-512 with VNNI.
 */

#include <stdlib.h>

#include "attention.h"

/* Divide rows [from, to) into those of one term and the strongest of each sequence, of two. */
static int64_t choose(const Model *m, Work *w, int64_t from, int64_t to, int64_t *strong) {
    int64_t first = from / w->group, tokens = (to - from) / w->group, ordinary = 0;
    memset(w->is_strong + from, 0, to - from);
    *strong = 0;
    for (int64_t g = 0; g < w->group; g++)
        for (int64_t k = 0; k < m->strongest && k < tokens; k++) {
            int64_t best = -1;
            for (int64_t t = first; t < first + tokens; t++) {
                int64_t row = t * w->group + g;
                if (!w->is_strong[row] && (best < 0 || w->scale[row] > w->scale[best])) best = row;
            }
            w->is_strong[best] = 1;
        }
    for (int64_t row = from; row < to; row++) {
        if (w->is_strong[row]) w->strong[(*strong)++] = (int32_t)row;
        else w->order[ordinary++] = (int32_t)row;
    }
    return ordinary;
}

/* Rows [from, to) of x, normed if there is a norm, minus the wild type's, rounded. */
static void prepare(const Model *m, Work *w, const Dense *dense, const Norm *norm, const float *x,
                    int64_t from, int64_t to, int64_t *ordinary, int64_t *strong) {
    int64_t channels = m->channels;
    for (int64_t row = from; row < to; row++) {
        float *d = w->difference + row * channels;
        if (norm) normed(norm, x + row * channels, d, channels);
        else memcpy(d, x + row * channels, channels * sizeof(float));
        subtract(d, dense->input + row / w->group * channels, channels);
        w->scale[row] = largest_of(d, channels);
        rounded(d, w->scale[row], w->coarse + row * channels, NULL, channels);
    }
    *ordinary = choose(m, w, from, to, strong);
    for (int64_t k = 0; k < *strong; k++) {
        int64_t row = w->strong[k];
        rounded(w->difference + row * channels, w->scale[row], w->coarse + row * channels,
                w->fine + k * channels, channels);
    }
}

/* One dense layer of rows that `prepare` made ready. */
static void apply(const Model *m, Work *w, const Dense *dense, int kind, float *out, int64_t ordinary,
                  int64_t strong) {
    Product p = {.dense = dense,
                 .group = w->group,
                 .count = ordinary,
                 .order = w->order,
                 .coarse = w->coarse,
                 .difference = w->difference,
                 .scale = w->scale,
                 .out = out,
                 .cosine = m->cosine,
                 .sine = m->sine};
    multiply(&p, kind);
    p.count = strong, p.order = w->strong, p.fine = w->fine;
    multiply(&p, kind);
}

/* Rows through both dense layers, a block at a time; the rows of two terms are the same in both. */
static void feed_forward(const Layer *layer, Work *w, const int32_t *order, int64_t count,
                         const uint8_t *fine) {
    int64_t wide = layer->up.outputs, channels = layer->up.inputs;
    for (int64_t from = 0; from < count; from += w->block) {
        int64_t here = count - from < w->block ? count - from : w->block;
        Product up = {.dense = &layer->up,
                      .group = w->group,
                      .count = here,
                      .order = order + from,
                      .coarse = w->coarse,
                      .fine = fine ? fine + from * channels : NULL,
                      .difference = w->difference,
                      .scale = w->scale,
                      .out = w->hidden,
                      .out_by_place = 1,
                      .activated = layer->down.input};
        multiply(&up, GELU_DIFFERENCE);
        for (int64_t k = 0; k < here; k++) {
            float largest = largest_of(w->hidden + k * wide, wide);
            w->scale[order[from + k]] = largest;
            rounded(w->hidden + k * wide, largest, w->hidden_coarse + k * wide,
                    fine ? w->hidden_fine + k * wide : NULL, wide);
        }
        Product down = {.dense = &layer->down,
                        .group = w->group,
                        .count = here,
                        .order = order + from,
                        .coarse = w->hidden_coarse,
                        .fine = fine ? w->hidden_fine : NULL,
                        .difference = w->hidden,
                        .scale = w->scale,
                        .out = w->x,
                        .in_by_place = 1};
        multiply(&down, ADD);
    }
}

/* All layers of one group, whose embeddings are in w->x; logits (group, residues, letters). */
static void pass(const Model *m, Work *w, float *logits) {
    int64_t ordinary, strong, channels = m->channels;
    for (int64_t l = 0; l < m->layers; l++) {
        const Layer *layer = m->layer + l;
        prepare(m, w, &layer->projections, &layer->attention_norm, w->x, 0, w->rows, &ordinary, &strong);
        apply(m, w, &layer->projections, TURN, w->projected, ordinary, strong);
        for (int64_t g = 0; g < w->group; g++) attend(m, w, g);
        prepare(m, w, &layer->attention_output, NULL, w->mixed, 0, w->rows, &ordinary, &strong);
        apply(m, w, &layer->attention_output, ADD, w->x, ordinary, strong);
        prepare(m, w, &layer->up, &layer->feed_forward_norm, w->x, 0, w->rows, &ordinary, &strong);
        feed_forward(layer, w, w->order, ordinary, NULL);
        feed_forward(layer, w, w->strong, strong, w->fine);
    }
    int64_t from = m->first * w->group, to = from + m->residues * w->group;
    prepare(m, w, &m->head, &m->last_norm, w->x, from, to, &ordinary, &strong);
    apply(m, w, &m->head, GELU, w->mixed, ordinary, strong);
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
    TAKE(coarse, rows * channels);
    TAKE(fine, w->group * m->strongest * channels);
    TAKE(hidden, w->block * wide);
    TAKE(hidden_coarse, w->block * wide);
    TAKE(hidden_fine, w->block * wide);
    TAKE(queries, channels / m->heads * QUERIES);
    TAKE(scores, m->tokens * QUERIES);
    TAKE(order, rows);
    TAKE(strong, w->group * m->strongest);
    TAKE(is_strong, rows);
    return used;
}

/* Take groups of sequences until none is left: x (sequences, tokens, channels) to logits (sequences,
 * residues, letters). Any number of threads may share `next`, which starts at 0. Returns 0, or 1 without
 * memory. */
int delta_pass(const Model *m, const float *x, int64_t sequences, int64_t group, int64_t block_rows,
               float *logits, int64_t *next) {
    Work work = {.group = group, .rows = group * m->tokens, .block = block_rows}, *w = &work;
    size_t needed = divide(m, w, NULL);
    char *block = aligned_alloc(64, needed);
    if (!block) return 1;
    memset(block, 0, needed);
    for (;;) {
        int64_t from = __atomic_fetch_add(next, group, __ATOMIC_RELAXED);
        if (from >= sequences) break;
        w->group = sequences - from < group ? sequences - from : group;
        w->rows = w->group * m->tokens;
        divide(m, w, block);
        for (int64_t t = 0; t < m->tokens; t++)
            for (int64_t g = 0; g < w->group; g++)
                memcpy(w->x + (t * w->group + g) * m->channels,
                       x + ((from + g) * m->tokens + t) * m->channels, m->channels * sizeof(float));
        pass(m, w, logits + from * m->residues * m->letters);
    }
    free(block);
    return 0;
}
