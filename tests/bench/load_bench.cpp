/// What loading costs beside reading: the bytes of a model read once into a
/// small buffer, read once into new memory, and loaded as a process loads them
/// that holds everything; and the most memory that a load took.
///
///   load_bench MODEL_DIR [rounds] [threads] [cold]
///
/// Rounds are interleaved; medians are printed. CPU time is that of all
/// threads, the program's and the system's: it says more on a machine that
/// others use. With `cold` the files leave the system's cache before each run.
/// Where a host takes back what a virtual machine frees, new memory is slow,
/// and so is whatever fills it: compare with the second line then.

#include "deploy/process_memory.hpp"
#include "kernels/host/host_memory.hpp"
#include "runtime/cluster/node_parts.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace troupe {

namespace {

std::vector<std::string> files_of(const std::filesystem::path& model) {
  std::vector<std::string> out;
  for (auto& entry : std::filesystem::directory_iterator{model})
    if (entry.path().extension() == ".safetensors")
      out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

uint64_t bytes_of(const std::vector<std::string>& files) {
  uint64_t sum = 0;
  for (auto& file : files)
    sum += std::filesystem::file_size(file);
  return sum;
}

void forget(const std::vector<std::string>& files) {
  for (auto& file : files) {
    auto fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    ::fdatasync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

/// Reads all files; into one place, or one after the other from `to` on.
void read_all(const std::vector<std::string>& files, std::byte* to, size_t step,
              bool keep) {
  for (auto& file : files) {
    auto fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (ssize_t n; (n = ::read(fd, to, step)) > 0;)
      to += keep ? n : 0;
    ::close(fd);
  }
}

struct contender {
  const char* name;
  std::function<void()> run;
  std::vector<double> seconds = {};
  std::vector<double> user = {};   ///< Seconds of CPU, of the program
  std::vector<double> system = {}; ///< and of the system for it.
};

double median(std::vector<double> x) {
  std::ranges::sort(x);
  return x[x.size() / 2];
}

double seconds(const timeval& x) {
  return double(x.tv_sec) + 1e-6 * double(x.tv_usec);
}

rusage used() {
  rusage out{};
  ::getrusage(RUSAGE_SELF, &out);
  return out;
}

void measure(contender& x) {
  auto start = std::chrono::steady_clock::now();
  auto before = used();
  x.run();
  auto after = used();
  x.user.push_back(seconds(after.ru_utime) - seconds(before.ru_utime));
  x.system.push_back(seconds(after.ru_stime) - seconds(before.ru_stime));
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  x.seconds.push_back(time.count());
}

/// Loads, and returns the most memory that this process had meanwhile.
uint64_t load(const std::string& model, uint32_t num_threads) {
  std::ofstream{"/proc/self/clear_refs"} << "5"; // forgets earlier peaks
  node_options options;
  options.num_threads = num_threads;
  auto parts = load_node_parts(single_process(1, 1), 0, model, options);
  if (!parts) {
    std::fprintf(stderr, "load_bench: %s\n", parts.why().message.c_str());
    std::exit(1);
  }
  return peak_resident_bytes();
}

void print(const contender& x, const contender& reading, double bytes) {
  auto time = median(x.seconds);
  std::printf("%-21s %8.3f s %6.2f GB/s %6.2f x | CPU %7.3f + %.3f s\n", x.name,
              time, bytes / time * 1e-9, time / median(reading.seconds),
              median(x.user), median(x.system));
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  using namespace troupe;
  if (argc < 2)
    return 2;
  std::string model = argv[1];
  auto rounds = argc > 2 ? std::stoul(argv[2]) : 5;
  auto num_threads = argc > 3 ? uint32_t(std::stoul(argv[3])) : 2;
  auto cold = argc > 4 && std::string{argv[4]} == "cold";
  auto files = files_of(model);
  auto bytes = bytes_of(files);
  constexpr size_t step = 128 << 10;
  std::vector<std::byte> small(step);
  uint64_t peak = 0;
  std::vector<contender> all{
    {"read", [&] { read_all(files, small.data(), step, false); }},
    {"read into new memory",
     [&] {
       auto mem = kernels::host::allocate_host(bytes);
       read_all(files, mem->data(), step, true);
     }},
    {"load", [&] { peak = std::max(peak, load(model, num_threads)); }}};
  for (size_t i = 0; i < rounds; ++i)
    for (auto& x : all) {
      if (cold)
        forget(files);
      measure(x);
    }
  std::printf("%.2f GB, %u threads, %s, medians of %zu rounds\n", bytes * 1e-9,
              num_threads, cold ? "cold" : "warm", rounds);
  for (auto& x : all)
    print(x, all[0], double(bytes));
  std::printf("peak memory %.2f GB, %.3f of the weights\n", peak * 1e-9,
              double(peak) / double(bytes));
  return 0;
}
