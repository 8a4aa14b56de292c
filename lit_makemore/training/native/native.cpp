// The training step of any MLP of this project: forward, backward and update, without autograd.
//
// It is `gradients` of network/backprop.py in C++, with the same names in the same order, and the
// updates of torch.optim's SGD and AdamW. native.py describes the network and calls it.
//
// A matrix of activations has a row for each feature and a column for each example. It is cut into
// panels of P columns. A panel (F, P) is contiguous, and a row of it is N vectors. The last panel
// may have columns without an example. Their gradients are zero, so they add nothing.
//
// Each number is computed by one thread, in an order that does not depend on how many there are. The
// order and every rounding are written out, so all compilers give the same bits.
//
// Shapes: B or n batch, T block_size, C n_embd, F features, V vocab_size, W floats of a vector.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// A vector is as wide as the registers of this processor. A product keeps R rows of N vectors in
// registers while it adds up: 24 of 32, or 12 of 16.
#if defined(__AVX512F__)
constexpr int W = 16, R = 12;
#elif defined(__AVX__)
constexpr int W = 8, R = 6;
#else
constexpr int W = 4, R = 6;
#endif
constexpr int N = 2, P = N * W;

template <int lanes> struct Vector {
  typedef float floats __attribute__((vector_size(lanes * 4)));
};
template <> struct Vector<1> {
  typedef float floats;
};
typedef Vector<W>::floats vec;
typedef int32_t ivec __attribute__((vector_size(W * 4)));

static inline vec all(float x) { return x - vec{}; }  // x + 0 would lose the sign of -0

static inline vec load(const float *from) {
  vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

static inline void store(float *to, vec v) { std::memcpy(to, &v, sizeof v); }

// a b + c, rounded once if the processor can. Compilers are told to make none by themselves.
#if defined(__FMA__) || defined(__aarch64__)
static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
static inline float fma(float a, float b, float c) { return a * b + c; }
#endif
#if defined(__AVX512F__)
static inline vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
#elif defined(__FMA__)
static inline vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
#elif defined(__aarch64__)
static inline vec fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
#else
static inline vec fma(vec a, vec b, vec c) { return a * b + c; }
#endif

template <int lanes> static inline float sum(typename Vector<lanes>::floats v) {
  if constexpr (lanes == 1) {
    return v;
  } else {
    struct {
      typename Vector<lanes / 2>::floats low, high;
    } half;
    std::memcpy(&half, &v, sizeof v);
    return sum<lanes / 2>(half.low + half.high);
  }
}

// ---------------------------------------------------------------- exp and tanh

struct Split {
  vec power, p;
};

// x = n ln 2 + r with |r| ≤ ln 2 / 2, for x ≤ 0: 2ⁿ, and p = eʳ - 1. A NaN makes p a NaN.
static inline Split split(vec x) {
  x = x < -87.0f ? all(-87.0f) : x;  // e⁻⁸⁷ is hardly above the smallest normal number
  const vec magic = all(12582912.0f);  // 1.5 · 2²³: adding it rounds to an integer
  vec shifted = fma(x, all(1.44269504f), magic), n = shifted - magic;
  vec r = fma(n, all(-0.693359375f), x);  // ln 2 in two parts: the first product is exact
  r = fma(n, all(2.12194440e-4f), r);
  vec q = all(1.0f / 5040);  // Taylor's series; the rest is below 2⁻²⁶ r
  for (float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f}) q = fma(q, r, all(c));
  ivec bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127 << 23);  // n as the exponent of a float
  Split s;
  std::memcpy(&s.power, &bits, sizeof bits);
  s.p = fma(q * r, r, r);
  return s;
}

static inline vec exp(vec x) {  // x ≤ 0
  Split s = split(x);
  return fma(s.power, s.p, s.power);
}

// tanh |x| = -e / (2 + e), where e = exp(-2 |x|) - 1 keeps all digits of a small x.
static inline vec tanh(vec x) {
  Split s = split(x < 0.0f ? x + x : -x - x);
  vec e = fma(s.power, s.p, s.power - 1.0f), y = e / (e + 2.0f);
  return x < 0.0f ? y : -y;
}

// ---------------------------------------------------------------- products of matrices

// sum (rows, n·W) += Σ_k a[r, k] x[k, :]; strides of a: ar and ak; a row of x has P floats.
template <int rows, int n>
static inline void multiply(int K, const float *a, long ar, long ak, const float *x,
                            vec (&sum)[rows][n]) {
  for (int k = 0; k < K; ++k) {
    vec row[n];
    for (int j = 0; j < n; ++j) row[j] = load(x + k * P + j * W);
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < n; ++j) sum[r][j] = fma(all(a[r * ar + k * ak]), row[j], sum[r][j]);
  }
}

// Calls f(number of rows, first row) for tiles of R rows, then of 4, then of 1.
template <class Tile> static inline void tiles(int rows, Tile f) {
  int r = 0;
  for (; r + R <= rows; r += R) f(std::integral_constant<int, R>(), r);
  for (; r + 4 <= rows; r += 4) f(std::integral_constant<int, 4>(), r);
  for (; r < rows; ++r) f(std::integral_constant<int, 1>(), r);
}

// One panel of y (F, P) = a x + bias, where x is (K, P); bias may be null.
static void multiply_panel(int F, int K, const float *a, long ar, long ak, const float *x,
                           const float *bias, float *y) {
  tiles(F, [&](auto rows, int first) {
    vec s[rows][N];
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < N; ++j) s[r][j] = all(bias ? bias[first + r] : 0.0f);
    multiply<rows, N>(K, a + first * ar, ar, ak, x, s);
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < N; ++j) store(y + (first + r) * P + j * W, s[r][j]);
  });
}

// ---------------------------------------------------------------- the network

enum Kind { linear, batch_norm, tanh_, relu, dropout };
enum Variance { torch_, biased, unbiased };

extern "C" {

struct Layer {  // native.py has the same structures
  int32_t kind, in, out, variance;
  float *weight, *bias;    // W (out, in) and b (out), or γ and β (out); null where there is none
  float *d_weight, *d_bias;
  float *running_mean, *running_var;
  double eps, momentum, rate;  // rate: share of the units that Dropout leaves out
};

struct Parameter {
  int64_t size;
  float *p, *grad, *exp_avg, *exp_avg_sq;  // the last two are AdamW's
};

struct Settings {
  int32_t B, T, C, V, layers, parameters, adamw, threads;
  const Layer *layer;
  const Parameter *parameter;
  float *embedding, *d_embedding;  // (V, C)
  double beta1, beta2, eps, weight_decay, clip_norm;  // clip_norm 0: no limit
  uint64_t seed;
};
}

struct Free {
  void operator()(float *p) const { ::operator delete[](p, std::align_val_t(64)); }
};
typedef std::unique_ptr<float[], Free> Buffer;

static Buffer zeros(size_t size) {
  Buffer buffer(new (std::align_val_t(64)) float[size]);
  std::memset(buffer.get(), 0, size * sizeof(float));
  return buffer;
}

struct Network {
  Settings s;
  int n, panels;
  std::vector<Buffer> values;  // the input of each layer, and the logits
  std::vector<Buffer> normal;  // x_hat of each BatchNorm layer, mask of each Dropout layer
  std::vector<std::vector<float>> r;  // 1 / √(σ² + ε) of each BatchNorm layer
  Buffer d, d_before, columns, valid;
  double loss = 0, squares = 0;
  std::vector<double> losses;

  explicit Network(const Settings &settings)
      : s(settings), n(s.B), panels((s.B + P - 1) / P), losses(panels) {
    int widest = s.T * s.C;
    values.push_back(matrix(widest));
    for (int i = 0; i < s.layers; ++i) {
      const Layer &layer = s.layer[i];
      values.push_back(matrix(layer.out));
      bool keeps = layer.kind == batch_norm || layer.kind == dropout;
      normal.push_back(keeps ? matrix(layer.out) : Buffer());
      r.emplace_back(layer.kind == batch_norm ? layer.out : 0);
      widest = std::max(widest, layer.out);
    }
    d = matrix(widest), d_before = matrix(widest);
    columns = zeros((size_t)(widest + P) * panels * P);
    valid = matrix(1);
    for (int b = 0; b < n; ++b) valid[b] = 1;
  }

  Buffer matrix(int features) const { return zeros((size_t)features * panels * P); }

  // Where row f of panel p begins.
  static size_t row(int features, int p, int f) { return ((size_t)p * features + f) * P; }
  int examples(int p) const { return std::min(P, n - p * P); }

  // ---- embedding

  void embedding_forward(const int64_t *x) {
    const int T = s.T, C = s.C;
#pragma omp for
    for (int p = 0; p < panels; ++p)
      for (int b = 0; b < examples(p); ++b)
        for (int t = 0; t < T; ++t) {
          const float *from = s.embedding + x[(size_t)(p * P + b) * T + t] * C;
          float *to = values[0].get() + row(T * C, p, t * C) + b;
          for (int c = 0; c < C; ++c) to[c * P] = from[c];
        }
  }

  // Adds up the rows of d that belong to the same character.
  void embedding_backward(const int64_t *x, const float *d) {
    const int T = s.T, C = s.C;
#pragma omp single
    {
      std::memset(s.d_embedding, 0, (size_t)s.V * C * sizeof(float));
      for (int p = 0; p < panels; ++p)
        for (int b = 0; b < examples(p); ++b)
          for (int t = 0; t < T; ++t) {
            float *to = s.d_embedding + x[(size_t)(p * P + b) * T + t] * C;
            const float *from = d + row(T * C, p, t * C) + b;
            for (int c = 0; c < C; ++c) to[c] += from[c * P];
          }
    }
  }

  // ---- Linear: y = W x + b

  void linear_forward(const Layer &l, const float *x, float *y) {
#pragma omp for
    for (int p = 0; p < panels; ++p)
      multiply_panel(l.out, l.in, l.weight, l.in, 1, x + row(l.in, p, 0), l.bias,
                     y + row(l.out, p, 0));
  }

  // dx = Wᵀ dy, dW = dy xᵀ, db = Σ dy
  void linear_backward(const Layer &l, const float *dy, const float *x, float *dx) {
    transpose(l.in, x);
#pragma omp for nowait
    for (int p = 0; p < panels; ++p)
      multiply_panel(l.in, l.out, l.weight, 1, l.in, dy + row(l.out, p, 0), nullptr,
                     dx + row(l.in, p, 0));
    weight_backward(l, dy);
    if (l.bias) sum_rows(l.out, dy, l.d_bias);
  }

  // columns: x with a row for each example, in panels of P features.
  void transpose(int features, const float *x) {
#pragma omp for
    for (int p = 0; p < panels; ++p)
      for (int f = 0; f < features; ++f) {
        const float *from = x + row(features, p, f);
        float *to = columns.get() + ((size_t)(f / P) * panels + p) * P * P + f % P;
        for (int b = 0; b < P; ++b) to[b * P] = from[b];
      }
  }

  void weight_backward(const Layer &l, const float *dy) {
    const int last = l.out / R * R;
#pragma omp for nowait
    for (int o = 0; o < last; o += R) weight_rows<R>(l, dy, o);
#pragma omp single
    {
      int o = last;
      for (; o + 4 <= l.out; o += 4) weight_rows<4>(l, dy, o);
      for (; o < l.out; ++o) weight_rows<1>(l, dy, o);
    }
  }

  template <int rows> void weight_rows(const Layer &l, const float *dy, int o) {
    for (int i = 0; i < l.in; i += P)
      if (l.in - i > W) weight_tile<rows, N>(l, dy, o, i);
      else weight_tile<rows, 1>(l, dy, o, i);
  }

  template <int rows, int vectors>
  void weight_tile(const Layer &l, const float *dy, int o, int i) {
    vec s[rows][vectors] = {};
    for (int p = 0; p < panels; ++p)
      multiply<rows, vectors>(examples(p), dy + row(l.out, p, o), P, 1,
                              columns.get() + ((size_t)(i / P) * panels + p) * P * P, s);
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < vectors; ++j) {
        float *to = l.d_weight + (size_t)(o + r) * l.in + i + j * W;
        const int left = l.in - i - j * W;
        if (left >= W) store(to, s[r][j]);
        else std::memcpy(to, &s[r][j], left * sizeof(float));
      }
  }

  void sum_rows(int features, const float *dy, float *db) {
#pragma omp for
    for (int f = 0; f < features; ++f) {
      vec total = {};
      for (int p = 0; p < panels; ++p)
        for (int j = 0; j < P; j += W) total += load(dy + row(features, p, f) + j);
      db[f] = sum<W>(total);
    }
  }

  // ---- BatchNorm1d: y = γ x_hat + β, x_hat = (x - μ) r, r = 1 / √(σ² + ε)

  void batch_norm_forward(const Layer &l, const float *x, float *x_hat, float *rs, float *y) {
    const int F = l.out;
    const float bessel = (float)n / (n - 1), weight = l.momentum;
#pragma omp for
    for (int f = 0; f < F; ++f) {
      vec total = {};
      each(F, f, [&](size_t at, vec ok) { total = fma(load(x + at), ok, total); });
      const float mean = sum<W>(total) / n;
      total = vec{};
      each(F, f, [&](size_t at, vec ok) {
        vec centred = (load(x + at) - mean) * ok;
        store(x_hat + at, centred);
        total = fma(centred, centred, total);
      });
      const float var = sum<W>(total) / n;
      const float r = 1 / std::sqrt((l.variance == unbiased ? var * bessel : var) + (float)l.eps);
      const float average = l.variance == biased ? var : var * bessel;
      l.running_mean[f] = fma(weight, mean - l.running_mean[f], l.running_mean[f]);
      l.running_var[f] = fma(weight, average - l.running_var[f], l.running_var[f]);
      rs[f] = r;
      each(F, f, [&](size_t at, vec) {
        vec normal = load(x_hat + at) * r;
        store(x_hat + at, normal);
        store(y + at, fma(normal, all(l.weight[f]), all(l.bias[f])));
      });
    }
  }

  // dx = r / n (n g - Σ g - n/m x_hat Σ g x_hat), g = γ dy; m is what σ² was divided by
  void batch_norm_backward(const Layer &l, const float *dy, const float *x_hat, const float *rs,
                           float *dx) {
    const int F = l.out, m = l.variance == unbiased ? n - 1 : n;
#pragma omp for
    for (int f = 0; f < F; ++f) {
      vec total = {}, along = {};
      each(F, f, [&](size_t at, vec) {
        total += load(dy + at);
        along = fma(load(dy + at), load(x_hat + at), along);
      });
      l.d_bias[f] = sum<W>(total), l.d_weight[f] = sum<W>(along);
      const float scale = l.weight[f] * rs[f];
      const float a = l.d_bias[f] / n, b = l.d_weight[f] / m;
      each(F, f, [&](size_t at, vec ok) {
        store(dx + at, scale * fma(load(x_hat + at), all(-b), load(dy + at) - a) * ok);
      });
    }
  }

  // Calls g(offset, which columns have an example) for every vector of row f.
  template <class G> void each(int features, int f, G g) const {
    for (int p = 0; p < panels; ++p)
      for (int j = 0; j < P; j += W)
        g(row(features, p, f) + j, load(valid.get() + p * P + j));
  }

  // ---- activations and Dropout

  // Calls g(offset) for every vector of a matrix.
  template <class G> void elements(int features, G g) const {
    const long size = (long)features * panels * P;
#pragma omp for
    for (long at = 0; at < size; at += W) g(at);
  }

  void activation_forward(const Layer &l, const float *x, float *y) {
    if (l.kind == tanh_)
      elements(l.out, [&](long at) { store(y + at, tanh(load(x + at))); });
    else
      elements(l.out, [&](long at) {
        vec v = load(x + at);
        store(y + at, v < 0.0f ? vec{} : v);  // a NaN stays
      });
  }

  void activation_backward(const Layer &l, const float *dy, const float *y, float *dx) {
    if (l.kind == tanh_)
      elements(l.out, [&](long at) {
        vec v = load(y + at);
        store(dx + at, load(dy + at) * fma(-v, v, all(1.0f)));
      });
    else
      elements(l.out, [&](long at) {
        vec v = load(y + at), g = load(dy + at);
        store(dx + at, v > 0.0f ? g : vec{});
      });
  }

  // The mask is 0 or 1 / (1 - rate). It is a hash of the seed, the update, the layer and the unit.
  void dropout_forward(int i, int64_t update, const float *x, float *mask, float *y) {
    const Layer &l = s.layer[i];
    const float kept = 1 / (1 - (float)l.rate);
    const uint32_t limit = l.rate * 4294967296.0;
    const uint64_t key = mix64(mix64(mix64(s.seed) + (uint64_t)update) + i);
#pragma omp for
    for (int p = 0; p < panels; ++p)
      for (int f = 0; f < l.out; ++f) {
        const size_t at = row(l.out, p, f);
        const uint32_t first = (uint32_t)f * (uint32_t)n + p * P;  // the same for any P
        for (int b = 0; b < P; ++b) {
          const uint32_t drawn = mix32(mix32(first + b + (uint32_t)key) ^ (uint32_t)(key >> 32));
          mask[at + b] = drawn < limit ? 0 : kept;
          y[at + b] = x[at + b] * mask[at + b];
        }
      }
  }

  void dropout_backward(const Layer &l, const float *dy, const float *mask, float *dx) {
    elements(l.out, [&](long at) { store(dx + at, load(dy + at) * load(mask + at)); });
  }

  static uint64_t mix64(uint64_t z) {  // Steele, Lea & Flood (2014): SplitMix
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  static uint32_t mix32(uint32_t z) {  // Appleby's MurmurHash3, its last lines
    z = (z ^ (z >> 16)) * 0x85ebca6b;
    z = (z ^ (z >> 13)) * 0xc2b2ae35;
    return z ^ (z >> 16);
  }

  // ---- the loss: -Σ t log softmax(logits), averaged over the batch

  // Next characters, or their distributions (B, V); one of the two is null.
  void cross_entropy(const float *logits, const int64_t *y, const float *targets, float *d) {
    const int V = s.V;
#pragma omp for
    for (int p = 0; p < panels; ++p) {
      const float *l = logits + row(V, p, 0);
      float *g = d + row(V, p, 0);
      float maxes[P], sums[P], weights[P];  // weights: Σ t, which is 1 but for rounding
      for (int j = 0; j < P; j += W) {
        vec most = load(l + j), total = {};
        for (int v = 1; v < V; ++v) {
          vec x = load(l + v * P + j);
          most = x > most ? x : most;
        }
        for (int v = 0; v < V; ++v) {
          vec count = exp(load(l + v * P + j) - most);
          store(g + v * P + j, count);
          total += count;
        }
        store(maxes + j, most), store(sums + j, total);
      }
      double loss = 0;
      for (int b = 0; b < P; ++b) weights[b] = 0;
      for (int b = 0; b < examples(p); ++b) {
        const float log_sum = maxes[b] + std::log(sums[b]);
        const size_t example = (size_t)p * P + b;
        if (y) {
          weights[b] = 1;
          loss += log_sum - l[y[example] * P + b];
        } else {
          const float *t = targets + example * V;
          float sum = 0, dot = 0;
          for (int v = 0; v < V; ++v) sum += t[v], dot += t[v] * (log_sum - l[v * P + b]);
          weights[b] = sum;
          loss += dot;
        }
      }
      losses[p] = loss;
      // d = (probs Σ t - t) / n
      for (int j = 0; j < P; j += W) {
        const vec scale = load(weights + j) / load(sums + j) / (float)n;
        const vec ok = load(valid.get() + p * P + j);
        for (int v = 0; v < V; ++v)
          store(g + v * P + j, ok > 0.0f ? load(g + v * P + j) * scale : vec{});
      }
      for (int b = 0; b < examples(p); ++b) {
        const size_t example = (size_t)p * P + b;
        if (y) g[y[example] * P + b] -= 1.0f / n;
        else
          for (int v = 0; v < V; ++v) g[v * P + b] -= targets[example * V + v] / n;
      }
    }
#pragma omp single
    {
      loss = 0;
      for (double one : losses) loss += one / n;
    }
  }

  // ---- one minibatch

  // Forward and backward: `loss`, and the gradient of each parameter. Updates running averages.
  void gradients(const int64_t *x, const int64_t *y, const float *targets, int64_t update) {
    embedding_forward(x);
    for (int i = 0; i < s.layers; ++i) {
      const Layer &l = s.layer[i];
      float *in = values[i].get(), *out = values[i + 1].get();
      if (l.kind == linear) linear_forward(l, in, out);
      else if (l.kind == batch_norm)
        batch_norm_forward(l, in, normal[i].get(), r[i].data(), out);
      else if (l.kind == dropout) dropout_forward(i, update, in, normal[i].get(), out);
      else activation_forward(l, in, out);
    }
    float *dy = d.get(), *dx = d_before.get();
    cross_entropy(values[s.layers].get(), y, targets, dy);
    for (int i = s.layers - 1; i >= 0; --i) {
      const Layer &l = s.layer[i];
      if (l.kind == linear) linear_backward(l, dy, values[i].get(), dx);
      else if (l.kind == batch_norm)
        batch_norm_backward(l, dy, normal[i].get(), r[i].data(), dx);
      else if (l.kind == dropout) dropout_backward(l, dy, normal[i].get(), dx);
      else activation_backward(l, dy, values[i + 1].get(), dx);
      std::swap(dy, dx);
    }
    embedding_backward(x, dy);
  }

  // ---- the optimizers, in torch.optim's order

  void update(float lr, int64_t step) {
    float scale = 1;
    if (s.clip_norm > 0) {
#pragma omp single
      {
        squares = 0;
        for (int k = 0; k < s.parameters; ++k)
          for (int64_t i = 0; i < s.parameter[k].size; ++i)
            squares += (double)s.parameter[k].grad[i] * s.parameter[k].grad[i];
      }
      const double found = s.clip_norm / (std::sqrt(squares) + 1e-6);
      scale = found < 1 ? found : 1;
      if (std::isnan(squares)) scale = squares;
    }
    for (int k = 0; k < s.parameters; ++k) {
      const Parameter &parameter = s.parameter[k];
      if (s.adamw) adamw(parameter, lr, scale, step);
      else sgd(parameter, lr, scale);
    }
  }

  static void sgd(const Parameter &q, float lr, float scale) {
#pragma omp for
    for (int64_t i = 0; i < q.size; ++i) q.p[i] = fma(-lr, scale * q.grad[i], q.p[i]);
  }

  // Loshchilov & Hutter (2019, https://arxiv.org/abs/1711.05101)
  void adamw(const Parameter &q, float lr, float scale, int64_t step) const {
    const float decay = 1 - lr * s.weight_decay, eps = s.eps;
    const float rest1 = 1 - s.beta1, beta2 = s.beta2, rest2 = 1 - s.beta2;
    const float rate = lr / (1 - std::pow(s.beta1, step));
    const float correction2 = std::sqrt(1 - std::pow(s.beta2, step));
#pragma omp for
    for (int64_t i = 0; i < q.size; ++i) {
      const float g = scale * q.grad[i];
      const float mean = fma(rest1, g - q.exp_avg[i], q.exp_avg[i]);
      const float square = fma(beta2, q.exp_avg_sq[i], rest2 * g * g);
      q.exp_avg[i] = mean, q.exp_avg_sq[i] = square;
      q.p[i] = fma(decay, q.p[i], -(rate * mean) / (std::sqrt(square) / correction2 + eps));
    }
  }
};

extern "C" {

void *network_open(const Settings *settings) { return new Network(*settings); }

void network_close(void *network) { delete static_cast<Network *>(network); }

// The gradients of one minibatch, without an update. Returns the loss.
double network_gradients(void *network, const int64_t *x, const int64_t *y, const float *targets,
                         int64_t update) {
  Network &net = *static_cast<Network *>(network);
#pragma omp parallel num_threads(net.s.threads)
  net.gradients(x, y, targets, update);
  return net.loss;
}

// G updates: x (G, B, T), and y (G, B) or targets (G, B, V). `first` counts the updates before
// these, `step` those of the optimizer. Returns the sum of the G losses.
double network_steps(void *network, int64_t G, const int64_t *x, const int64_t *y,
                     const float *targets, const double *lr, int64_t first, int64_t step) {
  Network &net = *static_cast<Network *>(network);
  const Settings &s = net.s;
  double total = 0;
#pragma omp parallel num_threads(s.threads)
  for (int64_t g = 0; g < G; ++g) {
    const int64_t *labels = y ? y + g * s.B : nullptr;
    const float *shares = targets ? targets + g * s.B * s.V : nullptr;
    net.gradients(x + g * s.B * s.T, labels, shares, first + g);
#pragma omp single
    total += net.loss;
    net.update(lr[g], step + g + 1);
  }
  return total;
}

// Copies the mask of Dropout layer i, as (B, F), after a minibatch.
void network_mask(void *network, int32_t i, float *to) {
  const Network &net = *static_cast<Network *>(network);
  const int F = net.s.layer[i].out;
  for (int b = 0; b < net.n; ++b)
    for (int f = 0; f < F; ++f)
      to[(size_t)b * F + f] = net.normal[i][Network::row(F, b / P, f) + b % P];
}
}
