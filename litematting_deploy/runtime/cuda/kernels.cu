// Crop-and-stitch and foreground colours on the device. Each thread writes its own element: no shared memory, no barriers, no atomics, so the
// same source runs as loops on the host, and the same inputs give the same bits. Compiled without contraction of
// multiply and add (--fmad=false), the sums and quotients are NumPy's.
//
// Planes are C-contiguous; sizes in pixels; offsets into planes are 64 bits wide. x runs along threadIdx.x.

typedef unsigned char u8;
typedef unsigned short u16;
typedef long long offset;

static const u8 BACKGROUND = 0, UNKNOWN = 128, FOREGROUND = 255;
static const int REACH = 92;  // pixels; beyond, the guide exp(-d*d / 512) is below 1e-7
static const u16 FAR = 65535;  // squared distance: none within reach

#define X int(blockIdx.x * blockDim.x + threadIdx.x)
#define Y int(blockIdx.y * blockDim.y + threadIdx.y)
#define Z int(blockIdx.z)

static inline __device__ int clamped(int value, int last) {
    return value < 0 ? 0 : value > last ? last : value;
}

// One thread per pixel of target (padded_height, padded_width, channels). source (height, width, channels) lies at
// (top, left) in it. constant: the value around it, or -1 to continue its edges.
extern "C" __global__ void pad(const u8 *__restrict__ source, u8 *__restrict__ target, int height, int width,
                               int padded_height, int padded_width, int top, int left, int channels, int constant) {
    const int x = X, y = Y;
    if (x >= padded_width || y >= padded_height) return;
    const int source_x = clamped(x - left, width - 1), source_y = clamped(y - top, height - 1);
    const bool inside = source_x == x - left && source_y == y - top;
    const offset from = ((offset)source_y * width + source_x) * channels, to = ((offset)y * padded_width + x) * channels;
    for (int channel = 0; channel < channels; ++channel)
        target[to + channel] = inside || constant < 0 ? source[from + channel] : (u8)constant;
}

// One thread per byte of bits (height, (width + 7) / 8): a bit for each unknown pixel, the first one highest. Sets
// *strange to 1 where the trimap (height, width) has any other value than its three.
extern "C" __global__ void unknown_bits(const u8 *__restrict__ trimap, u8 *__restrict__ bits, int *__restrict__ strange,
                                        int height, int width) {
    const int x = X, y = Y;
    if (8 * x >= width || y >= height) return;
    int packed = 0;
    for (int bit = 0; bit < 8 && 8 * x + bit < width; ++bit) {
        const u8 kind = trimap[(offset)y * width + 8 * x + bit];
        if (kind == UNKNOWN) packed |= 128 >> bit;
        else if (kind != BACKGROUND && kind != FOREGROUND) *strange = 1;
    }
    bits[(offset)y * ((width + 7) / 8) + x] = (u8)packed;
}

// One thread per pixel. rows (2, height, width): pixels along the row to the nearest background (0) and foreground
// (1), REACH + 1 where there is none within REACH.
extern "C" __global__ void guide_rows(const u8 *__restrict__ trimap, u8 *__restrict__ rows, int height, int width) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset at = (offset)y * width + x, plane = (offset)height * width;
    int background = REACH + 1, foreground = REACH + 1;
    for (int d = 0; d <= REACH && (background > REACH || foreground > REACH); ++d) {
        const u8 before = x >= d ? trimap[at - d] : UNKNOWN, after = x + d < width ? trimap[at + d] : UNKNOWN;
        if (background > REACH && (before == BACKGROUND || after == BACKGROUND)) background = d;
        if (foreground > REACH && (before == FOREGROUND || after == FOREGROUND)) foreground = d;
    }
    rows[at] = (u8)background;
    rows[plane + at] = (u8)foreground;
}

// One thread per pixel and channel (z). squared (2, height, width): exact squared Euclidean distance to the nearest
// background and foreground pixel, FAR where it is more than REACH.
extern "C" __global__ void guide_columns(const u8 *__restrict__ rows, u16 *__restrict__ squared, int height, int width) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset at = ((offset)Z * height + y) * width + x;
    int best = REACH * REACH + 1;
    for (int d = 0; d <= REACH && d * d < best; ++d) {
        int along = REACH + 1;
        if (y >= d) along = rows[at - (offset)d * width];
        if (y + d < height) {
            const int below = rows[at + (offset)d * width];
            along = below < along ? below : along;
        }
        const int sum = d * d + along * along;
        best = sum < best ? sum : best;
    }
    squared[at] = best <= REACH * REACH ? (u16)best : FAR;
}

// A batch of patches of one padded image (height, width), in device memory, where a recorded graph finds another one
// each time; `batch_record` in kernels.py. pixels (height, width, 3), trimap (height, width), squared (2, height, width),
// total and weight (height, width). Behind it lie the corners (batch, 2), y and x of each patch, y = -1 for none.
struct Batch {
    const u8 *pixels, *trimap;
    const u16 *squared;
    float *total, *weight;
    int *bad;
    int height, width;
};

static inline __device__ const int *corner(const Batch *batch, int index) { return (const int *)(batch + 1) + 2 * index; }

// One thread per pixel of each patch (z); no patch gives zeros. Writes image (batch, 3, h, w) 0..1, one_hot (batch, 3, h,
// w) for background, unknown and foreground, and guide (batch, 2, h, w).
extern "C" __global__ void gather(const Batch *__restrict__ batch, float *__restrict__ image,
                                  float *__restrict__ one_hot, float *__restrict__ guide, int patch_height,
                                  int patch_width) {
    const int x = X, y = Y, index = Z;
    if (x >= patch_width || y >= patch_height) return;
    const u8 *__restrict__ pixels = batch->pixels, *__restrict__ trimap = batch->trimap;
    const u16 *__restrict__ squared = batch->squared;
    const int top = corner(batch, index)[0], left = corner(batch, index)[1];
    const bool none = top < 0;
    const offset at = none ? 0 : (offset)(top + y) * batch->width + left + x;
    const offset plane = (offset)batch->height * batch->width;
    const offset patch = (offset)patch_height * patch_width, into = (offset)y * patch_width + x;
    const u8 kind = trimap[at];
    const u8 kinds[3] = {BACKGROUND, UNKNOWN, FOREGROUND};
    for (int channel = 0; channel < 3; ++channel) {
        const offset target = (offset)(3 * index + channel) * patch + into;
        image[target] = none ? 0.0f : (float)pixels[3 * at + channel] / 255.0f;
        one_hot[target] = !none && kind == kinds[channel] ? 1.0f : 0.0f;
    }
    for (int channel = 0; channel < 2; ++channel) {
        const u16 distance = none ? FAR : squared[channel * plane + at];
        guide[(offset)(2 * index + channel) * patch + into] =
            distance == FAR ? 0.0f : expf((float)distance * (-1.0f / 512.0f));
    }
}

// One thread per pixel of each patch (z): adds to total the alpha (batch, h, w) of all patches there, clamped to 0..1 and
// weighted by the distance to the patch's nearest border, and the weights to weight. Where patches overlap, the first of
// them adds for all, one after the other: sums have the bits of patches that come one by one. Known pixels count as what
// the trimap says. Sets *bad to 1 when an alpha that counts is no finite number; every thread that writes writes the same.
extern "C" __global__ void accumulate(const Batch *__restrict__ batch, const float *__restrict__ alpha,
                                      int patch_height, int patch_width) {
    const int count = int(gridDim.z), top = corner(batch, Z)[0] + Y, left = corner(batch, Z)[1] + X;
    if (X >= patch_width || Y >= patch_height || corner(batch, Z)[0] < 0) return;
    const int half = (patch_height < patch_width ? patch_height : patch_width) / 2;
    const offset at = (offset)top * batch->width + left;
    const u8 kind = batch->trimap[at];
    float total = batch->total[at], weight = batch->weight[at];
    for (int index = 0; index < count; ++index) {
        const int y = top - corner(batch, index)[0], x = left - corner(batch, index)[1];
        if (corner(batch, index)[0] < 0 || y < 0 || x < 0 || y >= patch_height || x >= patch_width) continue;
        if (index < Z) return;
        const int from_side = x < patch_width - 1 - x ? x + 1 : patch_width - x;
        const int from_end = y < patch_height - 1 - y ? y + 1 : patch_height - y;
        const float own = (float)(from_side < from_end ? from_side : from_end) / (float)(half + 1);
        float value = kind == FOREGROUND ? 1.0f : 0.0f;
        if (kind == UNKNOWN) {
            value = alpha[((offset)index * patch_height + y) * patch_width + x];
            if (value - value != 0.0f) *batch->bad = 1;  // before the clamp, which an engine may leave to us
            value = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
        }
        total += value * own;
        weight += own;
    }
    batch->total[at] = total;
    batch->weight[at] = weight;
}

// Alpha of the pixel (x, y) of the image, 0..1, from planes of the padded width in which it lies at (top, left).
static inline __device__ float finished(const float *__restrict__ total, const float *__restrict__ weight,
                                                 const u8 *__restrict__ trimap, int x, int y, int padded_width,
                                                 int top, int left) {
    const offset at = (offset)(top + y) * padded_width + left + x;
    if (trimap[at] != UNKNOWN) return trimap[at] == FOREGROUND ? 1.0f : 0.0f;
    const float alpha = weight[at] > 0.0f ? total[at] / weight[at] : total[at];
    return alpha < 0.0f ? 0.0f : alpha > 1.0f ? 1.0f : alpha;
}

// finish_*, one thread per pixel of target (height, width): 0..1 as float, or levels 0..255 or 0..65535, the nearest or,
// as the authors' code has them, cut off.
#define FINISH(NAME, TYPE, LEVEL)                                                                                     \
    extern "C" __global__ void NAME(const float *__restrict__ total, const float *__restrict__ weight,                \
                                    const u8 *__restrict__ trimap, TYPE *__restrict__ target, int padded_width,       \
                                    int height, int width, int top, int left) {                                       \
        const int x = X, y = Y;                                                                                       \
        if (x >= width || y >= height) return;                                                                        \
        const float alpha = finished(total, weight, trimap, x, y, padded_width, top, left);                           \
        target[(offset)y * width + x] = (TYPE)(LEVEL);                                                                \
    }

FINISH(finish_float32, float, alpha)
FINISH(finish_uint8, u8, rintf(alpha * 255.0f))
FINISH(finish_uint8_truncated, u8, alpha * 255.0f)
FINISH(finish_uint16, u16, rintf(alpha * 65535.0f))
FINISH(finish_uint16_truncated, u16, alpha * 65535.0f)

// Foreground colours, as matting/unmixing.py finds them. Planes of a level lie one behind the other, `stride` rows
// each; the first row that a kernel sees may be any of theirs. Colours are the foreground's (0..2) and what lies
// behind it (3..5). `tile` pixels square, a tile is mixed unless all pixels in it, and `sweeps` around it, are opaque, or
// all clear; only mixed ones are swept.

// One thread per pixel of target, ceil(height / 2) and ceil(width / 2), and plane (z): the mean of 2x2 of source, of
// which an odd last row or column counts twice.
extern "C" __global__ void halve(const float *__restrict__ source, float *__restrict__ target, int height, int width,
                                 int stride, int target_stride) {
    const int x = X, y = Y, half = (width + 1) / 2;
    if (x >= half || y >= (height + 1) / 2) return;
    const float *__restrict__ from = source + (offset)Z * stride * width;
    const offset above = (offset)(2 * y) * width, below = (offset)clamped(2 * y + 1, height - 1) * width;
    const int left = 2 * x, right = clamped(2 * x + 1, width - 1);
    target[((offset)Z * target_stride + y) * half + x] =
        (from[above + left] + from[above + right] + from[below + left] + from[below + right]) * 0.25f;
}

// The colour with which the pixel (x, y) of a level begins: linearly between those of a plane of the next coarser level
// (height, width), a quarter of the way from the pixel that it lies in to the nearer neighbours; borders are repeated.
static inline __device__ float begun(const float *__restrict__ coarser, int x, int y, int height, int width) {
    const offset near = (offset)(y / 2) * width, far = (offset)clamped(y / 2 + (y % 2 ? 1 : -1), height - 1) * width;
    const int near_x = x / 2, far_x = clamped(x / 2 + (x % 2 ? 1 : -1), width - 1);
    return 0.75f * (0.75f * coarser[near + near_x] + 0.25f * coarser[near + far_x]) +
           0.25f * (0.75f * coarser[far + near_x] + 0.25f * coarser[far + far_x]);
}

// One thread per pixel and plane (z) of colours (6, height, width), which begins `top` rows below the level's first one:
// what they begin with, from the next coarser level (6, coarser_height, ceil(width / 2)).
extern "C" __global__ void begin_colours(const float *__restrict__ coarser, float *__restrict__ colours, int height,
                                         int width, int coarser_height, int top) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const int half = (width + 1) / 2;
    colours[((offset)Z * height + y) * width + x] =
        begun(coarser + (offset)Z * coarser_height * half, x, top + y, coarser_height, half);
}

// What a pixel weighs in means of the foreground (layer 0) or of what lies behind it (1).
static inline __device__ float weighed(float alpha, int layer) {
    const float cover = layer ? 1.0f - alpha : alpha;
    return cover * cover * cover + 1e-4f;
}

// The weighted mean of 3x3 pixels of plane (height, width) around (x, y); at its borders the plane is mirrored.
static inline __device__ float mean(const float *__restrict__ plane, const float *__restrict__ alpha, int x, int y,
                                    int height, int width, int layer) {
    float sum = 0.0f, weights = 0.0f;
    for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx) {
            const int row = y + dy, column = x + dx;
            const int mirrored_y = row < 0 ? -row : row < height ? row : 2 * height - 2 - row;
            const int mirrored_x = column < 0 ? -column : column < width ? column : 2 * width - 2 - column;
            const offset at = (offset)clamped(mirrored_y, height - 1) * width + clamped(mirrored_x, width - 1);
            const float weight = weighed(alpha[at], layer);
            sum += plane[at] * weight;
            weights += weight;
        }
    return sum / weights;
}

// Shares out between both colours what they lack of the light.
static inline __device__ void shared_out(float light, float alpha, float low, float high, float *front, float *behind) {
    const float clear = 1.0f - alpha, share = 1.0f / (alpha * alpha + clear * clear);
    const float rest = light - alpha * *front - clear * *behind;
    const float own = *front + alpha * share * rest, other = *behind + clear * share * rest;
    *front = own < low ? low : own > high ? high : own;
    *behind = other < low ? low : other > high ? high : other;
}

// One thread per pixel and channel (z): a sweep from colours to swept, (6, height, width) both. light (3, stride, width),
// alpha (height, width), low and high: what colours may be.
extern "C" __global__ void sweep_colours(const float *__restrict__ light, const float *__restrict__ alpha,
                                         const float *__restrict__ colours, float *__restrict__ swept, int height,
                                         int width, int stride, float low, float high) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset plane = (offset)height * width, at = (offset)y * width + x, front_at = Z * plane, other_at = front_at + 3 * plane;
    float front = mean(colours + front_at, alpha, x, y, height, width, 0);
    float behind = mean(colours + other_at, alpha, x, y, height, width, 1);
    shared_out(light[(offset)Z * stride * width + at], alpha[at], low, high, &front, &behind);
    swept[front_at + at] = front;
    swept[other_at + at] = behind;
}

// One thread per row of alpha (height, width), which begins `top` rows below the level's first one, and column of tiles:
// sets shown (rows of tiles, tile_columns, 2) to 1 for the tiles in or near which a pixel of that row shows any of the
// foreground (0) or of what lies behind it (1); a tile with both is mixed. Every thread that writes writes the same.
extern "C" __global__ void mixed_tiles(const float *__restrict__ alpha, u8 *__restrict__ shown, int height, int width,
                                       int top, int tile_rows, int tile_columns, int tile, int sweeps) {
    const int column = X, y = Y;
    if (column >= tile_columns || y >= height) return;
    const int first = clamped(column * tile - sweeps, width), end = clamped((column + 1) * tile + sweeps, width);
    bool front = false, behind = false;
    for (int x = first; x < end && !(front && behind); ++x) {
        const float here = alpha[(offset)y * width + x];
        front |= here > 0.0f;
        behind |= here < 1.0f;
    }
    const int last = clamped((top + y + sweeps) / tile, tile_rows - 1);
    for (int row = clamped(top + y - sweeps, top + y) / tile; row <= last; ++row) {
        u8 *__restrict__ here = shown + 2 * (row * tile_columns + column);
        if (front) here[0] = 1;
        if (behind) here[1] = 1;
    }
}

// One thread per pixel and channel (z) of target (planes, target_stride, width), `height` rows of it, which begin `top`
// rows below the level's first one, and `skipped` below those of swept (6, swept_height, width): the swept colours, and
// where a tile is not mixed those that it begins with, shared out. planes: 3 for the foreground's alone, or 6. light
// (3, stride, width) and alpha begin with the same row as target.
extern "C" __global__ void settle_colours(const float *__restrict__ light, const float *__restrict__ alpha,
                                          const float *__restrict__ coarser, const float *__restrict__ swept,
                                          const u8 *__restrict__ shown, float *__restrict__ target, int height, int width,
                                          int stride, int coarser_height, int swept_height, int target_stride, int top,
                                          int skipped, int planes, int tile, float low, float high) {
    const int x = X, y = Y;
    if (x >= width || y >= height) return;
    const offset at = (offset)y * width + x, plane = (offset)swept_height * width;
    const offset swept_at = Z * plane + at + (offset)skipped * width;
    float front = swept[swept_at], behind = swept[swept_at + 3 * plane];
    const u8 *__restrict__ here = shown + 2 * ((top + y) / tile * ((width + tile - 1) / tile) + x / tile);
    if (!here[0] || !here[1]) {
        const int half = (width + 1) / 2;
        const offset coarser_plane = (offset)coarser_height * half;
        front = begun(coarser + Z * coarser_plane, x, top + y, coarser_height, half);
        behind = begun(coarser + (Z + 3) * coarser_plane, x, top + y, coarser_height, half);
        shared_out(light[(offset)Z * stride * width + at], alpha[at], low, high, &front, &behind);
    }
    target[(offset)Z * target_stride * width + at] = front;
    if (planes > 3) target[(offset)(Z + 3) * target_stride * width + at] = behind;
}
