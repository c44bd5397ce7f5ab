/* A model, the wild type of one protein, and the memory in which a thread works. */

#pragma once

#include "products.h"

enum { QUERIES = 3 * LANES };

typedef struct {
    Norm attention_norm, feed_forward_norm;
    Dense projections, attention_output, up, down;
} Layer;

typedef struct {
    int64_t tokens, channels, heads, layers, first, residues, letters, strongest;
    int64_t mask; /* the token that token dropout takes away; or -1 */
    double scaling;
    const float *embedding; /* (vocabulary, channels) */
    const float *positions; /* (tokens, channels); or NULL */
    Norm first_norm;        /* its weight NULL where there is none */
    const float *cosine,
        *sine; /* rotary positions, (tokens, channels), the sine of even channels negative; or NULL */
    const Layer *layer;
    Norm last_norm, head_norm;
    Dense head;
    const float *letter_weight; /* (letters, channels) */
    const float *letter_bias;
} Model;

#define MODEL_LAYOUTS \
    LAYOUT(Norm, epsilon), LAYOUT(Dense, quiet), LAYOUT(Layer, down), LAYOUT(Model, letter_bias)

typedef struct {
    int64_t group, rows, block, ordinary, strong, still;
    float *x, *projected, *mixed, *difference, *hidden, *scale, *queries, *scores;
    uint8_t *steps, *finer, *hidden_steps, *hidden_finer;
    int32_t *order, *strong_rows, *still_rows;
    char *kind;
} Work;
