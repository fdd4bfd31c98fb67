// Sixteen channels at a time: bfloat16 in memory, float32 in registers.
#pragma once
#include <immintrin.h>

#include <cstdint>

using bf16 = uint16_t;

constexpr int LANES = 16;

inline __m512 load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, __m512 value) { _mm512_storeu_ps(to, value); }
inline void accumulate(float* to, __m512 value) { store(to, _mm512_add_ps(load(to), value)); }

// A bfloat16 is the upper half of a float32.
inline __m512 widened(__m256i values) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}

inline __m512 load(const bf16* from) { return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }

// Callers pass a constant mask for full vectors, so this branch disappears when it is inlined.
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
