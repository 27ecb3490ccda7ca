#include "runtime/text/tokenizer.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/text/byte_level.hpp"
#include "runtime/text/in_quotes.hpp"
#include "runtime/text/utf8.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr uint64_t max_file = 256 << 20;

using id_map = std::unordered_map<std::string, int32_t>;

failure bad_file(const std::string& why) {
  return {errc::invalid_input, "tokenizer.json: " + why};
}

result<std::array<int32_t, 256>> byte_ids(const id_map& vocab) {
  std::array<int32_t, 256> ids;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    auto c = static_cast<char>(byte);
    auto it = vocab.find(to_byte_alphabet({&c, 1}));
    if (it == vocab.end())
      return bad_file("the vocabulary has no token for the byte "
                      + std::to_string(byte));
    ids[byte] = it->second;
  }
  return ids;
}

result<std::vector<bpe_merge>> merges_of(const tokenizer_file& file,
                                         const id_map& vocab) {
  std::vector<bpe_merge> merges;
  for (auto& [left, right] : file.merges) {
    auto l = vocab.find(left);
    auto r = vocab.find(right);
    auto merged = vocab.find(left + right);
    if (l == vocab.end() || r == vocab.end() || merged == vocab.end())
      return bad_file("the merge of " + in_quotes(left) + " and "
                      + in_quotes(right)
                      + " names a token that is not in the vocabulary");
    merges.push_back({l->second, r->second, merged->second});
  }
  return merges;
}

/// An added token may be in the vocabulary too, but then as the same id, and
/// its id may not be another token's. What a template adds is added, too.
result<void> check_added(const tokenizer_file& file, const id_map& vocab) {
  std::unordered_map<int32_t, std::string_view> owners;
  for (auto& [token, id] : vocab)
    owners.emplace(id, token);
  for (auto& token : file.added_tokens) {
    auto it = vocab.find(token.content);
    auto owner = owners.find(token.id);
    if ((it != vocab.end() && it->second != token.id)
        || (owner != owners.end() && owner->second != token.content))
      return bad_file("the added token " + in_quotes(token.content)
                      + " and the vocabulary do not agree about its id");
  }
  auto is_first = [&](auto& token) { return token.id == *file.first_id; };
  if (file.first_id && std::ranges::none_of(file.added_tokens, is_first))
    return bad_file("the post-processor adds the id "
                    + std::to_string(*file.first_id)
                    + ", which is no added token");
  return {};
}

} // namespace

result<tokenizer> tokenizer::load(const std::filesystem::path& tokenizer_json) {
  auto content = read_regular_file(tokenizer_json, max_file);
  if (!content)
    return content.why();
  auto x = parse(*content);
  if (!x)
    return failure{x.why().code, tokenizer_json.parent_path().string() + "/"
                                   + x.why().message};
  return x;
}

result<tokenizer> tokenizer::parse(std::string_view json) {
  auto file = parse_tokenizer_file(json);
  if (!file)
    return file.why();
  id_map vocab{file->vocab.begin(), file->vocab.end()};
  auto bytes = byte_ids(vocab);
  if (!bytes)
    return bytes.why();
  auto merges = merges_of(*file, vocab);
  if (!merges)
    return merges.why();
  if (auto ok = check_added(*file, vocab); !ok)
    return ok.why();
  auto pre = pre_tokenizer::make(file->pre_tokenizer);
  if (!pre)
    return bad_file(pre.why().message);
  return tokenizer{*file, std::move(*pre), bpe{*bytes, *merges}};
}

tokenizer::tokenizer(const tokenizer_file& file, pre_tokenizer pre, bpe merges)
  : pre_tokenizer_(std::move(pre)), bpe_(std::move(merges)),
    added_(file.added_tokens), ignore_merges_(file.ignore_merges),
    ids_(file.vocab.begin(), file.vocab.end()), first_id_(file.first_id) {
  for (auto& token : file.added_tokens)
    ids_.emplace(token.content, token.id);
  int32_t largest = 0;
  for (auto& [token, id] : ids_)
    largest = std::max(largest, id);
  bytes_.resize(static_cast<size_t>(largest) + 1);
  special_.resize(bytes_.size());
  is_added_.resize(bytes_.size());
  for (auto& [token, id] : ids_)
    bytes_[static_cast<size_t>(id)] = from_byte_alphabet(token).value_or(token);
  for (auto& bytes : bytes_)
    max_bytes_ = std::max(max_bytes_, bytes.size());
  for (auto& token : file.added_tokens) {
    special_[static_cast<size_t>(token.id)] = token.special;
    is_added_[static_cast<size_t>(token.id)] = true;
  }
}

void tokenizer::encode_plain(std::string_view text, bpe::scratch& memory,
                             std::vector<int32_t>& ids) const {
  pre_tokenizer_.split(text, [&](std::string_view piece) {
    if (ignore_merges_)
      if (auto id = id_of(to_byte_alphabet(piece))) {
        ids.push_back(*id);
        return;
      }
    bpe_.encode(piece, memory, ids);
  });
}

std::vector<int32_t> tokenizer::encode(std::string_view text,
                                       specials mode) const {
  std::string repaired;
  if (!is_utf8(text))
    text = repaired = repaired_utf8(text);
  std::vector<int32_t> ids;
  bpe::scratch memory;
  if (mode == specials::plain) {
    encode_plain(text, memory, ids);
    return ids;
  }
  for (auto& part : added_.split(text))
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encode_plain(part.text, memory, ids);
  return ids;
}

std::string_view tokenizer::bytes_of(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= bytes_.size())
    return {};
  return bytes_[static_cast<size_t>(id)];
}

std::string tokenizer::decode(std::span<const int32_t> ids,
                              bool skip_special) const {
  std::string bytes;
  for (auto id : ids)
    if (!skip_special || !is_special(id))
      bytes += bytes_of(id);
  return repaired_utf8(bytes);
}

std::optional<int32_t> tokenizer::id_of(std::string_view token) const {
  auto it = ids_.find(std::string{token});
  if (it == ids_.end())
    return std::nullopt;
  return it->second;
}

bool tokenizer::is_added(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < is_added_.size()
         && is_added_[static_cast<size_t>(id)];
}

bool tokenizer::is_special(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < special_.size()
         && special_[static_cast<size_t>(id)];
}

} // namespace troupe
