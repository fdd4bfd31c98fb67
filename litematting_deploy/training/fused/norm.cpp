// Group norm and activation in one; with no groups, the activation alone.
#include "passes.h"

// Rows of `parameters` and of each image's `gradients`, (3, channels).
enum { GAMMA, BETA, SLOPE, ROWS };

extern "C" {

// x, y: (images, pixels, channels); y is written. statistics: mean and 1 / deviation of each group, written,
// (images, 2, groups).
void norm_forward(const bf16* x, bf16* y, const float* parameters, float cap, float* statistics, long images,
                  long pixels, long channels, long groups, float epsilon, long threads) {
  const floats slopes = of_channels(parameters + SLOPE * channels, channels);
  over_images(images, threads, [&](long n) {
    const long image = n * pixels * channels;
    Norm norm(parameters, statistics + n * 2 * groups, channels, groups);
    Sums sums(channels);
    if (groups) sum_values(x + image, pixels, sums);
    norm.fit(sums, pixels, epsilon);
    apply(x + image, y + image, pixels, norm.affine(), Activation(slopes, cap));
  });
}

// dx: as x, written. gradients: (images, 3, channels), zeros before. learns: whether the slopes' is computed.
void norm_backward(const bf16* dy, const bf16* x, bf16* dx, const float* parameters, float cap, float* statistics,
                   float* gradients, long learns, long images, long pixels, long channels, long groups,
                   long threads) {
  const floats slopes = of_channels(parameters + SLOPE * channels, channels);
  over_images(images, threads, [&](long n) {
    const long image = n * pixels * channels;
    float* const own = gradients + n * ROWS * channels;
    Norm norm(parameters, statistics + n * 2 * groups, channels, groups);
    norm.set_affine();
    Sums sums(channels);
    if (groups) sum_gradients(dy + image, x + image, pixels, norm.affine(), Activation(slopes, cap), sums);
    norm.fit_gradient(sums, pixels, own + GAMMA * channels, own + BETA * channels);
    gradient_before(dy + image, x + image, dx + image, pixels, norm.affine(), Activation(slopes, cap));
    if (!learns) return;
    Sums of_slopes(channels);
    sum_slopes(dy + image, x + image, pixels, norm.affine(), of_slopes);
    std::copy(of_slopes.total_one.begin(), of_slopes.total_one.end(), own + SLOPE * channels);
  });
}
}
