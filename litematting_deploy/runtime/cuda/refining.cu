// Refinement on the device, as matting/refine.py and matting/laplacian.py do it. Compiled behind kernels.cu, whose rules
// hold here, too: sums over many pixels are made by threads that add up their own share, always in the same order.
//
// A level is a photo (level_height, level_width, 3), its alpha, and `unknown`, which is a trimap or has UNKNOWN where one
// would have it. A tile (height, width) lies at (top, left) in it. Where its weights are above 0, alpha may change.

static const double UNIT = 9.0 * 255.0;  // differences from a window's mean times this are integers

// One thread per pixel of the half (ceil(height / 2), ceil(width / 2)): the means of 2x2 pixels, unknown where two of
// them are; an odd last row or column counts twice.
extern "C" __global__ void halve_level(const u8 *__restrict__ image, const u8 *__restrict__ unknown,
                                       const float *__restrict__ alpha, u8 *__restrict__ half_image,
                                       u8 *__restrict__ half_unknown, float *__restrict__ half_alpha, int height,
                                       int width) {
    const int x = X, y = Y, half = (width + 1) / 2;
    if (x >= half || y >= (height + 1) / 2) return;
    int colours[3] = {0, 0, 0}, count = 0;
    float sum = 0.0f;
    for (int n = 0; n < 4; ++n) {
        const offset at = (offset)clamped(2 * y + n / 2, height - 1) * width + clamped(2 * x + n % 2, width - 1);
        for (int c = 0; c < 3; ++c) colours[c] += image[3 * at + c];
        count += unknown[at] == UNKNOWN;
        sum += alpha[at];
    }
    const offset to = (offset)y * half + x;
    for (int c = 0; c < 3; ++c) half_image[3 * to + c] = (u8)((colours[c] + 2) / 4);
    half_unknown[to] = count >= 2 ? UNKNOWN : BACKGROUND;
    half_alpha[to] = count >= 2 ? sum * 0.25f : rintf(sum * 0.25f);
}

// One thread per block of blocks (ceil(level_height / block), ceil(level_width / block)): 1 where one of its pixels is
// unknown.
extern "C" __global__ void unknown_blocks(const u8 *__restrict__ unknown, u8 *__restrict__ blocks, int level_height,
                                          int level_width, int block) {
    const int x = X, y = Y, across = (level_width + block - 1) / block;
    if (x >= across || y >= (level_height + block - 1) / block) return;
    bool any = false;
    for (int row = y * block; row < (y + 1) * block && row < level_height && !any; ++row)
        for (int column = x * block; column < (x + 1) * block && column < level_width; ++column)
            any |= unknown[(offset)row * level_width + column] == UNKNOWN;
    blocks[(offset)y * across + x] = any;
}

// The colours of the 3x3 pixels around (x, y) less their mean, times UNIT; the border of the image is repeated.
static inline __device__ void colours_apart(const u8 *__restrict__ image, int x, int y, int height, int width,
                                            int apart[9][3]) {
    int total[3] = {0, 0, 0};
    for (int n = 0; n < 9; ++n) {
        const offset at = (offset)clamped(y + n / 3 - 1, height - 1) * width + clamped(x + n % 3 - 1, width - 1);
        for (int c = 0; c < 3; ++c) {
            apart[n][c] = 9 * image[3 * at + c];
            total[c] += image[3 * at + c];
        }
    }
    for (int n = 0; n < 9; ++n)
        for (int c = 0; c < 3; ++c) apart[n][c] -= total[c];
}

// The factor of Cholesky of the covariance of these colours, with `least` added to its diagonal: that factor's (1, 0),
// (2, 0) and (2, 1), and the inverses of its diagonal.
struct Factor { double l10, l20, l21, d0, d1, d2; };

static inline __device__ Factor factored(int apart[9][3], double least) {
    int sums[3][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
    for (int n = 0; n < 9; ++n)
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j <= i; ++j) sums[i][j] += apart[n][i] * apart[n][j];
    Factor f;
    f.d0 = 1.0 / sqrt(sums[0][0] / 9.0 + least);
    f.l10 = sums[1][0] / 9.0 * f.d0;
    f.l20 = sums[2][0] / 9.0 * f.d0;
    f.d1 = 1.0 / sqrt(fmax(sums[1][1] / 9.0 + least - f.l10 * f.l10, least));
    f.l21 = (sums[2][1] / 9.0 - f.l20 * f.l10) * f.d1;
    f.d2 = 1.0 / sqrt(fmax(sums[2][2] / 9.0 + least - f.l20 * f.l20 - f.l21 * f.l21, least));
    return f;
}

// Solves the factor times result = values.
template <typename Value>
static inline __device__ void whitened(Factor f, const Value *values, double *result) {
    result[0] = values[0] * f.d0;
    result[1] = (values[1] - f.l10 * result[0]) * f.d1;
    result[2] = (values[2] - f.l20 * result[0] - f.l21 * result[1]) * f.d2;
}

// One thread per pixel of a part (height, width) of the level: slopes (4, height, width) and constant of the affine
// function of the colours (0..1) that is nearest to alpha in the 3x3 pixels around.
extern "C" __global__ void affine_slopes(const u8 *__restrict__ image, const float *__restrict__ alpha,
                                         float *__restrict__ slopes, int height, int width, int level_height,
                                         int level_width, int top, int left, float epsilon) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    int apart[9][3];
    colours_apart(image, left + x, top + y, level_height, level_width, apart);
    const Factor f = factored(apart, epsilon * UNIT * UNIT);
    double level = 0.0, together[3] = {0.0, 0.0, 0.0}, s[3];
    for (int n = 0; n < 9; ++n) {
        const int row = clamped(top + y + n / 3 - 1, level_height - 1);
        const double value = alpha[(offset)row * level_width + clamped(left + x + n % 3 - 1, level_width - 1)] / 9.0;
        level += value;
        for (int c = 0; c < 3; ++c) together[c] += apart[n][c] * UNIT * value;
    }
    whitened(f, together, s);
    s[2] *= f.d2;
    s[1] = (s[1] - f.l21 * s[2]) * f.d1;
    s[0] = (s[0] - f.l10 * s[1] - f.l20 * s[2]) * f.d0;
    const offset at = (offset)y * width + x, plane = (offset)height * width;
    for (int c = 0; c < 3; ++c) {
        slopes[c * plane + at] = (float)s[c];
        level -= s[c] * (9 * image[3 * ((offset)(top + y) * level_width + left + x) + c] - apart[4][c]) / UNIT;
    }
    slopes[3 * plane + at] = (float)level;
}

// One thread per pixel and plane (z): means (4, height, width) of 3x3 slopes; their border is repeated.
extern "C" __global__ void mean_slopes(const float *__restrict__ slopes, float *__restrict__ means, int height,
                                       int width) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset plane = (offset)Z * height * width;
    double sum = 0.0;
    for (int n = 0; n < 9; ++n)
        sum += slopes[plane + (offset)clamped(y + n / 3 - 1, height - 1) * width + clamped(x + n % 3 - 1, width - 1)];
    means[plane + (offset)y * width + x] = (float)(sum / 9.0);
}

// One thread per pixel of a tile. solution: what it begins with, which is its prior. weights: those of the prior, 0 for
// known pixels and in the `ring` along a side where the tile cuts the level off. slopes (4, slopes_height,
// slopes_width): those of the half of the level from its pixel (slopes_top, slopes_left) on; null for the coarsest
// level, whose prior is the level's alpha alone, with `weight`. Otherwise the prior is the weighted mean of what the
// slopes give, with `weight`, and of the level's alpha, with `own_weight` and up to `sure_weight` more where it is 0 or
// 1 (to the power of `sure_power`) and not `apart` from the other.
extern "C" __global__ void begin_tile(const u8 *__restrict__ image, const u8 *__restrict__ unknown,
                                      const float *__restrict__ alpha, const float *__restrict__ slopes,
                                      float *__restrict__ solution, float *__restrict__ weights, int height, int width,
                                      int level_height, int level_width, int top, int left, int slopes_height,
                                      int slopes_width, int slopes_top, int slopes_left, int ring, float weight,
                                      float own_weight, float sure_weight, float apart, int sure_power) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset at = (offset)y * width + x, from = (offset)(top + y) * level_width + left + x;
    const float own = alpha[from];
    float prior = own, total = weight;
    if (slopes) {
        const int fine_y = top + y - 2 * slopes_top, fine_x = left + x - 2 * slopes_left;
        float carried = 0.0f, sure = sure_weight;
        for (int c = 0; c < 4; ++c) {
            const float *__restrict__ plane = slopes + (offset)c * slopes_height * slopes_width;
            const float colour = c < 3 ? (float)image[3 * from + c] / 255.0f : 1.0f;
            carried += begun(plane, fine_x, fine_y, slopes_height, slopes_width) * colour;
        }
        carried = carried < 0.0f ? 0.0f : carried > 1.0f ? 1.0f : carried;
        const float far = (carried - own) / apart;
        for (int n = 0; n < sure_power; ++n) sure *= fabsf(2.0f * own - 1.0f);
        sure /= (1.0f + far * far) * (1.0f + far * far);
        total = weight + own_weight + sure;
        prior = (weight * carried + (own_weight + sure) * own) / total;
    }
    const bool cut = (top > 0 && y < ring) || (left > 0 && x < ring) ||
                     (top + height < level_height && y >= height - ring) ||
                     (left + width < level_width && x >= width - ring);
    solution[at] = unknown[from] == UNKNOWN ? prior : own;
    weights[at] = unknown[from] == UNKNOWN && !cut ? total : 0.0f;
}

// The pixel that plane `number` of the matrix joins (x, y) with, as laplacian.py numbers them, and whether it exists.
static inline __device__ bool joined(int number, int side, int x, int y, int height, int width, offset *at) {
    const int dy = (number + 2) / 5, row = y + side * dy, column = x + side * (number - 5 * dy);
    *at = (offset)row * width + column;
    return row >= 0 && row < height && column >= 0 && column < width;
}

// One thread per pixel of a tile: its row of the matting Laplacian, planes (13, height, width), by windows within the
// tile; 0 where it joins no pixel that may change. In double precision, since the covariance of greys is all but singular.
extern "C" __global__ void matting_laplacian(const u8 *__restrict__ image, const float *__restrict__ weights,
                                             float *__restrict__ planes, int height, int width, int level_height,
                                             int level_width, int top, int left, float epsilon) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    double sums[13] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    bool needed = false;
    for (int number = 0; number < 13; ++number) {
        offset other;
        needed |= joined(number, 1, x, y, height, width, &other) && weights[other] > 0.0f;
    }
    for (int own = 0; own < 9 && needed; ++own) {  // (x, y) is this one of the pixels of a window
        const int row = y + 1 - own / 3, column = x + 1 - own % 3;
        if (row < 1 || column < 1 || row > height - 2 || column > width - 2) continue;
        int apart[9][3];
        colours_apart(image, left + column, top + row, level_height, level_width, apart);
        const Factor f = factored(apart, epsilon / 9.0 * UNIT * UNIT);
        double mine[3], others[3];
        whitened(f, apart[own], mine);
        for (int n = own; n < 9; ++n) {  // it, and those after it
            whitened(f, apart[n], others);
            const double product = mine[0] * others[0] + mine[1] * others[1] + mine[2] * others[2];
            sums[5 * (n / 3 - own / 3) + n % 3 - own % 3] += (n == own) - (1.0 + product) / 9.0;
        }
    }
    const offset plane = (offset)height * width;
    for (int number = 0; number < 13; ++number) planes[number * plane + (offset)y * width + x] = (float)sums[number];
}

// One thread per pixel of a tile: product = (the matrix, and the weights unless `alone`) times vector, where alpha may
// change, else 0.
extern "C" __global__ void laplacian_times(const float *__restrict__ planes, const float *__restrict__ weights,
                                           const float *__restrict__ vector, float *__restrict__ product, int height,
                                           int width, int alone) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset at = (offset)y * width + x, plane = (offset)height * width;
    const float weight = weights[at];
    float sum = 0.0f;
    if (weight > 0.0f) {
        sum = (planes[at] + (alone ? 0.0f : weight)) * vector[at];
        for (int number = 1; number < 13; ++number) {
            offset other;
            if (joined(number, 1, x, y, height, width, &other)) sum += planes[number * plane + at] * vector[other];
            if (joined(number, -1, x, y, height, width, &other)) sum += planes[number * plane + other] * vector[other];
        }
    }
    product[at] = sum;
}

// What a pixel alone would change by: its residual over the diagonal of the matrix, or 0 where alpha stays.
static inline __device__ float changed(const float *__restrict__ planes, const float *__restrict__ weights, offset at,
                                       float residual) {
    return weights[at] > 0.0f ? 1.0f / (planes[at] + weights[at] + 1e-12f) * residual : 0.0f;
}

// One thread per pixel of a tile: the first residual, which is what product lacks, and the change, which takes the place
// of product and is the first direction.
extern "C" __global__ void begin_steps(const float *__restrict__ planes, const float *__restrict__ weights,
                                       float *__restrict__ direction, float *__restrict__ residual,
                                       float *__restrict__ product, int height, int width) {
    if (X >= width || Y >= height) return;
    const offset at = (offset)Y * width + X;
    residual[at] = -product[at];
    direction[at] = product[at] = changed(planes, weights, at, -product[at]);
}

// One thread per pixel of a tile: a step of size / curved. The change takes the place of product.
extern "C" __global__ void take_step(const float *__restrict__ planes, const float *__restrict__ weights,
                                   const float *__restrict__ direction, float *__restrict__ solution,
                                   float *__restrict__ residual, float *__restrict__ product,
                                   const double *__restrict__ size, const double *__restrict__ curved, int height,
                                   int width) {
    if (X >= width || Y >= height) return;
    const offset at = (offset)Y * width + X;
    const float length = curved[0] > 0.0 ? (float)(size[0] / curved[0]) : 0.0f;
    solution[at] += direction[at] * length;
    residual[at] -= product[at] * length;
    product[at] = changed(planes, weights, at, residual[at]);
}

// One thread per pixel of a tile: the next direction, from the change and the sizes of the residual.
extern "C" __global__ void turn_direction(float *__restrict__ direction, const float *__restrict__ change,
                                const double *__restrict__ size, const double *__restrict__ before, int height,
                                int width) {
    if (X >= width || Y >= height) return;
    const offset at = (offset)Y * width + X;
    direction[at] = direction[at] * (before[0] > 0.0 ? (float)(size[0] / before[0]) : 0.0f) + change[at];
}

// A thread of `threads`, 32 in a row: its share of the sum of first * second, and of the largest |second|; parts (threads,
// 2).
extern "C" __global__ void dot_parts(const float *__restrict__ first, const float *__restrict__ second,
                                     double *__restrict__ parts, int count, int threads) {
    const int thread = 32 * Y + X;
    if (thread >= threads) return;
    double sum = 0.0, most = 0.0;
    for (int at = thread; at < count; at += threads) {
        sum += (double)first[at] * second[at];
        most = fmax(most, fabs((double)second[at]));
    }
    parts[2 * thread] = sum;
    parts[2 * thread + 1] = most;
}

// The same of `count` parts, to sums (threads, 2).
extern "C" __global__ void dot_sums(const double *__restrict__ parts, double *__restrict__ sums, int count, int threads) {
    const int thread = 32 * Y + X;
    if (thread >= threads) return;
    double sum = 0.0, most = 0.0;
    for (int at = thread; at < count; at += threads) {
        sum += parts[2 * at];
        most = fmax(most, parts[2 * at + 1]);
    }
    sums[2 * thread] = sum;
    sums[2 * thread + 1] = most;
}

// One thread per pixel of a part (height, width) of the level, which begins at (skipped_y, skipped_x) in a tile of
// tile_width: refined (level_height, level_width), 0..1.
extern "C" __global__ void settle_alpha(const float *__restrict__ solution, float *__restrict__ refined, int height,
                                        int width, int level_width, int top, int left, int tile_width, int skipped_y,
                                        int skipped_x) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const float value = solution[(offset)(skipped_y + y) * tile_width + skipped_x + x];
    refined[(offset)(top + y) * level_width + left + x] = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
}

// level_*, one thread per pixel: alpha 0..1 as the nearest level up to MOST.
#define LEVEL(NAME, TYPE, MOST)                                                                                       \
    extern "C" __global__ void NAME(const float *__restrict__ alpha, TYPE *__restrict__ target, int height, int width) { \
        if (X >= width || Y >= height) return;                                                                        \
        target[(offset)Y * width + X] = (TYPE)rintf(alpha[(offset)Y * width + X] * MOST);                             \
    }

LEVEL(level_uint8, u8, 255.0f)
LEVEL(level_uint16, u16, 65535.0f)
