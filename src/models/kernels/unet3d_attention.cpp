#include "models/kernels/unet3d_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "models/kernels/lanes.h"
#include "models/kernels/linear_map.h"

namespace x2ctpa::unet3d {
namespace {

using lanes::rows_at_once;
using lanes::tile;

static_assert(head_dim == tile);
// The gradient of the bias is summed in this many parts, whatever the number of threads.
constexpr int64_t parts = 32;

int64_t padded(int64_t depth) { return (depth + tile - 1) / tile * tile; }

// What does not change from pixel to pixel.
struct Plan {
  int64_t depth, width, heads;            // width: depth padded to whole tiles
  int64_t row_stride, out_stride;         // from one D to the next, of qkv and of the output
  std::vector<float> cosine, sine, bias;  // (depth, tile) twice; (heads, depth, width)
};

// The working memory of one thread. Every matrix is (width, tile) but the weights, (width, width),
// and those turned, (tile, width). Padding stays zero.
struct DepthScratch {
  explicit DepthScratch(int64_t width)
      : q(width * tile),
        k(q),
        v(q),
        k_turned(q),
        v_turned(q),
        out(q),
        weights(width * width),
        slopes(weights) {}
  std::vector<float> q, k, v, k_turned, v_turned, out, weights, slopes;
};

// One head's row, turned by the angles of its D: x cos + (-x1, x0, -x3, x2, ...) sin.
template <class V, class T>
X2CTPA_INLINE void turn(const T* from, const float* cosine, const float* sine, float scale,
                        float* to) {
  for (int64_t c = 0; c < tile; c += V::count) {
    const auto x = V::load(from + c), other = V::swap_neighbours(x);
    V::store(to + c, (x * V::load(cosine + c) + other * V::load(sine + c)) * scale);
  }
}

X2CTPA_INLINE void transpose(const std::vector<float>& from, int64_t depth, int64_t width,
                             std::vector<float>& to) {
  for (int64_t i = 0; i < depth; ++i) {
    for (int64_t c = 0; c < tile; ++c) to[c * width + i] = from[i * tile + c];
  }
}

// q (turned and scaled), k (turned) and v of one pixel and head.
template <class V, class T>
X2CTPA_INLINE void gather(const Plan& plan, const T* qkv, int64_t head, DepthScratch& s) {
  const float scale = 1.f / std::sqrt(float(head_dim));
  const int64_t part = plan.heads * tile;
  for (int64_t i = 0; i < plan.depth; ++i) {
    const T* row = qkv + i * plan.row_stride + head * tile;
    const float *cosine = &plan.cosine[i * tile], *sine = &plan.sine[i * tile];
    turn<V>(row, cosine, sine, scale, &s.q[i * tile]);
    turn<V>(row + part, cosine, sine, 1.f, &s.k[i * tile]);
    for (int64_t c = 0; c < tile; c += V::count) {
      V::store(&s.v[i * tile + c], V::load(row + 2 * part + c));
    }
  }
  transpose(s.k, plan.depth, plan.width, s.k_turned);
}

// s.weights = softmax(q k^T + bias); the columns of the padding become zero.
template <class V>
X2CTPA_INLINE void attention_weights(const Plan& plan, int64_t head, DepthScratch& s) {
  const int64_t width = plan.width;
  for (int64_t i = 0; i < plan.depth; i += rows_at_once) {
    for (int64_t j = 0; j < width; j += tile) {
      V::product(&s.q[i * tile], tile, 1, &s.k_turned[j], width, tile, &s.weights[i * width + j],
                 width);
    }
  }
  for (int64_t i = 0; i < plan.depth; ++i) {
    float* row = &s.weights[i * width];
    const float* bias = &plan.bias[(head * plan.depth + i) * width];
    typename V::Floats most = typename V::Floats{} + std::numeric_limits<float>::lowest(), total{};
    for (int64_t j = 0; j < width; j += V::count) {
      const auto x = V::load(row + j) + V::load(bias + j);
      most = V::greater(most, x);
      V::store(row + j, x);
    }
    const float top = V::largest(most);
    for (int64_t j = 0; j < width; j += V::count) {
      const auto e = V::exp(V::load(row + j) - top);
      total += e;
      V::store(row + j, e);
    }
    const float share = 1.f / V::sum(total);
    for (int64_t j = 0; j < width; j += V::count) V::store(row + j, V::load(row + j) * share);
  }
}

template <class V, class T>
X2CTPA_INLINE void attend(const Plan& plan, const T* qkv, T* out, DepthScratch& s) {
  for (int64_t head = 0; head < plan.heads; ++head) {
    gather<V>(plan, qkv, head, s);
    attention_weights<V>(plan, head, s);
    for (int64_t i = 0; i < plan.depth; i += rows_at_once) {
      V::product(&s.weights[i * plan.width], plan.width, 1, s.v.data(), tile, plan.depth,
                 &s.out[i * tile], tile);
    }
    for (int64_t i = 0; i < plan.depth; ++i) {
      for (int64_t c = 0; c < tile; c += V::count) {
        V::store(out + i * plan.out_stride + head * tile + c, V::load(&s.out[i * tile + c]));
      }
    }
  }
}

// s.slopes: the gradient of q k^T + bias from that of the output in s.out; adds it to `bias`.
template <class V>
X2CTPA_INLINE void slopes_of(const Plan& plan, int64_t head, DepthScratch& s, float* bias) {
  const int64_t width = plan.width;
  transpose(s.v, plan.depth, width, s.v_turned);
  for (int64_t i = 0; i < plan.depth; i += rows_at_once) {
    for (int64_t j = 0; j < width; j += tile) {
      V::product(&s.out[i * tile], tile, 1, &s.v_turned[j], width, tile, &s.slopes[i * width + j],
                 width);
    }
  }
  for (int64_t i = 0; i < plan.depth; ++i) {
    const float* weights = &s.weights[i * width];
    float *row = &s.slopes[i * width], *sums = bias + (head * plan.depth + i) * width;
    typename V::Floats mean{};
    for (int64_t j = 0; j < width; j += V::count) mean += V::load(weights + j) * V::load(row + j);
    const float centre = V::sum(mean);
    for (int64_t j = 0; j < width; j += V::count) {
      const auto slope = V::load(weights + j) * (V::load(row + j) - centre);
      V::store(row + j, slope);
      V::store(sums + j, V::load(sums + j) + slope);
    }
  }
}

// Replaces one pixel's qkv by its gradient, from that of its output.
template <class V, class T>
X2CTPA_INLINE void attend_backward(const Plan& plan, const T* out_gradient, T* qkv, float* bias,
                                   DepthScratch& s) {
  const float scale = 1.f / std::sqrt(float(head_dim));
  const int64_t width = plan.width, part = plan.heads * tile;
  float rows[rows_at_once * tile], turned[tile], back[tile];
  for (int64_t head = 0; head < plan.heads; ++head) {
    gather<V>(plan, qkv, head, s);
    attention_weights<V>(plan, head, s);
    for (int64_t i = 0; i < plan.depth; ++i) {
      for (int64_t c = 0; c < tile; c += V::count) {
        V::store(&s.out[i * tile + c],
                 V::load(out_gradient + i * plan.out_stride + head * tile + c));
      }
    }
    slopes_of<V>(plan, head, s, bias);
    for (int64_t i = 0; i < plan.depth; i += rows_at_once) {
      const int64_t count = std::min(rows_at_once, plan.depth - i);
      const auto write = [&](int64_t which, bool turns, float factor)
          __attribute__((always_inline)) {
        for (int64_t r = 0; r < count; ++r) {
          T* to = qkv + (i + r) * plan.row_stride + which * part + head * tile;
          const float* from = rows + r * tile;
          if (turns) {  // back by the same angles
            for (int64_t c = 0; c < tile; ++c) back[c] = -plan.sine[(i + r) * tile + c];
            turn<V>(from, &plan.cosine[(i + r) * tile], back, factor, turned);
            from = turned;
          }
          for (int64_t c = 0; c < tile; c += V::count) V::store(to + c, V::load(from + c));
        }
      };
      const float *slopes = s.slopes.data(), *weights = s.weights.data();
      V::product(slopes + i * width, width, 1, s.k.data(), tile, plan.depth, rows, tile);
      write(0, true, scale);
      V::product(slopes + i, 1, width, s.q.data(), tile, plan.depth, rows, tile);
      write(1, true, 1.f);
      V::product(weights + i, 1, width, s.out.data(), tile, plan.depth, rows, tile);
      write(2, false, 1.f);
    }
  }
}

Plan plan_of(const at::Tensor& qkv, const at::Tensor& rotation, const at::Tensor& bias) {
  const int64_t depth = qkv.size(1), pixels = qkv.size(2), heads = qkv.size(4);
  const int64_t width = padded(depth);
  Plan plan{depth, width, heads, pixels * 3 * heads * tile, pixels * heads * tile, {}, {}, {}};
  const auto table = rotation.to(at::kFloat).contiguous();
  const float* angles = table.const_data_ptr<float>();
  for (int64_t i = 0; i < depth * tile / 2; ++i) {
    plan.cosine.insert(plan.cosine.end(), 2, angles[2 * i]);
    plan.sine.push_back(-angles[2 * i + 1]);
    plan.sine.push_back(angles[2 * i + 1]);
  }
  // So low that the weights of the padding are zero.
  const auto whole =
      at::constant_pad_nd(bias.to(at::kFloat), {0, width - depth}, -1e30).contiguous();
  plan.bias.assign(whole.const_data_ptr<float>(), whole.const_data_ptr<float>() + whole.numel());
  return plan;
}

// Calls run(pixel of the whole batch, part) for all, each part in order by one thread.
template <class Run>
void for_each_pixel(const at::Tensor& qkv, const Run& run) {
  const int64_t all = qkv.size(0) * qkv.size(2), width = padded(qkv.size(1));
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    DepthScratch scratch(width);
    for (int64_t part = first; part < last; ++part) {
      const int64_t end = (part + 1) * all / parts;
      for (int64_t i = part * all / parts; i < end; ++i) run(i, part, scratch);
    }
  });
}

// Where a pixel of the batch begins in a tensor (B, D, N, ...) with rows of `stride`.
int64_t place_of(const at::Tensor& qkv, int64_t pixel, int64_t stride) {
  const int64_t pixels = qkv.size(2);
  return pixel / pixels * qkv.size(1) * stride + pixel % pixels * (stride / pixels);
}

template <class T>
void run_forward(const Plan& plan, const at::Tensor& qkv, at::Tensor& out) {
  const T* from = qkv.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  for_each_pixel(qkv, [&](int64_t i, int64_t, DepthScratch& s) {
    lanes::for_this_processor([&](auto vector) __attribute__((always_inline)) {
      attend<decltype(vector)>(plan, from + place_of(qkv, i, plan.row_stride),
                               to + place_of(qkv, i, plan.out_stride), s);
    });
  });
}

template <class T>
void run_backward(const Plan& plan, const at::Tensor& out_gradient, at::Tensor& qkv,
                  at::Tensor& bias) {
  const T* above = out_gradient.const_data_ptr<T>();
  T* values = qkv.mutable_data_ptr<T>();
  float* sums = bias.mutable_data_ptr<float>();
  for_each_pixel(qkv, [&](int64_t i, int64_t part, DepthScratch& s) {
    lanes::for_this_processor([&](auto vector) __attribute__((always_inline)) {
      attend_backward<decltype(vector)>(plan, above + place_of(qkv, i, plan.out_stride),
                                        values + place_of(qkv, i, plan.row_stride),
                                        sums + part * bias.stride(0), s);
    });
  });
}

using Variables = torch::autograd::variable_list;

// q, k and v (B, D, N, 3, heads, head_dim) of tokens (B, D, N, C).
at::Tensor project(const at::Tensor& tokens, const at::Tensor& to_qkv) {
  return linear_map(tokens, to_qkv)
      .view({tokens.size(0), tokens.size(1), tokens.size(2), 3, -1, head_dim});
}

struct TemporalAttentionFunction : torch::autograd::Function<TemporalAttentionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& tokens,
                            const at::Tensor& to_qkv, const at::Tensor& rotation,
                            const at::Tensor& bias) {
    const auto qkv = project(tokens, to_qkv);
    context->save_for_backward({tokens, to_qkv, rotation, bias});
    const Plan plan = plan_of(qkv, rotation, bias);
    auto out = at::empty({qkv.size(0), qkv.size(1), qkv.size(2), plan.heads * tile}, qkv.options());
    qkv.scalar_type() == at::kFloat ? run_forward<float>(plan, qkv, out)
                                    : run_forward<c10::BFloat16>(plan, qkv, out);
    return out;
  }

  static Variables backward(torch::autograd::AutogradContext* context, Variables gradients) {
    const auto saved = context->get_saved_variables();
    const auto &tokens = saved[0], &to_qkv = saved[1], &bias = saved[3];
    // The gradient takes the place of what it is that of: the kernel has read a pixel's head before
    // it writes it.
    auto qkv = project(tokens, to_qkv);
    const Plan plan = plan_of(qkv, saved[2], bias);
    const auto above = gradients[0].to(qkv.scalar_type()).contiguous();
    auto sums = at::zeros({parts, plan.heads, plan.depth, plan.width}, at::kFloat);
    qkv.scalar_type() == at::kFloat ? run_backward<float>(plan, above, qkv, sums)
                                    : run_backward<c10::BFloat16>(plan, above, qkv, sums);
    const auto rows = qkv.view({-1, to_qkv.size(0)});
    return {at::mm(rows, to_qkv).view(tokens.sizes()),
            at::mm(rows.t(), tokens.view({-1, tokens.size(3)})), at::Tensor(),
            sums.sum(0).narrow(2, 0, plan.depth).to(bias.scalar_type())};
  }
};

// What q, k and v are computed in.
c10::ScalarType qkv_type(const at::Tensor& tokens) {
  return at::autocast::is_autocast_enabled(at::kCPU) ? at::autocast::get_autocast_dtype(at::kCPU)
                                                     : tokens.scalar_type();
}

}  // namespace

bool has_attention_kernels(const at::Tensor& tokens) {
  const auto type = qkv_type(tokens);
  return tokens.is_cpu() && tokens.is_contiguous() && (type == at::kFloat || type == at::kBFloat16);
}

at::Tensor temporal_attention(const at::Tensor& tokens, const at::Tensor& to_qkv,
                              const at::Tensor& rotation, const at::Tensor& bias) {
  const auto type = qkv_type(tokens);
  return TemporalAttentionFunction::apply(tokens.to(type), to_qkv.to(type), rotation, bias);
}

}  // namespace x2ctpa::unet3d
