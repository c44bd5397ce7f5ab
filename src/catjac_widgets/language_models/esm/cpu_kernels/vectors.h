/* Sixteen numbers at a time: functions, norms, dot products. */

#pragma once

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

#define INLINE static inline __attribute__((always_inline))
/* Sums stay in registers only if every loop over them is. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)

typedef struct {
    const float *weight, *bias;
    double epsilon;
} Norm;

/* The size of a structure, and where its last member lies. Each library tells them in `layouts`, in the order
 * of its mirrors in structs.py, which are compared with them when it is loaded. */
#define LAYOUT(type, last) sizeof(type), offsetof(type, last)

/* 2^x: a polynomial fitted to the smallest largest error (1e-7 of the value) for the part after the point. */
INLINE __m512 power_of_two(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, 8), rest = _mm512_sub_ps(x, whole);
    __m512 sum = _mm512_set1_ps(1.3264726e-3f);
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(9.67151272e-3f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.55073375e-2f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(2.40222421e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(6.93146978e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, whole);
}

/* x times the normal distribution's integral, which is 1/2 + x P(x^2) / Q(x^2); P and Q were fitted to the
 * smallest largest error on |x| < 5.6, which is 3e-8 but for rounding. */
INLINE __m512 gelu(__m512 x) {
    __m512 inner = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(5.6f)), _mm512_set1_ps(-5.6f));
    __m512 square = _mm512_mul_ps(inner, inner);
    __m512 p = _mm512_set1_ps(2.17106213e-8f), q = _mm512_set1_ps(1.18515305e-6f);
    p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(6.59055848e-6f));
    q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(8.10104799e-5f));
    p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(1.90153835e-4f));
    q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(2.00334607e-3f));
    p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(4.80541015e-3f));
    q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(2.98038812e-2f));
    p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(3.58470537e-2f));
    q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(2.56517982e-1f));
    p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(3.98941901e-1f));
    q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(1.0f));
    /* One step of Newton's makes an approximate reciprocal as exact as a division. */
    __m512 over = _mm512_rcp14_ps(q);
    over = _mm512_mul_ps(over, _mm512_fnmadd_ps(q, over, _mm512_set1_ps(2.0f)));
    __m512 share = _mm512_fmadd_ps(_mm512_mul_ps(inner, p), over, _mm512_set1_ps(0.5f));
    return _mm512_mul_ps(x, share);
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
