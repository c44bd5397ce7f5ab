/* Direct effects: what a mutated residue i does to every other residue m in one layer, as the gradients of the
 * logits of m read it. Step 3 of first_order/approximation.py, with its names.
 *
 * Letters lie side by side in two vectors. Some residues m are taken together, so that what belongs to a
 * residue i is fetched once for all of them.
 *
 * Needs AVX-512.
 */

#include "vectors.h"

enum { LETTERS = 2 * LANES, TOGETHER = 8, HEADS = 4, HALF = 10, DEEPEST = 64 };

typedef struct {
    int64_t length, heads, depth, letters;
    float most_score, least_sum;
    const float *query;        /* of m, (L, H, D) */
    const float *weights;      /* of m on i, (L, L, H) */
    const float *of_mixture;   /* of m, (L, H, LETTERS) */
    const float *reading;      /* of m, (L, H, D, LETTERS) */
    const float *value;        /* of i, (L, H, D) */
    const float *key_change;   /* of i, (L, H, D, LETTERS) */
    const float *value_change; /* of i, (L, H, D, LETTERS) */
    float *term;               /* of m and i, (L, L, letters, letters), to which it is added */
} DirectEffects;

const int64_t layouts[] = {LAYOUT(DirectEffects, term)};

/* What letters of i bring along some heads from h on: `weight` (heads, LETTERS), u - 1, to what m reads in
 * `along` (heads, LETTERS), and `change` (heads, D, LETTERS), w (v' - v), to what it reads in `reading`. All
 * heads go side by side, because each is one long chain of sums. */
INLINE void bring(const DirectEffects *s, int64_t m, int64_t i, int64_t h, float *weight, float *along,
                  float *change, int heads) {
    int64_t depth = s->depth, of_m = m * s->heads + h, of_i = i * s->heads + h, far = depth * LETTERS;
    const float *query = s->query + of_m * depth, *value = s->value + of_i * depth;
    const float *reading = s->reading + of_m * far, *key_change = s->key_change + of_i * far;
    const float *value_change = s->value_change + of_i * far;
    const float *weights = s->weights + (m * s->length + i) * s->heads + h;
    __m512 score[HEADS][2], read[HEADS][2];
    EACH (k, heads)
        EACH (v, 2) {
            score[k][v] = _mm512_setzero_ps();
            read[k][v] = _mm512_loadu_ps(s->of_mixture + (of_m + k) * LETTERS + v * LANES);
        }
    for (int64_t d = 0; d < depth; d++)
        EACH (k, heads) {
            __m512 asked = _mm512_set1_ps(query[k * depth + d]), given = _mm512_set1_ps(value[k * depth + d]);
            EACH (v, 2) {
                int64_t at = k * far + d * LETTERS + v * LANES;
                score[k][v] = _mm512_fmadd_ps(asked, _mm512_loadu_ps(key_change + at), score[k][v]);
                read[k][v] = _mm512_fnmadd_ps(given, _mm512_loadu_ps(reading + at), read[k][v]);
            }
        }
    __m512 one = _mm512_set1_ps(1.0f), w[HEADS][2];
    EACH (k, heads)
        EACH (v, 2) {
            __m512 most = _mm512_min_ps(score[k][v], _mm512_set1_ps(s->most_score));
            __m512 growth = power_of_two(_mm512_mul_ps(most, _mm512_set1_ps(1.44269504f)));
            growth = _mm512_fmadd_ps(_mm512_set1_ps(weights[k]), _mm512_sub_ps(growth, one), one);
            __m512 u = _mm512_div_ps(one, _mm512_max_ps(growth, _mm512_set1_ps(s->least_sum)));
            w[k][v] = _mm512_fnmadd_ps(_mm512_set1_ps(1.0f - weights[k]), u, one);
            _mm512_store_ps(weight + k * LETTERS + v * LANES, _mm512_sub_ps(u, one));
            _mm512_store_ps(along + k * LETTERS + v * LANES, read[k][v]);
        }
    EACH (k, heads)
        for (int64_t at = k * far; at < (k + 1) * far; at += LETTERS)
            EACH (v, 2) {
                __m512 part = _mm512_mul_ps(w[k][v], _mm512_loadu_ps(value_change + at + v * LANES));
                _mm512_store_ps(change + at + v * LANES, part);
            }
}

#define ADD_PRODUCT(brought, read)                                                                           \
    {                                                                                                        \
        __m512 first = _mm512_loadu_ps(read), second = _mm512_loadu_ps(read + LANES);                        \
        _Pragma("GCC unroll 10") for (int a = 0; a < HALF; a++) {                                            \
            __m512 all = _mm512_set1_ps(brought[from + a]);                                                  \
            sum[a][0] = _mm512_fmadd_ps(all, first, sum[a][0]);                                              \
            sum[a][1] = _mm512_fmadd_ps(all, second, sum[a][1]);                                             \
        }                                                                                                    \
    }

/* Add the products of what is brought with what is read, over a few heads, to letters [from, from + HALF) of
 * one pair, `found` (3 * HALF, LETTERS). */
static void add_products(const float *weight, const float *along, int64_t heads, const float *change,
                         const float *reading, int64_t inner, int64_t from, float *found) {
    __m512 sum[HALF][2];
    found += from * LETTERS;
    _Pragma("GCC unroll 10") for (int a = 0; a < HALF; a++) {
        sum[a][0] = _mm512_load_ps(found + a * LETTERS);
        sum[a][1] = _mm512_load_ps(found + a * LETTERS + LANES);
    }
    for (int64_t k = 0; k < heads; k++, weight += LETTERS, along += LETTERS) ADD_PRODUCT(weight, along)
    for (int64_t k = 0; k < inner; k++, change += LETTERS, reading += LETTERS) ADD_PRODUCT(change, reading)
    _Pragma("GCC unroll 10") for (int a = 0; a < HALF; a++) {
        _mm512_store_ps(found + a * LETTERS, sum[a][0]);
        _mm512_store_ps(found + a * LETTERS + LANES, sum[a][1]);
    }
}

/* Take residues m until none is left. Any number of threads may share `next`, which starts at 0. */
int direct_effects(const DirectEffects *s, int64_t *next) {
    _Alignas(64) float weight[HEADS * LETTERS], along[HEADS * LETTERS], change[HEADS * DEEPEST * LETTERS];
    _Alignas(64) float found[TOGETHER][3 * HALF * LETTERS];
    int64_t depth = s->depth, letters = s->letters;
    for (;;) {
        int64_t first = __atomic_fetch_add(next, TOGETHER, __ATOMIC_RELAXED);
        if (first >= s->length) return 0;
        int64_t end = first + TOGETHER < s->length ? first + TOGETHER : s->length;
        for (int64_t i = 0; i < s->length; i++) {
            memset(found, 0, sizeof found);
            for (int64_t h = 0; h < s->heads; h += HEADS) {
                int64_t heads = s->heads - h < HEADS ? s->heads - h : HEADS;
                for (int64_t m = first; m < end; m++) {
                    if (heads == 4) bring(s, m, i, h, weight, along, change, 4);
                    else if (heads == 3) bring(s, m, i, h, weight, along, change, 3);
                    else if (heads == 2) bring(s, m, i, h, weight, along, change, 2);
                    else bring(s, m, i, h, weight, along, change, 1);
                    const float *reading = s->reading + (m * s->heads + h) * depth * LETTERS;
                    float *pair = found[m - first];
                    for (int64_t from = 0; from < letters; from += HALF)
                        add_products(weight, along, heads, change, reading, heads * depth, from, pair);
                }
            }
            for (int64_t m = first; m < end; m++) {
                float *term = s->term + (m * s->length + i) * letters * letters, *pair = found[m - first];
                for (int64_t a = 0; a < letters; a++)
                    for (int64_t b = 0; b < letters; b++) term[a * letters + b] += pair[a * LETTERS + b];
            }
        }
    }
}
