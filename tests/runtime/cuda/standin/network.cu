// The network of the tests, with NumPy's bits (see network.py), and a copy to try the driver with.

typedef unsigned char u8;

// One thread per pixel of each patch (z). image (count, 3, height, width), trimap likewise, guide (count, 2, height,
// width), alpha (count, 1, height, width): a blend that also looks at the pixel on the left. share: the guide's weight.
extern "C" __global__ void network(const float *__restrict__ image, const float *__restrict__ trimap,
                                   const float *__restrict__ guide, float *__restrict__ alpha, int height, int width,
                                   float share) {
    const int x = int(blockIdx.x * blockDim.x + threadIdx.x), y = int(blockIdx.y * blockDim.y + threadIdx.y);
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width, at = (long long)y * width + x, index = blockIdx.z;
    const float red = image[3 * index * plane + at], green = image[(3 * index + 1) * plane + at];
    const float left = x > 0 ? image[(3 * index + 2) * plane + at - 1] : 0.0f;
    const float unknown = trimap[(3 * index + 1) * plane + at];
    const float background = guide[2 * index * plane + at], foreground = guide[(2 * index + 1) * plane + at];
    alpha[index * plane + at] =
        (red + green) * 0.25f + left * 0.25f + unknown * 0.125f + (foreground - background) * share;
}

// One thread per byte: target[i] = source[i] for i from first to below first + count.
extern "C" __global__ void move(const u8 *__restrict__ source, u8 *__restrict__ target, int first, int count) {
    const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (x < count) target[first + x] = source[first + x];
}
