// What is known of each channel of an image: sums, norms and activations.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

using floats = std::vector<float>;
using doubles = std::vector<double>;

// Pixels whose sums are kept in float32 before they are added in double.
constexpr size_t TILE = 512;

inline int padded(int channels) { return (channels + LANES - 1) / LANES * LANES; }

// Copy one value per channel, padded with zeros to a multiple of LANES.
inline floats of_channels(const float* values, int channels) {
  floats copy(padded(channels));
  std::copy(values, values + channels, copy.begin());
  return copy;
}

// Passes take `Activation` and `Affine`, small structs of pointers, by value. Through a reference, the compiler would
// have to assume that a write to a map changes these pointers, and would reload them for every vector.

// An activation and its derivative: z above zero, up to `cap`, and slope * z below, with a slope for each channel.
// ReLU, ReLU6, leaky ReLU and PReLU are all of this form, and a slope of 1 stands for none.
struct Activation {
  const float* slope;
  __m512 cap;

  Activation(const floats& slopes, float cap) : slope(slopes.data()), cap(_mm512_set1_ps(cap)) {}

  __m512 apply(__m512 z, int channel) const {
    const __mmask16 above = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_GT_OQ);
    return _mm512_mask_min_ps(_mm512_mul_ps(z, load(slope + channel)), above, z, cap);
  }

  // The gradient before the activation, given the one after it.
  __m512 gradient_before(__m512 gradient, __m512 z, int channel) const {
    const __mmask16 below = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_LE_OQ);
    const __mmask16 under_cap = _mm512_cmp_ps_mask(z, cap, _CMP_LT_OQ);
    return _mm512_maskz_mov_ps(under_cap, _mm512_mask_mul_ps(gradient, below, gradient, load(slope + channel)));
  }
};

// A norm of one image as a scale and an offset for each channel. Its gradient is
// scale * gradient + by_value * value + constant.
struct Affine {
  const float *scale, *offset, *by_value, *constant;
  int channels;

  __m512 apply(__m512 value, int channel) const {
    return _mm512_fmadd_ps(value, load(scale + channel), load(offset + channel));
  }

  __m512 gradient_before(__m512 gradient, __m512 value, int channel) const {
    const __m512 rest = _mm512_fmadd_ps(value, load(by_value + channel), load(constant + channel));
    return _mm512_fmadd_ps(gradient, load(scale + channel), rest);
  }
};

// Two sums for each channel, in float32 until `flush` adds them in double.
struct Sums {
  int channels;
  floats one, two;
  doubles total_one, total_two;

  explicit Sums(int channels)
      : channels(channels), one(padded(channels)), two(padded(channels)), total_one(channels), total_two(channels) {}

  void flush() {
    for (int c = 0; c < channels; c++) {
      total_one[c] += one[c];
      total_two[c] += two[c];
    }
    std::fill(one.begin(), one.end(), 0.f);
    std::fill(two.begin(), two.end(), 0.f);
  }
};

// The group norm of one image. Without groups it changes nothing.
struct Norm {
  const float *gamma, *beta;
  float *mean, *rstd;  // of each group: written by `fit`, read by `set_affine`
  int channels, groups;
  floats scale, offset, by_value, constant;

  // parameters: gamma and beta, (2, channels). statistics: mean and 1 / deviation, (2, groups).
  Norm(const float* parameters, float* statistics, int channels, int groups)
      : gamma(parameters), beta(parameters + channels), mean(statistics), rstd(statistics + groups),
        channels(channels), groups(groups), scale(padded(channels), 1.f), offset(padded(channels)),
        by_value(padded(channels)), constant(padded(channels)) {}

  int width() const { return channels / groups; }

  // Compute mean and deviation from the sums of the values and of their squares.
  void fit(const Sums& sums, size_t pixels, float epsilon) {
    for (int g = 0; g < groups; g++) {
      double value = 0, square = 0;
      for (int c = g * width(); c < (g + 1) * width(); c++) {
        value += sums.total_one[c];
        square += sums.total_two[c];
      }
      const double count = double(width()) * pixels, centre = value / count;
      mean[g] = float(centre);
      rstd[g] = float(1 / std::sqrt(std::max(square / count - centre * centre, 0.0) + epsilon));
    }
    set_affine();
  }

  // Compute scale and offset from the stored mean and deviation.
  void set_affine() {
    for (int c = 0; groups && c < channels; c++) {
      scale[c] = gamma[c] * rstd[c / width()];
      offset[c] = beta[c] - mean[c / width()] * scale[c];
    }
  }

  // Write the parameters' gradients, given the sums of the gradient after the norm and of its products with the values.
  void fit_gradient(const Sums& sums, size_t pixels, float* dgamma, float* dbeta) {
    for (int g = 0; g < groups; g++) {
      const double m = mean[g], r = rstd[g], count = double(width()) * pixels;
      double plain = 0, product = 0;
      for (int c = g * width(); c < (g + 1) * width(); c++) {
        plain += gamma[c] * sums.total_one[c];
        product += gamma[c] * sums.total_two[c];
        dgamma[c] = float(r * (sums.total_two[c] - m * sums.total_one[c]));
        dbeta[c] = float(sums.total_one[c]);
      }
      const double slope = (plain * m - product) * r * r * r / count;
      for (int c = g * width(); c < (g + 1) * width(); c++) {
        by_value[c] = float(slope);
        constant[c] = float(-slope * m - plain * r / count);
      }
    }
  }

  Affine affine() const { return {scale.data(), offset.data(), by_value.data(), constant.data(), channels}; }
};
