// Group norm and activation in one; with no groups, the activation alone.
#include "passes.h"

extern "C" {

// x, y: (images, pixels, channels). mean, rstd: (images, groups), written.
void norm_forward(const bf16* x, bf16* y, const float* gamma, const float* beta, const float* slope, float cap,
                  float* mean, float* rstd, long images, long pixels, long channels,
                  long groups, float epsilon) {
  const floats slopes = of_channels(slope, channels);
  const Activation act(slopes, cap);
  for (long n = 0; n < images; n++) {
    const long image = n * pixels * channels;
    Norm norm(gamma, beta, mean + n * groups, rstd + n * groups, channels, groups);
    Sums sums(channels);
    if (groups) sum_values(x + image, pixels, sums);
    norm.fit(sums, pixels, epsilon);
    apply(x + image, y + image, pixels, norm.affine(), act);
  }
}

// dx: as x, written. dgamma, dbeta, dslope: (channels), added to; dslope may be null.
void norm_backward(const bf16* dy, const bf16* x, bf16* dx, const float* gamma, const float* beta, const float* slope,
                   float cap, float* mean, float* rstd, float* dgamma, float* dbeta, float* dslope, long images,
                   long pixels, long channels, long groups) {
  const floats slopes = of_channels(slope, channels);
  const Activation act(slopes, cap);
  for (long n = 0; n < images; n++) {
    const long image = n * pixels * channels;
    Norm norm(gamma, beta, mean + n * groups, rstd + n * groups, channels, groups);
    Sums sums(channels);
    norm.recall();
    if (groups) sum_gradients(dy + image, x + image, pixels, norm.affine(), act, sums);
    norm.fit_back(sums, pixels, dgamma, dbeta);
    back(dy + image, x + image, dx + image, pixels, norm.affine(), act);
    if (!dslope) continue;
    Sums of_slopes(channels);
    sum_slopes(dy + image, x + image, pixels, norm.affine(), of_slopes);
    for (int c = 0; c < channels; c++) dslope[c] += float(of_slopes.total_one[c]);
  }
}
}
