/* One pass of mutants through ESM-2 or ESM-1b, each dense layer as the wild type's output plus an eight-bit
 * product with the difference from the wild type's input (see delta_int8_layers.py, which this follows number
 * by number; the tests compare the two).
 *
 * Needs AVX-512 with VNNI.
 */

#include "byte_products.h"

const int64_t layouts[] = {MODEL_LAYOUTS};

enum { ORDINARY, STRONG, STILL };

/* Divide rows [from, to) into those of one term, the strongest of each sequence, of two, and those that do
 * not differ from the wild type. */
static void choose(const Model *m, Work *w, const Dense *dense, int64_t from, int64_t to) {
    int64_t first = from / w->group, tokens = (to - from) / w->group;
    for (int64_t row = from; row < to; row++) w->kind[row] = w->scale[row] < dense->quiet ? STILL : ORDINARY;
    for (int64_t g = 0; g < w->group; g++)
        for (int64_t k = 0; k < m->strongest; k++) {
            int64_t best = -1;
            for (int64_t t = first; t < first + tokens; t++) {
                int64_t row = t * w->group + g;
                if (w->kind[row] == ORDINARY && (best < 0 || w->scale[row] > w->scale[best])) best = row;
            }
            if (best < 0) break;
            w->kind[best] = STRONG;
        }
    w->ordinary = w->strong = w->still = 0;
    for (int64_t row = from; row < to; row++) {
        if (w->kind[row] == STRONG) w->strong_rows[w->strong++] = (int32_t)row;
        else if (w->kind[row] == STILL) w->still_rows[w->still++] = (int32_t)row;
        else w->order[w->ordinary++] = (int32_t)row;
    }
}

/* Rows [from, to) of x, normed if there is a norm, minus the wild type's, rounded. */
static void prepare(const Model *m, Work *w, const Dense *dense, const Norm *norm, const float *x,
                    int64_t from, int64_t to) {
    int64_t channels = m->channels;
    for (int64_t row = from; row < to; row++) {
        float *d = w->difference + row * channels;
        if (norm) normed(norm, x + row * channels, d, channels);
        else memcpy(d, x + row * channels, channels * sizeof(float));
        subtract(d, dense->input + row / w->group * channels, channels);
        w->scale[row] = largest_of(d, channels);
    }
    choose(m, w, dense, from, to);
    for (int64_t k = 0; k < w->ordinary + w->strong; k++) {
        int64_t strong = k - w->ordinary, row = strong < 0 ? w->order[k] : w->strong_rows[strong];
        rounded(w->difference + row * channels, w->scale[row], w->steps + row * channels,
                strong < 0 ? NULL : w->finer + strong * channels, channels);
    }
}

/* One dense layer of rows that `prepare` made ready. */
static void apply(const Model *m, Work *w, const Dense *dense, int kind, float *out) {
    Product p = {.dense = dense,
                 .group = w->group,
                 .count = w->ordinary,
                 .order = w->order,
                 .steps = w->steps,
                 .in = w->difference,
                 .scale = w->scale,
                 .out = out,
                 .cosine = m->cosine,
                 .sine = m->sine};
    multiply(&p, kind);
    p.count = w->still, p.order = w->still_rows;
    leave(&p, kind);
    p.count = w->strong, p.order = w->strong_rows, p.finer = w->finer;
    multiply(&p, kind);
}

/* Rows through both dense layers, a block at a time; the rows of two terms are the same in both. */
static void feed_forward(const Layer *layer, Work *w, const int32_t *order, int64_t count,
                         const uint8_t *finer) {
    int64_t wide = layer->up.outputs, channels = layer->up.inputs;
    for (int64_t from = 0; from < count; from += w->block) {
        int64_t here = count - from < w->block ? count - from : w->block;
        Product up = {.dense = &layer->up,
                      .group = w->group,
                      .count = here,
                      .order = order + from,
                      .steps = w->steps,
                      .finer = finer ? finer + from * channels : NULL,
                      .in = w->difference,
                      .scale = w->scale,
                      .out = w->hidden,
                      .out_by_place = 1,
                      .activated = layer->down.input};
        multiply(&up, GELU_DIFFERENCE);
        for (int64_t k = 0; k < here; k++) {
            float largest = largest_of(w->hidden + k * wide, wide);
            w->scale[order[from + k]] = largest;
            rounded(w->hidden + k * wide, largest, w->hidden_steps + k * wide,
                    finer ? w->hidden_finer + k * wide : NULL, wide);
        }
        Product down = {.dense = &layer->down,
                        .group = w->group,
                        .count = here,
                        .order = order + from,
                        .steps = w->hidden_steps,
                        .finer = finer ? w->hidden_finer : NULL,
                        .in = w->hidden,
                        .scale = w->scale,
                        .out = w->x,
                        .in_by_place = 1};
        multiply(&down, ADD);
    }
}

/* All layers of one group, whose embeddings are in w->x; logits (group, residues, letters). */
static void pass(const Model *m, Work *w, float *logits) {
    for (int64_t l = 0; l < m->layers; l++) {
        const Layer *layer = m->layer + l;
        prepare(m, w, &layer->projections, &layer->attention_norm, w->x, 0, w->rows);
        apply(m, w, &layer->projections, TURN, w->projected);
        for (int64_t g = 0; g < w->group; g++) attend(m, w, g);
        prepare(m, w, &layer->attention_output, NULL, w->mixed, 0, w->rows);
        apply(m, w, &layer->attention_output, ADD, w->x);
        prepare(m, w, &layer->up, &layer->feed_forward_norm, w->x, 0, w->rows);
        feed_forward(layer, w, w->order, w->ordinary, NULL);
        feed_forward(layer, w, w->strong_rows, w->strong, w->finer);
        Product rest = {
            .dense = &layer->down, .group = w->group, .count = w->still, .order = w->still_rows, .out = w->x};
        leave(&rest, ADD);
    }
    int64_t from = m->first * w->group, to = from + m->residues * w->group;
    prepare(m, w, &m->head, &m->last_norm, w->x, from, to);
    apply(m, w, &m->head, GELU, w->mixed);
    read_letters(m, w, logits);
}

/* See `take_groups`. */
int delta_pass(const Model *m, const int64_t *tokens, int64_t sequences, int64_t groups, int64_t block_rows,
               float *logits, int64_t *next) {
    return take_groups(m, tokens, sequences, groups, block_rows, logits, next, pass);
}
