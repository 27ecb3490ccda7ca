#pragma once

/// What the fuzz tests share: a seed that is told, a generator, mutations, and
/// the time of this thread alone.

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace troupe::test {

class chance {
public:
  /// Seeded from FUZZ_SEED, or always the same; says so, as a crash would say
  /// nothing any more.
  chance() {
    const auto* given = std::getenv("FUZZ_SEED");
    auto seed = given ? std::strtoull(given, nullptr, 10) : 1;
    std::cout << "FUZZ_SEED=" << seed << std::endl;
    bits_.seed(seed);
  }

  /// From 0 to `limit` - 1.
  size_t below(size_t limit) {
    return static_cast<size_t>(bits_() % limit);
  }

  bool one_in(size_t n) {
    return below(n) == 0;
  }

  template <class T>
  const T& of(const std::vector<T>& all) {
    return all[below(all.size())];
  }

private:
  std::mt19937_64 bits_;
};

/// `text` with one to four changes: bytes flipped, words of the language
/// inserted, parts dropped, doubled or moved.
inline std::string mutated(chance& dice, std::string text,
                           const std::vector<std::string>& words) {
  for (size_t i = dice.below(4) + 1; i > 0; --i) {
    auto at = dice.below(text.size() + 1);
    auto size = dice.below(std::min<size_t>(text.size() - at, 16) + 1);
    auto part = text.substr(at, size);
    switch (dice.below(5)) {
      case 0:
        if (at < text.size())
          text[at] = static_cast<char>(dice.below(256));
        break;
      case 1:
        text.insert(at, dice.of(words));
        break;
      case 2:
        text.erase(at, size);
        break;
      case 3:
        text.insert(at, part);
        break;
      default:
        text.erase(at, size);
        text.insert(dice.below(text.size() + 1), part);
    }
  }
  return text;
}

/// Seconds that this thread has computed.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec)
         + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The least of three times of `work`.
template <class Work>
double seconds_of(const Work& work) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    auto begin = thread_seconds();
    work();
    best = std::min(best, thread_seconds() - begin);
  }
  return best;
}

} // namespace troupe::test
