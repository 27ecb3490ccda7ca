#pragma once

/// Reads GGUF files for tests, written from the format's description alone.
/// Sizes are not checked: a bad file ends the test, not politely.

#include "tests/model_files.hpp"

#include <cmath>
#include <cstring>
#include <map>
#include <variant>
#include <vector>

namespace troupe {

class gguf_reader {
public:
  using value = std::variant<uint64_t, double, bool, std::string,
                             std::vector<std::string>, std::vector<int32_t>>;

  struct tensor {
    std::vector<uint64_t> ne;
    uint32_t type = 0;
    uint64_t offset = 0;
  };

  explicit gguf_reader(const std::filesystem::path& path)
    : file_(read_text(path)) {
    EXPECT_EQ(file_.substr(0, 4), "GGUF");
    at_ = 4;
    EXPECT_EQ(take<uint32_t>(), 3u);
    auto num_tensors = take<uint64_t>();
    auto num_keys = take<uint64_t>();
    for (uint64_t i = 0; i < num_keys; ++i) {
      auto key = text();
      keys[key] = any(take<uint32_t>());
    }
    for (uint64_t i = 0; i < num_tensors; ++i) {
      auto name = text();
      tensor x;
      x.ne.resize(take<uint32_t>());
      for (auto& dim : x.ne)
        dim = take<uint64_t>();
      x.type = take<uint32_t>();
      x.offset = take<uint64_t>();
      EXPECT_EQ(x.offset % 32, 0u) << name;
      tensors[name] = x;
    }
    data_ = (at_ + 31) / 32 * 32;
  }

  /// Values in memory order, Q8_0 multiplied out.
  std::vector<float> values(const std::string& name) const {
    auto& x = tensors.at(name);
    uint64_t count = 1;
    for (auto dim : x.ne)
      count *= dim;
    auto from = file_.data() + data_ + x.offset;
    std::vector<float> out(count);
    for (uint64_t i = 0; i < count; ++i)
      out[i] = x.type == 0    ? load<float>(from + 4 * i)
               : x.type == 30 ? from_bf16(load<uint16_t>(from + 2 * i))
                              : from_q8_0(from, i);
    return out;
  }

  std::string bytes(const std::string& name, size_t size) const {
    return file_.substr(data_ + tensors.at(name).offset, size);
  }

  uint64_t number(const std::string& key) const {
    return std::get<uint64_t>(keys.at(key));
  }

  double real(const std::string& key) const {
    return std::get<double>(keys.at(key));
  }

  const std::string& string(const std::string& key) const {
    return std::get<std::string>(keys.at(key));
  }

  size_t file_size() const {
    return file_.size();
  }

  std::map<std::string, value> keys;
  std::map<std::string, tensor> tensors;

private:
  template <class T>
  static T load(const char* from) {
    T out;
    std::memcpy(&out, from, sizeof(T));
    return out;
  }

  static float from_bf16(uint16_t bits) {
    uint32_t wide = uint32_t{bits} << 16;
    return load<float>(reinterpret_cast<const char*>(&wide));
  }

  static float from_f16(uint16_t bits) {
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    auto x = exponent == 0 ? std::ldexp(float(mantissa), -24)
                           : std::ldexp(float(1024 + mantissa), exponent - 25);
    return bits >> 15 ? -x : x;
  }

  static float from_q8_0(const char* from, uint64_t i) {
    auto block = from + i / 32 * 34;
    return from_f16(load<uint16_t>(block)) * load<int8_t>(block + 2 + i % 32);
  }

  template <class T>
  T take() {
    auto out = load<T>(file_.data() + at_);
    at_ += sizeof(T);
    return out;
  }

  std::string text() {
    auto size = take<uint64_t>();
    auto out = file_.substr(at_, size);
    at_ += size;
    return out;
  }

  value list() {
    auto type = take<uint32_t>();
    auto count = take<uint64_t>();
    std::vector<std::string> texts;
    std::vector<int32_t> numbers;
    for (uint64_t i = 0; i < count; ++i) {
      if (type == 8)
        texts.push_back(text());
      else
        numbers.push_back(take<int32_t>());
    }
    return type == 8 ? value{texts} : value{numbers};
  }

  value any(uint32_t type) {
    switch (type) {
      case 4:
        return uint64_t{take<uint32_t>()};
      case 6:
        return double{take<float>()};
      case 7:
        return take<uint8_t>() != 0;
      case 8:
        return text();
      default:
        EXPECT_EQ(type, 9u);
        return list();
    }
  }

  std::string file_;
  size_t at_ = 0;
  size_t data_ = 0;
};

} // namespace troupe
