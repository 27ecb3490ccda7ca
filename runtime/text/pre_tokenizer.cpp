#include "runtime/text/pre_tokenizer.hpp"

namespace troupe {

namespace {

// [GPT-2, encoder.py; ByteLevel of Hugging Face tokenizers]
constexpr std::string_view gpt2_expression
  = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+)"
    R"(| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

} // namespace

result<pre_tokenizer> pre_tokenizer::make(const pre_tokenizer_spec& spec) {
  pre_tokenizer x;
  x.add_prefix_space_ = spec.add_prefix_space;
  for (auto& split : spec.splits) {
    auto expression = split_expression::compile(split.expression);
    if (!expression)
      return expression.why();
    x.steps_.push_back({std::move(*expression), split.behavior, split.invert});
  }
  if (spec.use_gpt2_expression) {
    auto expression = split_expression::compile(gpt2_expression);
    CHECK(expression);
    x.gpt2_.push_back(std::move(*expression));
  }
  return x;
}

std::vector<text_part>
pre_tokenizer::apply(const step& x, const std::vector<text_part>& pieces) {
  auto parts = x.expression.split(pieces);
  if (x.behavior == split_behavior::removed)
    std::erase_if(parts, [&](auto& part) { return part.matched != x.invert; });
  return parts;
}

void pre_tokenizer::byte_level(
  std::string_view piece,
  const std::function<void(std::string_view)>& on_piece) const {
  std::string with_space;
  if (add_prefix_space_ && !piece.starts_with(' ')) {
    with_space = ' ' + std::string{piece};
    piece = with_space;
  }
  if (gpt2_.empty()) {
    on_piece(piece);
    return;
  }
  text_part whole{piece};
  for (auto& part : gpt2_.front().split({&whole, 1}))
    on_piece(part.text);
}

void pre_tokenizer::split(
  std::string_view text,
  const std::function<void(std::string_view)>& on_piece) const {
  std::vector<text_part> pieces;
  if (!text.empty())
    pieces.push_back({text});
  for (auto& x : steps_)
    pieces = apply(x, pieces);
  for (auto& piece : pieces)
    byte_level(piece.text, on_piece);
}

} // namespace troupe
