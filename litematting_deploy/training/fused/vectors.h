// Sixteen channels at a time: bfloat16 in memory, float32 in registers, sums over an image in double.
//
// A map is (N, H, W, C) in memory, PyTorch's channels-last order. The functions here go over one image of a batch, as
// `pixels` x `channels` values.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using bf16 = uint16_t;
using floats = std::vector<float>;
using doubles = std::vector<double>;

constexpr int LANES = 16;
// Pixels whose sums are kept in float32 before they are added in double.
constexpr size_t TILE = 512;

inline int padded(int channels) { return (channels + LANES - 1) / LANES * LANES; }

inline __m512 get(const float* from) { return _mm512_loadu_ps(from); }
inline void put(float* to, __m512 value) { _mm512_storeu_ps(to, value); }

// A bfloat16 is the upper half of a float32.
inline __m512 widened(__m256i values) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}

inline __m512 load(const bf16* from) { return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
// `mask` is known at compile time where all sixteen are there.
inline __m512 load(const bf16* from, __mmask16 mask) {
  return mask == 0xffff ? load(from) : widened(_mm256_maskz_loadu_epi16(mask, from));
}

inline void store(bf16* to, __m512 value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
}

inline void store(bf16* to, __mmask16 mask, __m512 value) {
  if (mask == 0xffff) return store(to, value);
  _mm256_mask_storeu_epi16(to, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
}

inline void add(float* to, __m512 value) { put(to, _mm512_add_ps(get(to), value)); }

// Values of each channel, followed by what makes them a multiple of sixteen.
inline floats of_channels(const float* values, int channels) {
  floats copy(padded(channels));
  std::copy(values, values + channels, copy.begin());
  return copy;
}

// What the passes need of the structures below lies in small ones of pointers, which are passed by value: a compiler
// cannot know that a map that is written holds none of the pointers behind a reference, and would read these anew for
// every vector.

// An activation and its derivative: z above zero, up to `cap`, and slope * z below, with a slope for each channel.
// ReLU, ReLU6, leaky ReLU and PReLU are all of this form, and a slope of 1 stands for none.
struct Activation {
  const float* slope;
  __m512 cap;

  Activation(const floats& slopes, float cap) : slope(slopes.data()), cap(_mm512_set1_ps(cap)) {}

  __m512 apply(__m512 z, int channel) const {
    const __mmask16 above = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_GT_OQ);
    return _mm512_mask_min_ps(_mm512_mul_ps(z, get(slope + channel)), above, z, cap);
  }

  // The gradient before the activation, given the one after it.
  __m512 back(__m512 gradient, __m512 z, int channel) const {
    const __mmask16 below = _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_LE_OQ);
    const __mmask16 under_cap = _mm512_cmp_ps_mask(z, cap, _CMP_LT_OQ);
    return _mm512_maskz_mov_ps(under_cap, _mm512_mask_mul_ps(gradient, below, gradient, get(slope + channel)));
  }
};

// A norm of one image as a scale and an offset for each channel. Its gradient is
// scale * gradient + by_value * value + constant.
struct Affine {
  const float *scale, *offset, *by_value, *constant;
  int channels;

  __m512 apply(__m512 value, int channel) const {
    return _mm512_fmadd_ps(value, get(scale + channel), get(offset + channel));
  }

  __m512 back(__m512 gradient, __m512 value, int channel) const {
    const __m512 rest = _mm512_fmadd_ps(value, get(by_value + channel), get(constant + channel));
    return _mm512_fmadd_ps(gradient, get(scale + channel), rest);
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
  float *mean, *rstd;  // of each group
  int channels, groups;
  floats scale, offset, by_value, constant;

  Norm(const float* gamma, const float* beta, float* mean, float* rstd, int channels, int groups)
      : gamma(gamma), beta(beta), mean(mean), rstd(rstd), channels(channels), groups(groups),
        scale(padded(channels), 1.f), offset(padded(channels)), by_value(padded(channels)), constant(padded(channels)) {}

  int width() const { return channels / groups; }

  // Take mean and deviation from the sums of the values and of their squares.
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
    recall();
  }

  // Take mean and deviation as they are.
  void recall() {
    for (int c = 0; groups && c < channels; c++) {
      scale[c] = gamma[c] * rstd[c / width()];
      offset[c] = beta[c] - mean[c / width()] * scale[c];
    }
  }

  // Add to the parameters' gradients, given the sums of the gradient after the norm and of its product with the values.
  void fit_back(const Sums& sums, size_t pixels, float* dgamma, float* dbeta) {
    for (int g = 0; g < groups; g++) {
      const double m = mean[g], r = rstd[g], count = double(width()) * pixels;
      double plain = 0, product = 0;
      for (int c = g * width(); c < (g + 1) * width(); c++) {
        plain += gamma[c] * sums.total_one[c];
        product += gamma[c] * sums.total_two[c];
        dgamma[c] += float(r * (sums.total_two[c] - m * sums.total_one[c]));
        dbeta[c] += float(sums.total_one[c]);
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
