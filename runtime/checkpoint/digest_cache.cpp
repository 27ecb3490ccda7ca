#include "runtime/checkpoint/digest_cache.hpp"

#include "runtime/checkpoint/output_file.hpp"
#include "runtime/checkpoint/regular_file.hpp"

#include "schemas/digests.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe {

namespace {

/// A million tensors with long names.
constexpr uint64_t max_cache_bytes = 256 << 20;

static_assert(std::endian::native == std::endian::little);

std::string bytes_of(const digest& x) {
  std::string out(16, '\0');
  std::memcpy(out.data(), &x.low, 8);
  std::memcpy(out.data() + 8, &x.high, 8);
  return out;
}

/// A device may have another number after a restart of the machine.
bool is_same(const input_file& file, schema::File::Reader kept) {
  auto& [the_device, number, size, changed_ns] = file.known_by();
  return file.path().filename().string() == kept.getName().cStr()
         && number == kept.getNumber() && size == kept.getSize()
         && changed_ns == kept.getChanged()
         && file.touched_ns() == kept.getTouched();
}

/// Takes over what `kept` says of one file's tensors.
void take(const checkpoint& source, uint32_t file, schema::File::Reader kept,
          digest_table& out) {
  for (auto x : kept.getTensors())
    if (auto* found = source.find(x.getName().cStr());
        found && found->file == file)
      out[x.getName().cStr()] = {x.getLow(), x.getHigh()};
}

digest_table parse(const checkpoint& source,
                   kj::ArrayPtr<const capnp::word> words) {
  digest_table out;
  capnp::FlatArrayMessageReader reader{
    words, {.traversalLimitInWords = UINT64_MAX, .nestingLimit = 8}};
  auto& files = source.files();
  for (auto kept : reader.getRoot<schema::Digests>().getFiles()) {
    auto i = std::ranges::find_if(
      files, [&](auto& file) { return is_same(file, kept); });
    if (i != files.end())
      take(source, static_cast<uint32_t>(i - files.begin()), kept, out);
  }
  return out;
}

void describe(const input_file& file, schema::File::Builder out) {
  auto& [the_device, number, size, changed_ns] = file.known_by();
  out.setName(file.path().filename().string());
  out.setNumber(number);
  out.setSize(size);
  out.setChanged(changed_ns);
  out.setTouched(file.touched_ns());
}

} // namespace

digest_cache::digest_cache(const std::filesystem::path& dir,
                           const checkpoint& source)
  : source_(source) {
  if (dir.empty())
    return;
  std::error_code error;
  auto model = std::filesystem::canonical(source.directory(), error);
  if (!error)
    path_ = dir / (to_string(digest_of(model.string())) + ".digests");
}

digest_table digest_cache::read() const {
  if (path_.empty())
    return {};
  auto text = read_regular_file(path_, max_cache_bytes);
  if (!text || text->size() < 16 || text->size() % sizeof(capnp::word) != 0)
    return {};
  auto message = std::string_view{*text}.substr(0, text->size() - 16);
  if (bytes_of(digest_of(message)) != text->substr(message.size()))
    return {};
  std::vector<capnp::word> words(message.size() / sizeof(capnp::word));
  if (!words.empty())
    std::memcpy(words.data(), message.data(), message.size());
  try {
    return parse(source_, kj::arrayPtr(words.data(), words.size()));
  } catch (const kj::Exception&) {
    return {};
  }
}

void digest_cache::write(const digest_table& all) const {
  if (path_.empty())
    return;
  auto& files = source_.files();
  std::vector<std::vector<digest_table::const_iterator>> by_file(files.size());
  for (auto i = all.begin(); i != all.end(); ++i)
    if (auto* x = source_.find(i->first))
      by_file[x->file].push_back(i);
  capnp::MallocMessageBuilder builder;
  auto list = builder.initRoot<schema::Digests>().initFiles(
    static_cast<unsigned>(files.size()));
  for (unsigned f = 0; f < files.size(); ++f) {
    describe(files[f], list[f]);
    auto tensors
      = list[f].initTensors(static_cast<unsigned>(by_file[f].size()));
    for (unsigned t = 0; t < by_file[f].size(); ++t) {
      auto& [name, x] = *by_file[f][t];
      tensors[t].setName(name);
      tensors[t].setLow(x.low);
      tensors[t].setHigh(x.high);
    }
  }
  auto words = capnp::messageToFlatArray(builder);
  auto bytes = words.asChars();
  std::string_view message{bytes.begin(), bytes.size()};
  std::error_code ignored;
  std::filesystem::create_directories(path_.parent_path(), ignored);
  output_file out{path_};
  out.write(message);
  out.write(bytes_of(digest_of(message)));
  static_cast<void>(out.close()); // next time everything is read again then
}

} // namespace troupe
