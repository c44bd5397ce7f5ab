/* One pass of mutants through ESM-2 or ESM-1b, each dense layer as the wild type's output plus an eight-bit
 * product with the difference from the wild type's input (see delta_layers.py, which this follows number by
 * number; the tests compare the two).
 *
 * A few sequences at a time go through all layers, so that what they hold stays in the core's cache. Their
 * tokens are interleaved (row = token * group + sequence), so that the wild type's numbers are read once for
 * all of them. Threads take groups by a shared counter.
 *
 * Needs AVX-512 with VNNI. Weights lie in panels of up to 64 outputs: [panel][input / 4][output][4]. Inputs
 * are stored with 128 added, because the instruction multiplies unsigned by signed bytes; `offset` takes
 * 128 times the sum of a weight's row away again.
 */

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, LANES = 16, MOST_VECTORS = 4 };
enum { STORE, ADD, GELU, GELU_DIFFERENCE };

typedef struct {
    int64_t inputs, outputs, in_float32;
    const float *weight;   /* (outputs, inputs), where in_float32 */
    const int8_t *packed;
    const int32_t *offset; /* (outputs) */
    const float *scale;    /* (outputs) */
    const float *input;    /* the wild type's, (tokens, inputs) */
    const float *output;   /* the wild type's, (tokens, outputs) */
} Dense;

typedef struct {
    const float *weight, *bias;
    double epsilon;
} Norm;

typedef struct {
    Norm attention_norm, feed_forward_norm;
    Dense projections, attention_output, up, down;
} Layer;

typedef struct {
    int64_t tokens, channels, heads, layers, first, residues, letters, strongest;
    double scaling;
    const float *turn; /* cosine and sine by turns, (tokens, channels / heads), or NULL */
    const Layer *layer;
    Norm last_norm, head_norm;
    Dense head;
    const float *letter_weight; /* (letters, channels) */
    const float *letter_bias;
} Model;

typedef struct {
    int64_t group, rows, block;
    float *x, *projected, *mixed, *difference, *hidden, *scale, *keys, *values, *scores, *line;
    uint8_t *coarse, *fine, *hidden_coarse, *hidden_fine;
    int32_t *order, *strong;
    char *is_strong;
} Work;

#define INLINE static inline __attribute__((always_inline))
/* Sums stay in registers only if every loop over them is. */
#define UNROLLED _Pragma("GCC unroll 8")

INLINE __m512 exponential(__m512 x) {
    /* 2^n e^r with |r| <= ln 2 / 2; Taylor's series of e^r to r^6 is good to 2e-7. */
    x = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 sum = _mm512_set1_ps(1.0f / 720);
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 120));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 24));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 6));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(0.5f));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, n);
}

INLINE __m512 gelu(__m512 x) {
    /* x times the normal distribution, by Abramowitz and Stegun 7.1.26 (error of erf below 1.5e-7). */
    __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
    __m512 d = _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), _mm512_set1_ps(1.0f));
    __m512 t = _mm512_rcp14_ps(d);
    t = _mm512_mul_ps(t, _mm512_fnmadd_ps(d, t, _mm512_set1_ps(2.0f)));
    __m512 sum = _mm512_set1_ps(1.061405429f);
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-1.453152027f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(1.421413741f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(-0.284496736f));
    sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(0.254829592f));
    sum = _mm512_mul_ps(_mm512_mul_ps(sum, t), exponential(_mm512_fnmadd_ps(z, z, _mm512_setzero_ps())));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(x, sum), _mm512_set1_ps(0.5f));
    /* Above zero the tail is what is missing, below zero it is all there is. */
    __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
    return _mm512_mask_sub_ps(tail, above, x, tail);
}

/* A layer norm of one row, `out` may be `x`. */
static void normed(const Norm *norm, const float *x, float *out, int64_t channels) {
    __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int64_t c = 0; c < channels; c += LANES) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + c));
    __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / channels);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + c), mean);
        squares = _mm512_fmadd_ps(d, d, squares);
    }
    __m512 factor =
        _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / channels + (float)norm->epsilon));
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + c), mean), factor);
        d = _mm512_fmadd_ps(d, _mm512_loadu_ps(norm->weight + c), _mm512_loadu_ps(norm->bias + c));
        _mm512_storeu_ps(out + c, d);
    }
}

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

/* Round a difference to eight bits, and what that leaves to another eight if `fine` is given. */
static void rounded(const float *difference, float largest, uint8_t *coarse, uint8_t *fine, int64_t channels) {
    __m512 factor = _mm512_set1_ps(127.0f / largest), finer = _mm512_set1_ps(254.0f);
    __m512i shift = _mm512_set1_epi32(128);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 d = _mm512_mul_ps(_mm512_loadu_ps(difference + c), factor);
        __m512i steps = _mm512_cvtps_epi32(d);
        _mm_storeu_si128((__m128i *)(coarse + c), _mm512_cvtepi32_epi8(_mm512_add_epi32(steps, shift)));
        if (fine) {
            steps = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(d, _mm512_cvtepi32_ps(steps)), finer));
            _mm_storeu_si128((__m128i *)(fine + c), _mm512_cvtepi32_epi8(_mm512_add_epi32(steps, shift)));
        }
    }
}

/* What is done with sixteen outputs of one row. */
INLINE void finish(int kind, __m512 value, float *out, const float *activated) {
    if (kind == ADD) value = _mm512_add_ps(value, _mm512_loadu_ps(out));
    if (kind == GELU || kind == GELU_DIFFERENCE) value = gelu(value);
    if (kind == GELU_DIFFERENCE) value = _mm512_sub_ps(value, _mm512_loadu_ps(activated));
    _mm512_storeu_ps(out, value);
}

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
    const float *activated;  /* GELU of the wild type's outputs, (tokens, outputs) */
} Product;

INLINE int64_t in_at(const Product *p, int64_t place) { return p->in_by_place ? place : p->order[place]; }

INLINE float *out_at(const Product *p, int64_t place, int64_t output) {
    return p->out + (p->out_by_place ? place : p->order[place]) * p->dense->outputs + output;
}

/* Add products of unsigned bytes with signed ones, by fours. Not the intrinsic: gcc 12 moves the sum about. */
INLINE void add_products(__m512i *sum, __m512i bytes, __m512i weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(bytes), "v"(weights));
}

/* Six rows, or three of two terms, by up to 64 outputs. */
INLINE void tile(const Product *p, int kind, int pairs, int vectors, int64_t at, int64_t output,
                 const int8_t *panel) {
    const Dense *dense = p->dense;
    const uint8_t *input[ROWS];
    int64_t places[ROWS];
    UNROLLED for (int i = 0; i < ROWS; i++) {
        /* At the end the last row is taken again; it is finished once. */
        int64_t place = at + (pairs ? i / 2 : i);
        places[i] = place < p->count ? place : p->count - 1;
        input[i] = pairs && i % 2 ? p->fine + places[i] * dense->inputs
                                  : p->coarse + in_at(p, places[i]) * dense->inputs;
    }
    __m512i sum[ROWS][MOST_VECTORS];
    UNROLLED for (int i = 0; i < ROWS; i++) UNROLLED for (int v = 0; v < vectors; v++)
        sum[i][v] = _mm512_setzero_si512();
    for (int64_t c = 0; c < dense->inputs; c += 4, panel += vectors * 64) {
        __m512i weight[MOST_VECTORS];
        UNROLLED for (int v = 0; v < vectors; v++) weight[v] = _mm512_loadu_si512(panel + 64 * v);
        UNROLLED for (int i = 0; i < ROWS; i++) {
            int32_t four;
            memcpy(&four, input[i] + c, 4);
            __m512i all = _mm512_set1_epi32(four);
            UNROLLED for (int v = 0; v < vectors; v++) add_products(&sum[i][v], all, weight[v]);
        }
    }
    UNROLLED for (int i = 0; i < ROWS; i++) {
        int64_t place = places[i], row = p->order[place], token = row / p->group;
        if ((pairs && i % 2) || at + (pairs ? i / 2 : i) >= p->count) continue;
        __m512 step = _mm512_set1_ps(p->scale[row] / 127);
        UNROLLED for (int v = 0; v < vectors; v++) {
            int64_t o = output + v * LANES;
            __m512i offset = _mm512_loadu_si512(dense->offset + o);
            __m512 product = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[i][v], offset));
            if (pairs) {
                __m512 finer = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[(i + 1) % ROWS][v], offset));
                product = _mm512_fmadd_ps(finer, _mm512_set1_ps(1.0f / 254), product);
            }
            product = _mm512_mul_ps(product, _mm512_loadu_ps(dense->scale + o));
            int64_t base = token * dense->outputs + o;
            finish(kind, _mm512_fmadd_ps(product, step, _mm512_loadu_ps(dense->output + base)),
                   out_at(p, place, o), kind == GELU_DIFFERENCE ? p->activated + base : NULL);
        }
    }
}

INLINE void panels(const Product *p, int kind, int pairs) {
    const Dense *dense = p->dense;
    int step = pairs ? ROWS / 2 : ROWS;
    for (int64_t output = 0; output < dense->outputs; output += 64) {
        const int8_t *panel = dense->packed + output * dense->inputs;
        int64_t left = (dense->outputs - output) / LANES;
        for (int64_t at = 0; at < p->count; at += step) {
            if (left >= 4) tile(p, kind, pairs, 4, at, output, panel);
            else if (left == 3) tile(p, kind, pairs, 3, at, output, panel);
            else if (left == 2) tile(p, kind, pairs, 2, at, output, panel);
            else tile(p, kind, pairs, 1, at, output, panel);
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
            int64_t place = token * dense->outputs + output;
            finish(kind, _mm512_add_ps(_mm512_loadu_ps(found), _mm512_loadu_ps(dense->output + place)),
                   out_at(p, at, output),
                   kind == GELU_DIFFERENCE ? p->activated + place : NULL);
        }
}

static void multiply(const Product *p, int kind) {
    if (!p->count) return;
#define WITH(KIND)                                                                                         \
    case KIND:                                                                                             \
        if (p->dense->in_float32) in_float32(p, KIND);                                                     \
        else if (p->fine) panels(p, KIND, 1);                                                              \
        else panels(p, KIND, 0);                                                                           \
        break;
    switch (kind) {
        WITH(STORE)
        WITH(ADD)
        WITH(GELU)
        WITH(GELU_DIFFERENCE)
    }
#undef WITH
}

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
static void prepare(const Model *m, Work *w, const Dense *dense, const Norm *norm, const float *x, int64_t from,
                    int64_t to, int64_t *ordinary, int64_t *strong) {
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
        rounded(w->difference + row * channels, w->scale[row], w->coarse + row * channels, w->fine + k * channels,
                channels);
    }
}

/* One dense layer of rows that `prepare` made ready. */
static void apply(Work *w, const Dense *dense, int kind, float *out, int64_t ordinary, int64_t strong) {
    Product p = {.dense = dense, .group = w->group, .count = ordinary, .order = w->order, .coarse = w->coarse,
                 .difference = w->difference, .scale = w->scale, .out = out};
    multiply(&p, kind);
    p.count = strong, p.order = w->strong, p.fine = w->fine;
    multiply(&p, kind);
}

/* Softmax over `keys` scores in place, without its division; one over the sum. */
INLINE float weigh(float *score, int64_t keys) {
    __m512 most = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    int64_t whole = keys / LANES * LANES;
    __mmask16 rest = (__mmask16)((1u << (keys - whole)) - 1);
    for (int64_t k = 0; k < whole; k += LANES) most = _mm512_max_ps(most, _mm512_loadu_ps(score + k));
    if (rest) most = _mm512_mask_max_ps(most, rest, most, _mm512_loadu_ps(score + whole));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (int64_t k = 0; k < whole; k += LANES) {
        __m512 e = exponential(_mm512_sub_ps(_mm512_loadu_ps(score + k), most));
        _mm512_storeu_ps(score + k, e);
        sum = _mm512_add_ps(sum, e);
    }
    if (rest) {
        __m512 e = _mm512_maskz_mov_ps(rest, exponential(_mm512_sub_ps(_mm512_loadu_ps(score + whole), most)));
        _mm512_storeu_ps(score + whole, e);
        sum = _mm512_add_ps(sum, e);
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

INLINE void score_tile(const float *query, const float *keys, int64_t depth, int64_t padded, float *scores,
                       int vectors) {
    __m512 sum[ROWS][MOST_VECTORS];
    UNROLLED for (int i = 0; i < ROWS; i++)
        UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_setzero_ps();
    for (int64_t d = 0; d < depth; d++) {
        __m512 key[MOST_VECTORS];
        UNROLLED for (int v = 0; v < vectors; v++) key[v] = _mm512_loadu_ps(keys + d * padded + v * LANES);
        UNROLLED for (int i = 0; i < ROWS; i++) {
            __m512 q = _mm512_set1_ps(query[i * depth + d]);
            UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(q, key[v], sum[i][v]);
        }
    }
    UNROLLED for (int i = 0; i < ROWS; i++)
        UNROLLED for (int v = 0; v < vectors; v++) _mm512_storeu_ps(scores + i * padded + v * LANES, sum[i][v]);
}

INLINE void value_tile(const float *scores, const float *values, int64_t tokens, int64_t padded, int64_t depth,
                       const float *share, float *const *out, int vectors) {
    __m512 sum[ROWS][MOST_VECTORS];
    UNROLLED for (int i = 0; i < ROWS; i++)
        UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_setzero_ps();
    for (int64_t k = 0; k < tokens; k++) {
        __m512 value[MOST_VECTORS];
        UNROLLED for (int v = 0; v < vectors; v++) value[v] = _mm512_loadu_ps(values + (k * vectors + v) * LANES);
        UNROLLED for (int i = 0; i < ROWS; i++) {
            __m512 weight = _mm512_set1_ps(scores[i * padded + k]);
            UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(weight, value[v], sum[i][v]);
        }
    }
    UNROLLED for (int i = 0; i < ROWS; i++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            int64_t left = depth - v * LANES;
            __mmask16 lanes = left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
            _mm512_mask_storeu_ps(out[i] + v * LANES, lanes, _mm512_mul_ps(sum[i][v], _mm512_set1_ps(share[i])));
        }
}

/* Turn one head's vector by its token's angles: channels 2k and 2k + 1 lie side by side. */
INLINE void turned(const Model *m, int64_t token, const float *x, float *out, int64_t depth, float scaling) {
    if (!m->turn) {
        for (int64_t d = 0; d < depth; d++) out[d] = x[d] * scaling;
        return;
    }
    const float *turn = m->turn + token * depth;
    for (int64_t d = 0; d < depth; d += 2) {
        float real = x[d] * turn[d] - x[d + 1] * turn[d + 1], other = x[d] * turn[d + 1] + x[d + 1] * turn[d];
        out[d] = real * scaling, out[d + 1] = other * scaling;
    }
}

static void attend(const Model *m, Work *w, int64_t g) {
    int64_t tokens = m->tokens, depth = m->channels / m->heads, width = 3 * m->channels;
    int64_t padded = (tokens + LANES - 1) / LANES * LANES;
    int vectors = (int)((depth + LANES - 1) / LANES);
    for (int64_t h = 0; h < m->heads; h++) {
        for (int64_t t = 0; t < tokens; t++) {
            const float *from = w->projected + (t * w->group + g) * width + h * depth;
            turned(m, t, from + m->channels, w->line, depth, 1.0f);
            for (int64_t d = 0; d < depth; d++) w->keys[d * padded + t] = w->line[d];
            memcpy(w->values + t * vectors * LANES, from + 2 * m->channels, depth * sizeof(float));
        }
        for (int64_t t = 0; t < tokens; t += ROWS) {
            float share[ROWS], *out[ROWS];
            for (int i = 0; i < ROWS; i++) {
                int64_t token = t + i < tokens ? t + i : tokens - 1, row = token * w->group + g;
                turned(m, token, w->projected + row * width + h * depth, w->line + i * depth, depth,
                       (float)m->scaling);
                out[i] = w->mixed + row * m->channels + h * depth;
            }
            for (int64_t k = 0; k < padded; k += 64) {
                int64_t left = (padded - k) / LANES;
                if (left >= 4) score_tile(w->line, w->keys + k, depth, padded, w->scores + k, 4);
                else if (left == 3) score_tile(w->line, w->keys + k, depth, padded, w->scores + k, 3);
                else if (left == 2) score_tile(w->line, w->keys + k, depth, padded, w->scores + k, 2);
                else score_tile(w->line, w->keys + k, depth, padded, w->scores + k, 1);
            }
            for (int i = 0; i < ROWS; i++) share[i] = weigh(w->scores + i * padded, tokens);
            if (vectors == 1) value_tile(w->scores, w->values, tokens, padded, depth, share, out, 1);
            else if (vectors == 2) value_tile(w->scores, w->values, tokens, padded, depth, share, out, 2);
            else if (vectors == 3) value_tile(w->scores, w->values, tokens, padded, depth, share, out, 3);
            else value_tile(w->scores, w->values, tokens, padded, depth, share, out, 4);
        }
    }
}

/* Rows through both dense layers, a block at a time; the rows of two terms are the same in both. */
static void feed_forward(const Layer *layer, Work *w, const int32_t *order, int64_t count, const uint8_t *fine) {
    int64_t wide = layer->up.outputs, channels = layer->up.inputs;
    for (int64_t from = 0; from < count; from += w->block) {
        int64_t here = count - from < w->block ? count - from : w->block;
        Product up = {.dense = &layer->up, .group = w->group, .count = here, .order = order + from,
                      .coarse = w->coarse, .fine = fine ? fine + from * channels : NULL,
                      .difference = w->difference, .scale = w->scale, .out = w->hidden, .out_by_place = 1,
                      .activated = layer->down.input};
        multiply(&up, GELU_DIFFERENCE);
        for (int64_t k = 0; k < here; k++) {
            float largest = largest_of(w->hidden + k * wide, wide);
            w->scale[order[from + k]] = largest;
            rounded(w->hidden + k * wide, largest, w->hidden_coarse + k * wide,
                    fine ? w->hidden_fine + k * wide : NULL, wide);
        }
        Product down = {.dense = &layer->down, .group = w->group, .count = here, .order = order + from,
                        .coarse = w->hidden_coarse, .fine = fine ? w->hidden_fine : NULL,
                        .difference = w->hidden, .scale = w->scale, .out = w->x, .in_by_place = 1};
        multiply(&down, ADD);
    }
}

/* All layers of one group, whose embeddings are in w->x; logits (group, residues, letters). */
static void pass(const Model *m, Work *w, float *logits) {
    int64_t ordinary, strong, channels = m->channels;
    for (int64_t l = 0; l < m->layers; l++) {
        const Layer *layer = m->layer + l;
        prepare(m, w, &layer->projections, &layer->attention_norm, w->x, 0, w->rows, &ordinary, &strong);
        apply(w, &layer->projections, STORE, w->projected, ordinary, strong);
        for (int64_t g = 0; g < w->group; g++) attend(m, w, g);
        prepare(m, w, &layer->attention_output, NULL, w->mixed, 0, w->rows, &ordinary, &strong);
        apply(w, &layer->attention_output, ADD, w->x, ordinary, strong);
        prepare(m, w, &layer->up, &layer->feed_forward_norm, w->x, 0, w->rows, &ordinary, &strong);
        feed_forward(layer, w, w->order, ordinary, NULL);
        feed_forward(layer, w, w->strong, strong, w->fine);
    }
    int64_t from = m->first * w->group, to = from + m->residues * w->group;
    prepare(m, w, &m->head, &m->last_norm, w->x, from, to, &ordinary, &strong);
    apply(w, &m->head, GELU, w->mixed, ordinary, strong);
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
#define TAKE(pointer, count) (w->pointer = (void *)(block + used), used += ((count) * sizeof *w->pointer + 127) / 64 * 64)

static size_t divide(const Model *m, Work *w, char *block) {
    size_t used = 0;
    int64_t rows = w->rows, channels = m->channels, tokens = m->tokens, wide = 0;
    int64_t depth = channels / m->heads, padded = (tokens + LANES - 1) / LANES * LANES;
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
    TAKE(keys, padded * depth);
    TAKE(values, tokens * MOST_VECTORS * LANES);
    TAKE(scores, padded * ROWS);
    TAKE(line, ROWS * depth);
    TAKE(order, rows);
    TAKE(strong, w->group * m->strongest);
    TAKE(is_strong, rows);
    return used;
}

/* Take groups of sequences until none is left: x (sequences, tokens, channels) to logits (sequences, residues,
 * letters). Any number of threads may share `next`, which starts at 0. Returns 0, or 1 without memory. */
int delta_pass(const Model *m, const float *x, int64_t sequences, int64_t group, int64_t block_rows, float *logits,
               int64_t *next) {
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
        memset(w->keys, 0, (char *)w->values - (char *)w->keys);
        for (int64_t t = 0; t < m->tokens; t++)
            for (int64_t g = 0; g < w->group; g++)
                memcpy(w->x + (t * w->group + g) * m->channels, x + ((from + g) * m->tokens + t) * m->channels,
                       m->channels * sizeof(float));
        pass(m, w, logits + from * m->residues * m->letters);
    }
    free(block);
    return 0;
}
