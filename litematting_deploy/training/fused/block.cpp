// The middle of a mobile block in one: norm, activation, depthwise 3x3, norm, activation.
//
// Only the maps before each norm are kept for the backward pass. Everything between them is computed row by row in a
// ring of three rows, which stays in the cache.
#include "convolution.h"

// Rows of `parameters` and of each image's `gradients`, (14, channels). The two norms, gamma and beta each, come first.
enum { BEFORE = 0, AFTER = 2, SLOPE = 4, KERNEL = 5, ROWS = 14 };

struct Block {
  Shape shape;
  const float* kernel;
  Norm before, after;  // of one image
  Activation act;

  // statistics: mean and 1 / deviation of the groups, before and after the convolution, (4, groups).
  Block(Shape shape, const float* parameters, const floats& slopes, float* statistics, int groups)
      : shape(shape), kernel(parameters + KERNEL * shape.channels),
        before(parameters + BEFORE * shape.channels, statistics, shape.channels, groups),
        after(parameters + AFTER * shape.channels, statistics + 2 * groups, shape.channels, groups),
        act(slopes, INFINITY) {}

  size_t row() const { return size_t(shape.width) * shape.channels; }
  size_t out_row() const { return size_t(shape.out_width()) * shape.channels; }

  void forward(const bf16* x, bf16* between, bf16* y, float epsilon) {
    Sums sums_before(shape.channels), sums_after(shape.channels);
    sum_values(x, shape.pixels(), sums_before);
    before.fit(sums_before, shape.pixels(), epsilon);
    Rows values(shape.width, shape.channels, 0);
    for (int r = 0, filled = 0; r < shape.out_height(); r++) {
      const int first = r * shape.stride;
      for (; filled < first + 3; filled++) fill(values, x, filled);
      const bf16* const rows[3] = {values.at(first), values.at(first + 1), values.at(first + 2)};
      convolve(rows, kernel, between + r * out_row(), shape, sums_after);
    }
    after.fit(sums_after, shape.out_pixels(), epsilon);
    apply(between, y, shape.out_pixels(), after.affine(), act);
  }

  // gradients: as the parameters, (14, channels), all zeros before.
  void backward(const bf16* dy, const bf16* x, const bf16* between, bf16* dx, float* gradients) {
    const auto of = [&](int row) { return gradients + row * shape.channels; };
    Sums sums_before(shape.channels), sums_after(shape.channels);
    before.set_affine();
    after.set_affine();
    sum_gradients(dy, between, shape.out_pixels(), after.affine(), act, sums_after);
    after.fit_gradient(sums_after, shape.out_pixels(), of(AFTER), of(AFTER + 1));
    // Row r of the input receives gradients from the output rows (r - i) / stride, for i = 0, 1 and 2.
    Rows values(shape.width, shape.channels, 0), given(shape.out_width(), shape.channels, 2);
    for (int r = 0, filled = 0; r < shape.height; r++) {
      const int out = r / shape.stride;
      if (r % shape.stride == 0 && out < shape.out_height()) {
        const size_t at = out * out_row();
        gradient_before(dy + at, between + at, given.at(out), shape.out_width(), after.affine(), act);
        for (; filled < r + 3; filled++) fill(values, x, filled);
        const bf16* const rows[3] = {values.at(r), values.at(r + 1), values.at(r + 2)};
        add_to_kernel(given.at(out), rows, of(KERNEL), shape);
      }
      const bf16* from[3];
      for (int i = 0; i < 3; i++) {
        const bool there = r >= i && (r - i) % shape.stride == 0 && (r - i) / shape.stride < shape.out_height();
        from[i] = there ? given.at((r - i) / shape.stride) : given.none();
      }
      input_gradient_row(from, kernel, x + r * row(), dx + r * row(), before.affine(), act, shape, sums_before);
    }
    before.fit_gradient(sums_before, shape.pixels(), of(BEFORE), of(BEFORE + 1));
    // Until here, `dx` holds the gradient between the first norm and its activation.
    const floats ones(shape.channels, 1.f);
    gradient_before(dx, x, dx, shape.pixels(), before.affine(), Activation(ones, INFINITY));
  }

  // Write row `number` of the first activation's result into the ring.
  void fill(Rows& values, const bf16* x, int number) {
    apply(x + number * row(), values.at(number), shape.width, before.affine(), act);
  }
};

extern "C" {

// x: (images, height, width, channels). between, after the convolution, and y, the result: written.
// statistics: (images, 4, groups), written.
void block_forward(const bf16* x, const float* parameters, bf16* between, bf16* y, float* statistics, long images,
                   long height, long width, long channels, long groups, long stride, float epsilon, long threads) {
  const Shape shape{int(height), int(width), int(channels), int(stride)};
  const floats slopes = of_channels(parameters + SLOPE * channels, channels);
  over_images(images, threads, [&](long n) {
    const size_t in = n * shape.pixels() * channels, out = n * shape.out_pixels() * channels;
    Block block(shape, parameters, slopes, statistics + n * 4 * groups, groups);
    block.forward(x + in, between + out, y + out, epsilon);
  });
}

// dx: as x, written. gradients: (images, 14, channels), zeros before.
void block_backward(const bf16* dy, const bf16* x, const bf16* between, const float* parameters, float* statistics,
                    bf16* dx, float* gradients, long images, long height, long width, long channels, long groups,
                    long stride, long threads) {
  const Shape shape{int(height), int(width), int(channels), int(stride)};
  const floats slopes = of_channels(parameters + SLOPE * channels, channels);
  over_images(images, threads, [&](long n) {
    const size_t in = n * shape.pixels() * channels, out = n * shape.out_pixels() * channels;
    Block block(shape, parameters, slopes, statistics + n * 4 * groups, groups);
    block.backward(dy + out, x + in, between + out, dx + in, gradients + n * ROWS * channels);
  });
}
}
