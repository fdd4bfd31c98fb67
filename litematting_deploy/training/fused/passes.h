// Passes over one image of a batch, `pixels` x `channels` values, and over the images.
//
// A map is (N, H, W, C) in memory, PyTorch's channels-last order.
#pragma once
#include <thread>

#include "norms.h"

// Call `work(n)` for every image, in up to `threads` threads.
template <class Work>
inline void over_images(long images, long threads, Work work) {
  const long used = std::min(images, threads);
  const auto every = [=](long first) {
    for (long n = first; n < images; n += used) work(n);
  };
  std::vector<std::thread> others;
  for (long k = 1; k < used; k++) others.emplace_back(every, k);
  every(0);
  for (std::thread& other : others) other.join();
}

// Call `each(offset, channel, mask)` for every vector of an image, and `flush` after every TILE pixels and at the end.
template <class Each, class Flush>
inline void over(size_t pixels, int channels, Each each, Flush flush) {
  const int whole = channels / LANES * LANES;
  const __mmask16 rest = static_cast<__mmask16>((1u << (channels - whole)) - 1);
  for (size_t first = 0; first < pixels; first += TILE) {
    for (size_t p = first; p < std::min(first + TILE, pixels); p++) {
      for (int c = 0; c < whole; c += LANES) each(p * channels + c, c, 0xffff);
      if (rest) each(p * channels + whole, whole, rest);
    }
    flush();
  }
}

// Sum the values and their squares.
inline void sum_values(const bf16* x, size_t pixels, Sums& sums) {
  float *const values = sums.one.data(), *const squares = sums.two.data();
  over(pixels, sums.channels, [=](size_t at, int c, __mmask16 mask) {
    const __m512 value = load(x + at, mask);
    accumulate(values + c, value);
    store(squares + c, _mm512_fmadd_ps(value, value, load(squares + c)));
  }, [&] { sums.flush(); });
}

// Sum the gradient between norm and activation, and its products with the values.
inline void sum_gradients(const bf16* dy, const bf16* x, size_t pixels, Affine norm, Activation act, Sums& sums) {
  float *const gradients = sums.one.data(), *const products = sums.two.data();
  over(pixels, norm.channels, [=](size_t at, int c, __mmask16 mask) {
    const __m512 value = load(x + at, mask);
    const __m512 gradient = act.gradient_before(load(dy + at, mask), norm.apply(value, c), c);
    accumulate(gradients + c, gradient);
    store(products + c, _mm512_fmadd_ps(gradient, value, load(products + c)));
  }, [&] { sums.flush(); });
}

// Sum the gradient times what is below zero: the gradient of the slopes.
inline void sum_slopes(const bf16* dy, const bf16* x, size_t pixels, Affine norm, Sums& sums) {
  float* const slopes = sums.one.data();
  over(pixels, norm.channels, [=](size_t at, int c, __mmask16 mask) {
    const __m512 z = norm.apply(load(x + at, mask), c);
    accumulate(slopes + c, _mm512_mul_ps(load(dy + at, mask), _mm512_min_ps(z, _mm512_setzero_ps())));
  }, [&] { sums.flush(); });
}

// Write the map after norm and activation.
inline void apply(const bf16* x, bf16* y, size_t pixels, Affine norm, Activation act) {
  over(pixels, norm.channels, [=](size_t at, int c, __mmask16 mask) {
    store(y + at, mask, act.apply(norm.apply(load(x + at, mask), c), c));
  }, [] {});
}

// Write the gradient before the norm.
inline void gradient_before(const bf16* dy, const bf16* x, bf16* dx, size_t pixels, Affine norm, Activation act) {
  over(pixels, norm.channels, [=](size_t at, int c, __mmask16 mask) {
    const __m512 value = load(x + at, mask), z = norm.apply(value, c);
    store(dx + at, mask, norm.gradient_before(act.gradient_before(load(dy + at, mask), z, c), value, c));
  }, [] {});
}
