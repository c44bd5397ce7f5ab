/* Passes through ESM-2 or ESM-1b in float32, layer by layer as in forward.py.
 *
 * Needs AVX-512.
 */

#include "passes.h"

const int64_t layouts[] = {MODEL_LAYOUTS};

/* One dense layer of `count` rows. */
static void apply(const Model *m, Work *w, const Dense *dense, int kind, const float *in, float *out,
                  int64_t from, int64_t count) {
    Product p = {.dense = dense,
                 .group = w->group,
                 .count = count,
                 .order = w->order + from,
                 .in = in,
                 .out = out,
                 .cosine = m->cosine,
                 .sine = m->sine};
    multiply_floats(&p, kind);
}

static void norm_rows(const Norm *norm, Work *w, int64_t channels) {
    for (int64_t row = 0; row < w->rows; row++)
        normed(norm, w->x + row * channels, w->difference + row * channels, channels);
}

/* All layers of one group, whose embeddings are in w->x; logits (group, residues, letters). */
static void pass(const Model *m, Work *w, float *logits) {
    int64_t channels = m->channels;
    for (int64_t row = 0; row < w->rows; row++) w->order[row] = (int32_t)row;
    for (int64_t l = 0; l < m->layers; l++) {
        const Layer *layer = m->layer + l;
        norm_rows(&layer->attention_norm, w, channels);
        apply(m, w, &layer->projections, TURN, w->difference, w->projected, 0, w->rows);
        for (int64_t g = 0; g < w->group; g++) attend(m, w, g);
        apply(m, w, &layer->attention_output, ADD, w->mixed, w->x, 0, w->rows);
        norm_rows(&layer->feed_forward_norm, w, channels);
        for (int64_t from = 0; from < w->rows; from += w->block) {
            int64_t here = w->rows - from < w->block ? w->rows - from : w->block;
            Product up = {.dense = &layer->up,
                          .group = w->group,
                          .count = here,
                          .order = w->order + from,
                          .in = w->difference,
                          .out = w->hidden,
                          .out_by_place = 1};
            multiply_floats(&up, GELU);
            Product down = {.dense = &layer->down,
                            .group = w->group,
                            .count = here,
                            .order = w->order + from,
                            .in = w->hidden,
                            .in_by_place = 1,
                            .out = w->x};
            multiply_floats(&down, ADD);
        }
    }
    norm_rows(&m->last_norm, w, channels);
    apply(m, w, &m->head, GELU, w->difference, w->mixed, m->first * w->group, m->residues * w->group);
    read_letters(m, w, logits);
}

/* See `take_groups`. */
int exact_pass(const Model *m, const int64_t *tokens, int64_t sequences, int64_t groups, int64_t block_rows,
               float *logits, int64_t *next) {
    return take_groups(m, tokens, sequences, groups, block_rows, logits, next, pass);
}
