/* One pass of mutants through ESM-2 or ESM-1b, each dense layer as the wild type's output plus an eight-bit
 * product with the difference from the wild type's input (see delta_layers.py, which this follows number by
 * number; the tests compare the two).
 *
 * Needs AVX-512 with VNNI.
 */

#include "byte_products.h"

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
                 .in = w->difference,
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
                      .in = w->difference,
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
                        .in = w->hidden,
                        .scale = w->scale,
                        .out = w->x,
                        .in_by_place = 1};
        multiply(&down, ADD);
    }
}

/* All layers of one group, whose embeddings are in w->x; logits (group, residues, letters). */
static void pass(const Model *m, Work *w, float *logits) {
    int64_t ordinary, strong;
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
    read_letters(m, w, logits);
}

/* See `take_groups`. */
int delta_pass(const Model *m, const float *x, int64_t sequences, int64_t group, int64_t block_rows,
               float *logits, int64_t *next) {
    return take_groups(m, x, sequences, group, block_rows, logits, next, pass);
}
