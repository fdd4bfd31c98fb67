// A depthwise 3x3 convolution without padding, row by row. The number of channels is a multiple of LANES.
#pragma once
#include "passes.h"

struct Shape {
  int height, width, channels, stride;
  int out_height() const { return (height - 3) / stride + 1; }
  int out_width() const { return (width - 3) / stride + 1; }
  size_t pixels() const { return size_t(height) * width; }
  size_t out_pixels() const { return size_t(out_height()) * out_width(); }
};

// The last three rows of a map, with `border` columns of zeros on both sides.
struct Rows {
  size_t length;
  int border, channels;
  std::vector<bf16> values, zeros;

  Rows(int width, int channels, int border)
      : length(size_t(width + 2 * border) * channels), border(border), channels(channels), values(3 * length),
        zeros(length) {}

  bf16* at(int row) { return &values[(row % 3) * length] + border * channels; }
  const bf16* none() const { return &zeros[border * channels]; }
};

// The depthwise kernel at sixteen channels: nine vectors.
struct Taps {
  __m512 of[9];

  explicit Taps(const float* kernel, int channels) {
    for (int t = 0; t < 9; t++) of[t] = load(kernel + t * channels);
  }
};

// One row of the convolution, whose values and squares are added to `sums`.
inline void convolve(const bf16* const rows[3], const float* kernel, bf16* out, Shape shape, Sums& sums) {
  const int channels = shape.channels;
  for (int c = 0; c < channels; c += LANES) {
    const Taps taps(kernel + c, channels);
    __m512 values = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int p = 0; p < shape.out_width(); p++) {
      const size_t at = size_t(p) * shape.stride * channels + c;
      __m512 sum = _mm512_setzero_ps();
      for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
          sum = _mm512_fmadd_ps(load(rows[i] + at + size_t(j) * channels), taps.of[i * 3 + j], sum);
      store(out + size_t(p) * channels + c, sum);
      values = _mm512_add_ps(values, sum);
      squares = _mm512_fmadd_ps(sum, sum, squares);
    }
    accumulate(&sums.one[c], values);
    accumulate(&sums.two[c], squares);
  }
  sums.flush();
}

// Add one output row's contribution to the kernel's gradient (9, C).
inline void add_to_kernel(const bf16* gradient, const bf16* const rows[3], float* dkernel, Shape shape) {
  const int channels = shape.channels;
  for (int c = 0; c < channels; c += LANES) {
    Taps sums(dkernel + c, channels);
    for (int p = 0; p < shape.out_width(); p++) {
      const __m512 given = load(gradient + size_t(p) * channels + c);
      const size_t at = size_t(p) * shape.stride * channels + c;
      for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
          sums.of[i * 3 + j] = _mm512_fmadd_ps(load(rows[i] + at + size_t(j) * channels), given, sums.of[i * 3 + j]);
    }
    for (int t = 0; t < 9; t++) store(dkernel + t * channels + c, sums.of[t]);
  }
}

// Return the gradient of the convolution's input at pixel p of a row. after: for each row of the kernel, the row of the
// gradient after the convolution that it comes from, or zeros.
inline __m512 input_gradient(const bf16* const after[3], const Taps& taps, int p, int c, int channels, int stride) {
  __m512 sum = _mm512_setzero_ps();
  for (int i = 0; i < 3; i++) {
    if (stride == 1) {
      for (int j = 0; j < 3; j++)
        sum = _mm512_fmadd_ps(load(after[i] + ptrdiff_t(p - j) * channels + c), taps.of[i * 3 + j], sum);
    } else if (p % 2) {
      sum = _mm512_fmadd_ps(load(after[i] + ptrdiff_t(p / 2) * channels + c), taps.of[i * 3 + 1], sum);
    } else {
      sum = _mm512_fmadd_ps(load(after[i] + ptrdiff_t(p / 2) * channels + c), taps.of[i * 3], sum);
      sum = _mm512_fmadd_ps(load(after[i] + ptrdiff_t(p / 2 - 1) * channels + c), taps.of[i * 3 + 2], sum);
    }
  }
  return sum;
}

// One row of the gradient between the first norm and its activation; it and its products with x are added to `sums`.
inline void input_gradient_row(const bf16* const after[3], const float* kernel, const bf16* x, bf16* dx, Affine norm,
                       Activation act, Shape shape, Sums& sums) {
  for (int c = 0; c < shape.channels; c += LANES) {
    const Taps taps(kernel + c, shape.channels);
    __m512 gradients = _mm512_setzero_ps(), products = _mm512_setzero_ps();
    for (int p = 0; p < shape.width; p++) {
      const size_t at = size_t(p) * shape.channels + c;
      const __m512 value = load(x + at), given = input_gradient(after, taps, p, c, shape.channels, shape.stride);
      const __m512 gradient = act.gradient_before(given, norm.apply(value, c), c);
      store(dx + at, gradient);
      gradients = _mm512_add_ps(gradients, gradient);
      products = _mm512_fmadd_ps(gradient, value, products);
    }
    accumulate(&sums.one[c], gradients);
    accumulate(&sums.two[c], products);
  }
  sums.flush();
}
