// The middle of a mobile block in one: norm, activation, depthwise 3x3, norm, activation.
//
// Only the maps before each norm are kept for the gradient. Everything between is made row by row, three rows at a
// time, which stay in the cache. The number of channels is a multiple of 16.
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
    for (int t = 0; t < 9; t++) of[t] = kernel ? get(kernel + t * channels) : _mm512_setzero_ps();
  }
};

// One row of the convolution, whose values and squares are added to `sums`.
static void convolve(const bf16* const rows[3], const float* kernel, bf16* out, Shape shape, Sums& sums) {
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
    add(&sums.one[c], values);
    add(&sums.two[c], squares);
  }
  sums.flush();
}

// Add to the kernel's gradient (9, C) what one row of the gradient after the convolution gives.
static void add_to_kernel(const bf16* gradient, const bf16* const rows[3], float* dkernel, Shape shape) {
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
    for (int t = 0; t < 9; t++) put(dkernel + t * channels + c, sums.of[t]);
  }
}

// The gradient before the convolution at pixel p of a row. after: for each row of the kernel, the row of the gradient
// after the convolution that it comes from, or zeros.
static inline __m512 spread(const bf16* const after[3], const Taps& taps, int p, int c, int channels, int stride) {
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
static void spread_row(const bf16* const after[3], const float* kernel, const bf16* x, bf16* dx, Affine norm,
                       Activation act, Shape shape, Sums& sums) {
  for (int c = 0; c < shape.channels; c += LANES) {
    const Taps taps(kernel + c, shape.channels);
    __m512 gradients = _mm512_setzero_ps(), products = _mm512_setzero_ps();
    for (int p = 0; p < shape.width; p++) {
      const size_t at = size_t(p) * shape.channels + c;
      const __m512 value = load(x + at), given = spread(after, taps, p, c, shape.channels, shape.stride);
      const __m512 gradient = act.back(given, norm.apply(value, c), c);
      store(dx + at, gradient);
      gradients = _mm512_add_ps(gradients, gradient);
      products = _mm512_fmadd_ps(gradient, value, products);
    }
    add(&sums.one[c], gradients);
    add(&sums.two[c], products);
  }
  sums.flush();
}

// Norms of one image, before and after the convolution.
struct Norms {
  Norm before, after;
  Norms(const float* const affine[4], float* const statistics[4], int n, int channels, int groups)
      : before(affine[0], affine[1], statistics[0] + n * groups, statistics[1] + n * groups, channels, groups),
        after(affine[2], affine[3], statistics[2] + n * groups, statistics[3] + n * groups, channels, groups) {}
};

static void forward(const bf16* x, const float* kernel, bf16* between, bf16* y, Norms& norms, Activation act,
                    Shape shape, float epsilon) {
  const size_t row = size_t(shape.width) * shape.channels, out_row = size_t(shape.out_width()) * shape.channels;
  Sums before(shape.channels), after(shape.channels);
  sum_values(x, shape.pixels(), before);
  norms.before.fit(before, shape.pixels(), epsilon);
  Rows ring(shape.width, shape.channels, 0);
  for (int r = 0, filled = 0; r < shape.out_height(); r++) {
    const int first = r * shape.stride;
    for (; filled < first + 3; filled++) apply(x + filled * row, ring.at(filled), shape.width, norms.before.affine(), act);
    const bf16* const rows[3] = {ring.at(first), ring.at(first + 1), ring.at(first + 2)};
    convolve(rows, kernel, between + r * out_row, shape, after);
  }
  norms.after.fit(after, shape.out_pixels(), epsilon);
  apply(between, y, shape.out_pixels(), norms.after.affine(), act);
}

// gradients: of gamma and beta before, and of gamma and beta after the convolution.
static void backward(const bf16* dy, const bf16* x, const bf16* between, const float* kernel, bf16* dx, float* dkernel,
                     float* const gradients[4], Norms& norms, Activation act, Shape shape) {
  const size_t row = size_t(shape.width) * shape.channels, out_row = size_t(shape.out_width()) * shape.channels;
  Sums before(shape.channels), after(shape.channels);
  norms.before.recall();
  norms.after.recall();
  sum_gradients(dy, between, shape.out_pixels(), norms.after.affine(), act, after);
  norms.after.fit_back(after, shape.out_pixels(), gradients[2], gradients[3]);
  // A row of the input takes from rows of the output at the same place and up to two before.
  Rows values(shape.width, shape.channels, 0), given(shape.out_width(), shape.channels, 2);
  for (int r = 0, filled = 0; r < shape.height; r++) {
    const int out = r / shape.stride;
    if (r % shape.stride == 0 && out < shape.out_height()) {
      back(dy + out * out_row, between + out * out_row, given.at(out), shape.out_width(), norms.after.affine(), act);
      for (; filled < r + 3; filled++) apply(x + filled * row, values.at(filled), shape.width, norms.before.affine(), act);
      const bf16* const rows[3] = {values.at(r), values.at(r + 1), values.at(r + 2)};
      add_to_kernel(given.at(out), rows, dkernel, shape);
    }
    const bf16* from[3];
    for (int i = 0; i < 3; i++) {
      const bool there = r >= i && (r - i) % shape.stride == 0 && (r - i) / shape.stride < shape.out_height();
      from[i] = there ? given.at((r - i) / shape.stride) : given.none();
    }
    spread_row(from, kernel, x + r * row, dx + r * row, norms.before.affine(), act, shape, before);
  }
  norms.before.fit_back(before, shape.pixels(), gradients[0], gradients[1]);
  // `dx` holds the gradient after the first norm until now.
  const floats ones(shape.channels, 1.f);
  back(dx, x, dx, shape.pixels(), norms.before.affine(), Activation(ones, INFINITY));
}

extern "C" {

// x: (images, height, width, channels). between: after the convolution; y: the result. kernel: (9, channels).
// affine: gamma and beta of the first norm and of the second. statistics: mean and 1 / deviation of the first and of the
// second, (images, groups) each, written.
void block_forward(const bf16* x, const float* kernel, const float* const affine[4], bf16* between, bf16* y,
                   float* const statistics[4], const float* slope, long images, long height, long width, long channels,
                   long groups, long stride, float epsilon) {
  const Shape shape{int(height), int(width), int(channels), int(stride)};
  const floats slopes = of_channels(slope, channels);
  const Activation act(slopes, INFINITY);
  for (long n = 0; n < images; n++) {
    Norms norms(affine, statistics, n, channels, groups);
    const size_t out = n * shape.out_pixels() * channels;
    forward(x + n * shape.pixels() * channels, kernel, between + out, y + out, norms, act, shape, epsilon);
  }
}

// dx: as x, written. dkernel: (9, channels), and gradients, as affine: added to.
void block_backward(const bf16* dy, const bf16* x, const bf16* between, const float* kernel,
                    const float* const affine[4], float* const statistics[4], const float* slope, bf16* dx,
                    float* dkernel, float* const gradients[4], long images, long height, long width, long channels,
                    long groups, long stride) {
  const Shape shape{int(height), int(width), int(channels), int(stride)};
  const floats slopes = of_channels(slope, channels);
  const Activation act(slopes, INFINITY);
  for (long n = 0; n < images; n++) {
    Norms norms(affine, statistics, n, channels, groups);
    const size_t image = n * shape.pixels() * channels, out = n * shape.out_pixels() * channels;
    backward(dy + out, x + image, between + out, kernel, dx + image, dkernel, gradients, norms, act, shape);
  }
}
}
