/// JSON from outside: the strict reader against the library that it stands on,
/// and time as the judge of what nobody would write.

#include "runtime/http/openai_request.hpp"
#include "runtime/json/strict_json.hpp"

#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace troupe {

namespace {

using nlohmann::json;
using texts = std::vector<std::string>;

const texts scalars = {"0",
                       "-1",
                       "1.5e3",
                       "18446744073709551615",
                       "1e-400",
                       "\"\"",
                       "\"x\"",
                       "\"\\u00e9\\ud83d\\ude00\\n\"",
                       "\"\xc3\xa9\"",
                       "true",
                       "false",
                       "null"};

const texts keys = {"\"a\"", "\"b\"", "\"\\u0061\"", "\"\"", "\"model\""};

const texts words = {"{",
                     "}",
                     "[",
                     "]",
                     ",",
                     ":",
                     "\"",
                     "\\",
                     "\\u0000",
                     "\\ud800",
                     "1e999",
                     "-",
                     "{}",
                     "[[]]",
                     "\"a\":1,",
                     "\xff",
                     "\xc3",
                     "0",
                     "null",
                     " ",
                     "\n",
                     std::string(1, '\0'),
                     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                     "/*"};

/// A value of any kind, seldom deep; keys may repeat.
std::string any_value(test::chance& dice, size_t depth) {
  auto kind = dice.below(depth > 0 ? 4 : 2);
  if (kind < 2)
    return dice.of(scalars);
  std::string text = kind == 2 ? "[" : "{";
  for (size_t i = dice.below(4); i > 0; --i)
    text += (kind == 2 ? "" : dice.of(keys) + ":") + any_value(dice, depth - 1)
            + (i > 1 ? "," : "");
  return text + (kind == 2 ? "]" : "}");
}

/// Looks for a key that comes twice in an object, in the plainest way.
class twice_finder : public nlohmann::json_sax<json> {
public:
  bool found = false;

  bool null() override {
    return true;
  }
  bool boolean(bool) override {
    return true;
  }
  bool number_integer(number_integer_t) override {
    return true;
  }
  bool number_unsigned(number_unsigned_t) override {
    return true;
  }
  bool number_float(number_float_t, const string_t&) override {
    return true;
  }
  bool string(string_t&) override {
    return true;
  }
  bool binary(binary_t&) override {
    return true;
  }
  bool start_object(size_t) override {
    return keys_.emplace_back(), true;
  }
  bool end_object() override {
    return keys_.pop_back(), true;
  }
  bool start_array(size_t) override {
    return true;
  }
  bool end_array() override {
    return true;
  }

  bool key(string_t& name) override {
    found |= !keys_.back().insert(name).second;
    return true;
  }

  bool parse_error(size_t, const std::string&,
                   const nlohmann::detail::exception&) override {
    return false;
  }

private:
  std::vector<std::set<std::string>> keys_;
};

TEST(JsonFuzz, AgreesWithTheLibraryButForKeysThatComeTwice) {
  test::chance dice;
  size_t num_read = 0, num_twice = 0;
  for (int i = 0; i < 30'000; ++i) {
    auto text = any_value(dice, 5);
    if (!dice.one_in(3))
      text = test::mutated(dice, text, words);
    auto expected = json::parse(text, nullptr, false);
    twice_finder finder;
    json::sax_parse(text, &finder);
    auto got = parse_json("it", text, {1000, SIZE_MAX, SIZE_MAX});
    if (expected.is_discarded() || finder.found) {
      ASSERT_FALSE(got) << text;
      num_twice += finder.found;
    } else {
      ASSERT_TRUE(got) << text << ": " << got.why().message;
      ASSERT_EQ(*got, expected) << text;
      ++num_read;
    }
  }
  EXPECT_GT(num_read, 5'000u);
  EXPECT_GT(num_twice, 500u);
}

TEST(JsonFuzz, MutatedRequestsAreReadOrRefusedWithASentence) {
  test::chance dice;
  const texts samples = {
    R"({"model":"m","messages":[{"role":"user","content":"x"}],"stop":["a"],)"
    R"("stream":true,"stream_options":{"include_usage":true},"seed":7})",
    R"({"model":"m","temperature":0.5,"messages":[{"role":"assistant",)"
    R"("tool_calls":[{"type":"function","function":{"name":"f",)"
    R"("arguments":"{}"}}]},{"role":"user","content":[{"type":"text",)"
    R"("text":"a"}]}]})",
    R"({"model":"m","prompt":[1,2,3],"max_tokens":4,"top_k":-1,"n":1})",
  };
  for (int i = 0; i < 20'000; ++i) {
    auto text = test::mutated(dice, dice.of(samples), words);
    auto chat = http::parse_chat_request(text, {});
    auto completion = http::parse_text_request(text, {});
    if (auto* error = std::get_if<http::api_error>(&chat)) {
      ASSERT_FALSE(error->message.empty()) << text;
      ASSERT_NO_THROW(http::render_error(*error)) << text;
    }
  }
}

// -- time ---------------------------------------------------------------------

std::string list_of(size_t count, const std::string& item) {
  std::string text = "[";
  for (size_t i = 0; i < count; ++i)
    text += (i > 0 ? "," : "") + item;
  return text + "]";
}

std::string members(size_t count, const std::string& value) {
  std::string text = "{";
  for (size_t i = 0; i < count; ++i)
    text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":" + value;
  return text + "}";
}

constexpr uint64_t murmur = 0xc6a4a7935bd1e995; // of libstdc++'s hash

uint64_t shift_mix(uint64_t x) {
  return x ^ (x >> 47); // its own inverse
}

/// Eight bytes that lead from the state `h` to the same state always.
uint64_t second_half(uint64_t h) {
  uint64_t inverse = murmur;
  for (int i = 0; i < 6; ++i)
    inverse *= 2 - murmur * inverse;
  return shift_mix(h * inverse) * inverse;
}

/// Keys of 16 ASCII letters and signs that std::hash takes for one another.
texts colliding_keys(size_t count) {
  texts all;
  for (uint64_t i = 0; all.size() < count; ++i) {
    char bytes[17];
    std::snprintf(bytes, sizeof bytes, "%08llx", // the first half
                  static_cast<unsigned long long>(i));
    uint64_t first;
    std::memcpy(&first, bytes, 8);
    uint64_t h = 0xc70f6907 ^ (16 * murmur);
    h = (h ^ (shift_mix(first * murmur) * murmur)) * murmur;
    auto second = second_half(h);
    if ((second & 0x8080808080808080) != 0)
      continue; // no ASCII
    std::memcpy(bytes + 8, &second, 8);
    all.emplace_back(bytes, 16);
  }
  return all;
}

std::string object_of(const texts& names) {
  std::string text = "{";
  for (const auto& name : names)
    text += (text.size() > 1 ? "," : "") + json(name).dump() + ":0";
  return text + "}";
}

TEST(JsonFuzz, CollidingKeysDoCollide) {
  auto names = colliding_keys(100);
  for (const auto& name : names)
    EXPECT_EQ(std::hash<std::string>{}(name),
              std::hash<std::string>{}(names.front()));
}

/// Whether reading four times as much takes about four times as long: 16 times
/// would be its square.
template <class Make>
void expect_linear(const char* what, size_t n, const Make& make) {
  auto time = [&](size_t count) {
    auto text = make(count);
    return test::seconds_of([&] {
      auto x = parse_json("it", text);
      EXPECT_TRUE(x || !x.why().message.empty());
    });
  };
  auto least = 1e-3; // below that it is a matter of caches
  auto one = std::max(time(n), least);
  EXPECT_LT(time(2 * n), 5 * one) << what;
  EXPECT_LT(time(4 * n), 10 * one) << what;
}

TEST(JsonFuzz, TimeGrowsWithTheSizeOfTheText) {
  auto list = [](const char* item) {
    return [item](size_t n) { return list_of(n, item); };
  };
  auto object = [](const char* value) {
    return [value](size_t n) { return members(n, value); };
  };
  expect_linear("text parts", 10'000, list(R"({"type":"text","text":"a"})"));
  expect_linear("empty objects", 10'000, list("{}"));
  expect_linear("members {}", 10'000, object("{}"));
  expect_linear("members 0", 10'000, object("0"));
  expect_linear("members []", 10'000, object("[]"));
  expect_linear("lists of lists", 10'000, list("[[[[]]]]"));
  expect_linear("colliding keys", 5'000,
                [](size_t n) { return object_of(colliding_keys(n)); });
  expect_linear("keys that begin alike", 500, [](size_t n) {
    texts names;
    for (size_t i = 0; i < n; ++i)
      names.push_back(std::string(1000, 'x') + std::to_string(i));
    return object_of(names);
  });
  expect_linear("a long number", 200'000,
                [](size_t n) { return std::string(n, '9'); });
  expect_linear("a long fraction", 200'000,
                [](size_t n) { return "0." + std::string(n, '0') + "1"; });
  expect_linear("escapes", 100'000, [](size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i)
      text += "\\u00e9";
    return '"' + text + '"';
  });
  expect_linear("a string that ends badly", 200'000,
                [](size_t n) { return '"' + std::string(n, '\x7f') + "\x01"; });
}

TEST(JsonFuzz, RequestsOfTheLimitsAreReadInTimeOfTheirSize) {
  auto time = [](size_t n) {
    auto body = R"({"model":"m","messages":[{"role":"user","content":)"
                + list_of(n, R"({"type":"text","text":"a"})") + "}]}";
    return test::seconds_of([&] {
      auto x = http::parse_chat_request(body, {});
      EXPECT_TRUE(std::holds_alternative<http::chat_request>(x));
    });
  };
  EXPECT_LT(time(40'000), 10 * time(10'000));
}

} // namespace

} // namespace troupe
