#include "runtime/verify/golden_file.hpp"

#include "runtime/checkpoint/safetensors.hpp"

#include <optional>

namespace troupe {

namespace {

constexpr size_t max_prompts = 1000;

/// Tensors of one prompt; the first that is wrong is kept.
class prompt_reader {
public:
  prompt_reader(const safetensors_file& file, size_t index)
    : file_(file), prefix_("p" + std::to_string(index) + ".") {
  }

  bool has(const std::string& name) const {
    return file_.find(prefix_ + name) != nullptr;
  }

  /// Length of a vector, 0 if it is none.
  uint64_t length(const std::string& name) const {
    auto view = file_.find(prefix_ + name);
    return view && view->shape.size() == 1 ? view->shape[0] : 0;
  }

  std::vector<float> floats(const std::string& name,
                            const std::vector<uint64_t>& shape) {
    auto view = find(name, shape);
    return view ? keep(to_floats(prefix_ + name, *view)) : std::vector<float>{};
  }

  std::vector<int32_t> ints(const std::string& name,
                            const std::vector<uint64_t>& shape) {
    auto view = find(name, shape);
    return view ? keep(to_ints(prefix_ + name, *view)) : std::vector<int32_t>{};
  }

  const std::optional<failure>& trouble() const {
    return trouble_;
  }

private:
  const tensor_view* find(const std::string& name,
                          const std::vector<uint64_t>& shape) {
    auto view = file_.find(prefix_ + name);
    if (view && view->shape == shape)
      return view;
    if (!trouble_)
      trouble_
        = failure{errc::invalid_input,
                  "golden tensor " + prefix_ + name
                    + (view ? " has the shape " + shape_text(view->shape)
                                + ", this model needs " + shape_text(shape)
                            : std::string{" is missing"})};
    return nullptr;
  }

  template <class T>
  std::vector<T> keep(result<std::vector<T>> x) {
    if (x)
      return std::move(*x);
    if (!trouble_)
      trouble_ = x.why();
    return {};
  }

  const safetensors_file& file_;
  std::string prefix_;
  std::optional<failure> trouble_;
};

golden_prompt read_prompt(prompt_reader& in, const model_config& c) {
  golden_prompt out;
  uint64_t tokens = in.length("tokens");
  uint64_t greedy = in.length("greedy");
  uint64_t layers = c.num_hidden_layers;
  uint64_t moe = c.num_moe_layers();
  uint64_t k = c.num_experts_per_tok;
  out.tokens = in.ints("tokens", {tokens});
  out.logits = in.floats("logits", {tokens, c.vocab_size});
  out.hidden = in.floats("hidden", {layers + 2, tokens, c.hidden_size});
  out.experts = in.ints("experts", {moe, tokens, k});
  out.weights = in.floats("weights", {moe, tokens, k});
  out.margin = in.floats("margin", {moe, tokens});
  if (in.has("quant_margin"))
    out.quant_margin = in.floats("quant_margin", {layers, tokens});
  out.greedy = in.ints("greedy", {greedy});
  out.greedy_gap = in.floats("greedy_gap", {greedy});
  out.greedy_margin = in.floats("greedy_margin", {greedy});
  return out;
}

} // namespace

result<golden_file> read_golden(const std::filesystem::path& path,
                                const model_config& config) {
  auto file = safetensors_file::open(path);
  if (!file)
    return file.why();
  golden_file out;
  while (out.prompts.size() < max_prompts) {
    prompt_reader in{*file, out.prompts.size()};
    if (!in.has("tokens"))
      break;
    out.prompts.push_back(read_prompt(in, config));
    if (in.trouble())
      return *in.trouble();
    if (out.prompts.back().tokens.empty())
      return failure{errc::invalid_input, "a golden prompt has no tokens"};
  }
  if (out.prompts.empty())
    return failure{errc::invalid_input,
                   path.filename().string() + " has no tensor p0.tokens"};
  return out;
}

} // namespace troupe
