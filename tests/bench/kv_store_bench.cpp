/// What keeping blocks on a disk costs: plain files against RocksDB with blob
/// files, at the size of a block of a large model and at that of a small one.
/// Prints GB/s written (until the system has it, and until the disk has), GB/s
/// read (of what the system still has, and of what it has not where it can be
/// told to forget), bytes that the disk was given for each byte of blocks, with
/// all blocks replaced twice, and what a start takes with 100,000 blocks.
///
///   kv_store_bench DIR [GB, of blocks a case]

#include "runtime/kv_store/kv_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#ifdef TROUPE_ROCKSDB
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#endif

namespace troupe {

namespace {

using seconds = std::chrono::duration<double>;

double since(std::chrono::steady_clock::time_point begin) {
  return seconds(std::chrono::steady_clock::now() - begin).count();
}

std::chrono::steady_clock::time_point now() {
  return std::chrono::steady_clock::now();
}

/// What this process has had written to the disk.
uint64_t bytes_to_disk() {
  std::ifstream in{"/proc/self/io"};
  std::string name;
  for (uint64_t value; in >> name >> value;)
    if (name == "write_bytes:")
      return value;
  return 0;
}

kv_block block_of(const kv_chain& chain, uint32_t i) {
  kv_block out;
  out.before = chain.root("");
  for (uint32_t t = 0; t < kv_block::num_tokens; ++t)
    out.tokens[t] = static_cast<int32_t>(i * 64 + t);
  out.key = kv_chain::next(out.before, out.tokens, 0);
  return out;
}

/// Latents do not compress; no two blocks are alike.
void fill(std::vector<std::byte>& out, uint64_t seed) {
  auto x = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i + 8 <= out.size(); i += 8) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    std::memcpy(out.data() + i, &x, 8);
  }
}

/// Of the two.
class keeper {
public:
  virtual ~keeper() = default;
  virtual bool put(const kv_block& x, std::span<const std::byte> bytes) = 0;
  virtual bool get(const kv_block& x, std::span<std::byte> out) = 0;
  /// Room is wanted, and this is the oldest.
  virtual void drop(const kv_block& x) = 0;
  virtual void settle() = 0; ///< All that was put is on the disk.
};

class plain : public keeper {
public:
  plain(const std::string& dir, uint64_t max_bytes, uint64_t block_bytes) {
    auto made = kv_store::open({dir, max_bytes, block_bytes, identity_of("b")});
    CHECK(made);
    store_ = std::move(*made);
  }

  bool put(const kv_block& x, std::span<const std::byte> bytes) override {
    auto ok = store_->put(x, bytes);
    return ok && *ok;
  }

  bool get(const kv_block& x, std::span<std::byte> out) override {
    return store_->get(x, out);
  }

  void drop(const kv_block&) override {
  }

  void settle() override {
    ::sync();
  }

private:
  std::unique_ptr<kv_store> store_;
};

#ifdef TROUPE_ROCKSDB
/// As its makers advise for large values: blob files, collected as they empty.
class rocks : public keeper {
public:
  rocks(const std::string& dir, uint64_t, uint64_t block_bytes) {
    rocksdb::Options o;
    o.create_if_missing = true;
    o.enable_blob_files = true;
    o.min_blob_size = 1024;
    o.blob_file_size = 256 << 20;
    o.enable_blob_garbage_collection = true;
    o.blob_garbage_collection_age_cutoff = 0.5;
    o.compression = rocksdb::kNoCompression;
    o.write_buffer_size = std::max<uint64_t>(64 << 20, 8 * block_bytes);
    o.max_background_jobs = 4;
    rocksdb::BlockBasedTableOptions table;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    auto status = rocksdb::DB::Open(o, dir, &db);
    CHECK(status.ok());
    db_.reset(db);
    writes_.disableWAL = true; // what is lost is a miss
    reads_.verify_checksums = true;
  }

  bool put(const kv_block& x, std::span<const std::byte> bytes) override {
    return db_->Put(writes_, key(x), slice(bytes)).ok();
  }

  bool get(const kv_block& x, std::span<std::byte> out) override {
    rocksdb::PinnableSlice value;
    auto* all = db_->DefaultColumnFamily();
    if (!db_->Get(reads_, all, key(x), &value).ok()
        || value.size() != out.size())
      return false;
    std::memcpy(out.data(), value.data(), out.size());
    return true;
  }

  void drop(const kv_block& x) override {
    CHECK(db_->Delete(writes_, key(x)).ok());
  }

  void settle() override {
    CHECK(db_->Flush({}).ok());
    ::sync();
  }

  ~rocks() override {
    if (db_)
      CHECK(db_->Flush({}).ok());
  }

private:
  static rocksdb::Slice slice(std::span<const std::byte> x) {
    return {reinterpret_cast<const char*>(x.data()), x.size()};
  }

  static rocksdb::Slice key(const kv_block& x) {
    return slice(x.key.bytes);
  }

  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteOptions writes_;
  rocksdb::ReadOptions reads_;
};
#endif

uint64_t bytes_below(const std::filesystem::path& dir) {
  uint64_t out = 0;
  for (auto& x : std::filesystem::recursive_directory_iterator{dir})
    if (x.is_regular_file())
      out += x.file_size();
  return out;
}

class bench {
public:
  bench(std::string name, std::filesystem::path dir, uint64_t block_bytes)
    : name_(std::move(name)), dir_(std::move(dir)), bytes_(block_bytes) {
    fill(bytes_, 1);
  }

  void run(double gb) {
    auto n = static_cast<uint32_t>(gb * 1e9 / double(bytes_.size()));
    measure(n);
    replace(n / 2);
  }

  /// A start with `n` blocks, until the first is read.
  void start(uint32_t n) {
    auto max = begin(n + 16);
    for (uint32_t i = 0; i < n; ++i)
      put(i);
    of_->settle();
    of_.reset();
    forget();
    auto cold = time_start(max, n), warm = time_start(max, n);
    say();
    std::printf("start with %u blocks: %.0f ms cold, %.0f ms warm\n", n,
                cold * 1e3, warm * 1e3);
  }

private:
  void measure(uint32_t n) {
    begin(n + n / 8 + 16);
    auto first = now();
    for (uint32_t i = 0; i < n; ++i)
      put(i);
    auto gb = double(n) * double(bytes_.size()) / 1e9;
    auto written = gb / since(first);
    of_->settle();
    auto settled = gb / since(first);
    auto warm = read(n);
    forget();
    auto cold = read(n);
    say();
    std::printf("written %5.2f GB/s, %5.2f until the disk has it; read %5.2f "
                "GB/s warm, %5.2f cold\n",
                written, settled, warm, cold);
  }

  /// Where `n` blocks have room, three times as many are written.
  void replace(uint32_t n) {
    begin(n + 1);
    ::sync();
    auto before = bytes_to_disk();
    auto first = now();
    for (uint32_t i = 0; i < 3 * n; ++i) {
      put(i);
      if (i >= n)
        of_->drop(block_of(chain_, i - n));
    }
    of_->settle();
    auto took = since(first);
    auto given = double(bytes_to_disk() - before);
    auto all = 3.0 * n * double(bytes_.size());
    say();
    std::printf("replaced %5.2f GB/s; the disk was given %.2f of what was "
                "written and holds %.2f of its bound\n",
                all / 1e9 / took, given / all,
                3 * double(bytes_below(dir_)) / all);
  }

  /// Returns the bound.
  uint64_t begin(uint32_t room) {
    of_.reset();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    std::filesystem::permissions(dir_, std::filesystem::perms::owner_all);
    auto bytes = (bytes_.size() + 4095) / 4096 * 4096 + 512;
    auto max = room * bytes + 4096;
    of_ = make(max);
    return max;
  }

  std::unique_ptr<keeper> make(uint64_t max_bytes) const {
#ifdef TROUPE_ROCKSDB
    if (name_ == "rocksdb")
      return std::make_unique<rocks>(dir_, max_bytes, bytes_.size());
#endif
    return std::make_unique<plain>(dir_, max_bytes, bytes_.size());
  }

  void put(uint32_t i) {
    std::memcpy(bytes_.data(), &i, sizeof i);
    CHECK(of_->put(block_of(chain_, i), bytes_));
  }

  double read(uint32_t n) {
    auto first = now();
    for (uint32_t i = 0; i < n; ++i)
      CHECK(of_->get(block_of(chain_, i), bytes_));
    return double(n) * double(bytes_.size()) / since(first) / 1e9;
  }

  double time_start(uint64_t max, uint32_t n) {
    auto first = now();
    of_ = make(max);
    CHECK(of_->get(block_of(chain_, n - 1), bytes_));
    auto out = since(first);
    of_.reset();
    return out;
  }

  /// Makes the system forget what it holds of the files.
  void forget() const {
    ::sync();
    for (auto& x : std::filesystem::recursive_directory_iterator{dir_}) {
      auto fd = ::open(x.path().c_str(), O_RDONLY);
      ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      ::close(fd);
    }
  }

  void say() const {
    std::printf("%-8s %8zu B  ", name_.c_str(), bytes_.size());
  }

  std::string name_;
  std::filesystem::path dir_;
  std::vector<std::byte> bytes_;
  kv_chain chain_{identity_of("b")};
  std::unique_ptr<keeper> of_;
};

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "kv_store_bench DIR [GB of a case]\n");
    return 2;
  }
  auto dir = std::filesystem::path{argv[1]} / "kv_store_bench";
  auto gb = argc > 2 ? std::atof(argv[2]) : 2.0;
  std::vector<std::string> names{"plain"};
#ifdef TROUPE_ROCKSDB
  names.push_back("rocksdb");
#endif
  // All 61 layers of 576 BF16 values; and what a small model has.
  for (uint64_t bytes : {64ull * 61 * 576 * 2, 65'536ull})
    for (auto& name : names)
      troupe::bench(name, dir, bytes).run(gb);
  for (auto& name : names)
    troupe::bench(name, dir, 65'536).start(100'000);
  std::filesystem::remove_all(dir);
}
