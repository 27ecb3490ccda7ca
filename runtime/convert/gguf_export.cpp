#include "runtime/convert/gguf_export.hpp"

#include "kernels/host/floats.hpp"
#include "runtime/convert/gguf_layout.hpp"
#include "runtime/convert/gguf_vocabulary.hpp"
#include "runtime/convert/q8_0.hpp"
#include "runtime/model/weight_rows.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

constexpr uint64_t chunk_values = 1 << 20;

using row_list = std::vector<float>;

/// Where values become a tensor's bytes.
class value_writer {
public:
  value_writer(gguf_writer& out, const load_progress& progress)
    : out_(out), progress_(progress) {
  }

  /// `values` are whole rows of a tensor of `type`, and are spent.
  result<void> append(ggml_type type, std::span<float> values) {
    bytes_.resize(ggml_row_bytes(type, values.size()));
    encode(type, values);
    if (auto ok = out_.append(bytes_); !ok)
      return ok;
    done_ += bytes_.size();
    if (progress_)
      progress_(done_, out_.total_bytes());
    return {};
  }

private:
  void encode(ggml_type type, std::span<float> values) {
    if (type == ggml_type::f32) {
      std::memcpy(bytes_.data(), values.data(), bytes_.size());
    } else if (type == ggml_type::bf16) {
      for (size_t i = 0; i < values.size(); ++i) {
        auto bits = kernels::host::to_bf16(values[i]);
        std::memcpy(bytes_.data() + 2 * i, &bits, sizeof(bits));
      }
    } else {
      for (auto& x : values)
        x = kernels::host::round_to_bf16(x);
      quantize_q8_0(values, bytes_.data());
    }
  }

  gguf_writer& out_;
  const load_progress& progress_;
  uint64_t done_ = 0;
  std::vector<std::byte> bytes_;
};

result<void> write_rows(const gguf_plan& x, const weight_rows& from,
                        value_writer& out) {
  auto most = std::max<uint64_t>(1, chunk_values / x.cols);
  row_list values;
  for (uint64_t row = 0; row < x.rows; row += most) {
    auto count = std::min(most, x.rows - row);
    values.resize(count * x.cols);
    if (auto ok = from.read(row, count, values.data()); !ok)
      return ok;
    if (auto ok = out.append(x.tensor.type, values); !ok)
      return ok;
  }
  return {};
}

/// [rows, cols] -> [cols, rows]
row_list transposed(const row_list& x, uint64_t rows, uint64_t cols) {
  row_list out(x.size());
  for (uint64_t i = 0; i < rows; ++i)
    for (uint64_t j = 0; j < cols; ++j)
      out[j * rows + i] = x[i * cols + j];
  return out;
}

/// The part of kv_b_proj that makes keys, or the one that makes values, a head
/// at a time.
result<void> write_heads(const gguf_plan& x, const model_config& c,
                         const weight_rows& from, value_writer& out) {
  auto is_k = x.part == gguf_part::k_heads;
  uint64_t nope = c.qk_nope_head_dim;
  auto count = is_k ? nope : c.v_head_dim;
  row_list values(count * x.cols);
  for (uint64_t head = 0; head < c.num_attention_heads; ++head) {
    auto first = head * (nope + c.v_head_dim) + (is_k ? 0 : nope);
    if (auto ok = from.read(first, count, values.data()); !ok)
      return ok;
    auto turned = is_k ? transposed(values, count, x.cols) : values;
    if (auto ok = out.append(x.tensor.type, turned); !ok)
      return ok;
  }
  return {};
}

result<void> write_tensor(const checkpoint& source, const model_config& config,
                          const gguf_plan& x, value_writer& out) {
  for (auto& name : x.sources) {
    auto from = weight_rows::open(source, config, name, x.rows, x.cols);
    if (!from)
      return from.why();
    auto ok = x.part == gguf_part::rows ? write_rows(x, *from, out)
                                        : write_heads(x, config, *from, out);
    if (!ok)
      return ok;
  }
  return {};
}

result<void> check_sources(const checkpoint& source, const model_config& config,
                           const std::vector<gguf_plan>& plans) {
  for (auto& x : plans)
    for (auto& name : x.sources)
      if (auto found = weight_rows::open(source, config, name, x.rows, x.cols);
          !found)
        return found.why();
  return {};
}

result<void> write_all(const checkpoint& source, const model_config& config,
                       const std::vector<gguf_plan>& plans, gguf_writer& file,
                       const load_progress& progress) {
  value_writer out{file, progress};
  for (auto& x : plans)
    if (auto ok = write_tensor(source, config, x, out); !ok)
      return ok;
  if (auto ok = source.check_unchanged(); !ok)
    return ok;
  return file.finish();
}

/// The name of the directory, however its path ends.
std::string name_of(const std::filesystem::path& model_dir) {
  auto path = std::filesystem::absolute(model_dir).lexically_normal();
  return path.has_filename() ? path.filename() : path.parent_path().filename();
}

} // namespace

result<exported_model>
export_gguf(const checkpoint& source, const std::filesystem::path& out,
            ggml_type weights, const load_progress& progress) {
  CHECK(weights != ggml_type::f32);
  if (auto ok = source.check_no_source(out); !ok)
    return ok.why();
  auto& config = source.config();
  if (!config)
    return config.why();
  if (auto ok = check_gguf_can_hold(*config); !ok)
    return ok.why();
  auto plans = gguf_layout(*config, weights);
  if (auto ok = check_sources(source, *config, plans); !ok)
    return ok.why();
  gguf_keys keys;
  add_model_keys(*config, name_of(source.directory()), weights, keys);
  if (auto ok = add_vocabulary(source.directory(), *config, keys); !ok)
    return ok.why();
  std::vector<gguf_tensor> tensors;
  for (auto& x : plans)
    tensors.push_back(x.tensor);
  gguf_writer file{out, keys, std::move(tensors)};
  if (auto ok = write_all(source, *config, plans, file, progress); !ok)
    return ok.why();
  return exported_model{plans.size(), file.total_bytes()};
}

} // namespace troupe
