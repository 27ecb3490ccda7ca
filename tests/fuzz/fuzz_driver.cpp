/// What libFuzzer calls. --target=NAME says which target it tries, --list
/// prints all with their lengths; everything else on the command line is
/// libFuzzer's.

#include "tests/fuzz/target.hpp"

#include <cstdint>
#include <cstdlib>
#include <iostream>

namespace {

const troupe::fuzz::target* chosen = nullptr;

[[noreturn]] void list_all() {
  for (auto& x : troupe::fuzz::targets)
    std::cout << x.name << " " << x.max_length << "\n";
  std::cout.flush();
  std::_Exit(0); // nothing of libFuzzer has begun
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view flag = "--target=";
  for (int i = 1; i < *argc; ++i) {
    std::string_view word{(*argv)[i]};
    if (word == "--list")
      list_all();
    for (auto& x : troupe::fuzz::targets)
      if (word.starts_with(flag) && word.substr(flag.size()) == x.name)
        chosen = &x;
  }
  if (!chosen) {
    std::cerr << "--target=NAME has to be one of those of --list" << std::endl;
    std::_Exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
