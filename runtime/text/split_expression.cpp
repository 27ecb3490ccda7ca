#include "runtime/text/split_expression.hpp"

#include "kernels/check.hpp"
#include "runtime/text/oniguruma.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <string>

namespace troupe {

namespace {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* x) const {
    Free(x);
  }
};

using code_ptr = std::unique_ptr<pcre2_code, freed_by<pcre2_code_free>>;
using compile_context_ptr
  = std::unique_ptr<pcre2_compile_context,
                    freed_by<pcre2_compile_context_free>>;
using match_data_ptr
  = std::unique_ptr<pcre2_match_data, freed_by<pcre2_match_data_free>>;
using match_context_ptr
  = std::unique_ptr<pcre2_match_context, freed_by<pcre2_match_context_free>>;
using jit_stack_ptr
  = std::unique_ptr<pcre2_jit_stack, freed_by<pcre2_jit_stack_free>>;

constexpr size_t max_expression = 64 << 10;

// A backtracking step on its way through a run of one kind of character is
// one unit; expressions in use need two or three per character.
constexpr uint32_t steps_at_least = 100'000;
constexpr uint32_t steps_per_byte = 16;
constexpr uint32_t heap_kib = 256 << 10;
constexpr size_t jit_stack_begin = 32 << 10;
constexpr size_t jit_stack_end = 8 << 20;

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

/// What one call needs.
struct matcher {
  explicit matcher(const pcre2_code* c)
    : code(c), data(pcre2_match_data_create(1, nullptr)),
      context(pcre2_match_context_create(nullptr)) {
    CHECK(data && context);
    pcre2_set_heap_limit(context.get(), heap_kib);
  }

  void begin_text(std::string_view text) {
    CHECK(text.size() < UINT32_MAX);
    auto steps = steps_at_least + uint64_t{steps_per_byte} * text.size();
    auto limit = std::min<uint64_t>(steps, UINT32_MAX);
    pcre2_set_match_limit(context.get(), static_cast<uint32_t>(limit));
  }

  /// Returns false if there is no further match, or none that can be found
  /// within the limits.
  bool find(std::string_view text, size_t from) {
    auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int rc = match(subject, text.size(), from, 0);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !stack) {
      stack.reset(
        pcre2_jit_stack_create(jit_stack_begin, jit_stack_end, nullptr));
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      rc = match(subject, text.size(), from, 0);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
      rc = match(subject, text.size(), from, PCRE2_NO_JIT);
    return rc >= 0;
  }

  int match(PCRE2_SPTR subject, size_t size, size_t from, uint32_t options) {
    return pcre2_match(code, subject, size, from, PCRE2_NO_UTF_CHECK | options,
                       data.get(), context.get());
  }

  size_t begin() const {
    return pcre2_get_ovector_pointer(data.get())[0];
  }

  size_t end() const {
    return pcre2_get_ovector_pointer(data.get())[1];
  }

  const pcre2_code* code;
  match_data_ptr data;
  match_context_ptr context;
  jit_stack_ptr stack; // only where 32 KiB of the thread's own are too few
};

size_t next_character(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (text[at] & 0xC0) == 0x80)
    ++at;
  return at;
}

void split_one(matcher& found, std::string_view text,
               std::vector<text_part>& parts) {
  auto add = [&](size_t begin, size_t end, bool matched) {
    if (begin < end)
      parts.push_back({text.substr(begin, end - begin), matched});
  };
  found.begin_text(text);
  size_t done = 0; // all before it is in `parts`
  size_t from = 0;
  size_t last_end = text.npos;
  while (from <= text.size() && found.find(text, from)) {
    if (found.end() == found.begin() && found.end() == last_end) {
      from = next_character(text, from); // an empty match after a match
      continue;
    }
    add(done, found.begin(), false);
    add(found.begin(), found.end(), true);
    done = from = last_end = found.end();
  }
  add(done, text.size(), false);
}

} // namespace

struct split_expression::compiled {
  code_ptr code;
};

split_expression::split_expression(std::unique_ptr<compiled> code)
  : code_(std::move(code)) {
}

split_expression::split_expression(split_expression&&) noexcept = default;
split_expression&
split_expression::operator=(split_expression&&) noexcept = default;
split_expression::~split_expression() = default;

result<split_expression> split_expression::compile(std::string_view oniguruma) {
  if (oniguruma.size() > max_expression)
    return failure{errc::invalid_input,
                   "an expression of the pre-tokenizer is longer than 64 KiB"};
  auto expression = pcre2_from_oniguruma(oniguruma);
  if (!expression)
    return expression.why();
  compile_context_ptr context{pcre2_compile_context_create(nullptr)};
  CHECK(context);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  code_ptr code{pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression->data()),
                              expression->size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                              &error, &offset, context.get())};
  if (!code)
    return failure{errc::invalid_input,
                   "the expression \"" + std::string{oniguruma.substr(0, 200)}
                     + "\" cannot be compiled: " + pcre2_message(error)};
  // Where no executable memory is to be had, the same code is interpreted.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  auto x = std::make_unique<compiled>();
  x->code = std::move(code);
  return split_expression{std::move(x)};
}

std::vector<text_part>
split_expression::split(std::span<const text_part> texts) const {
  std::vector<text_part> parts;
  matcher found{code_->code.get()};
  for (auto& part : texts)
    split_one(found, part.text, parts);
  return parts;
}

} // namespace troupe
