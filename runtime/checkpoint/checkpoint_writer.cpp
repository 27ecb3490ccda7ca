#include "runtime/checkpoint/checkpoint_writer.hpp"

#include "runtime/checkpoint/checkpoint.hpp"

#include <cstdio>

namespace troupe {

namespace {

/// Where shards begin, and the end.
std::vector<size_t> cut(const std::vector<tensor_entry>& tensors,
                        uint64_t shard_bytes) {
  std::vector<size_t> out{0};
  uint64_t held = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto bytes = tensors[i].num_bytes();
    if (shard_bytes > 0 && held > 0 && held + bytes > shard_bytes) {
      out.push_back(i);
      held = 0;
    }
    held += bytes;
  }
  out.push_back(tensors.size());
  return out;
}

std::string in_quotes(std::string_view plain) {
  return '"' + std::string{plain} + '"';
}

/// `[begin, end]` of its bytes included.
std::string entry_of(const tensor_entry& x, uint64_t begin) {
  std::string shape;
  for (auto dim : x.shape)
    shape += (shape.empty() ? "" : ",") + std::to_string(dim);
  return in_quotes(x.name) + ":{\"dtype\":" + in_quotes(to_string(x.dtype))
         + ",\"shape\":[" + shape + "],\"data_offsets\":["
         + std::to_string(begin) + "," + std::to_string(begin + x.num_bytes())
         + "]}";
}

/// The length and the header of a file of `tensors`, in this order. Published
/// names need no escapes.
std::string header_of(std::span<const tensor_entry> tensors) {
  std::string text = R"({"__metadata__":{"format":"pt"})";
  uint64_t end = 0;
  for (auto& x : tensors) {
    text += "," + entry_of(x, end);
    end += x.num_bytes();
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string out;
  for (int i = 0; i < 8; ++i)
    out += static_cast<char>(text.size() >> (8 * i));
  return out + text;
}

} // namespace

uint64_t tensor_entry::num_bytes() const {
  uint64_t out = size_of(dtype);
  for (auto dim : shape)
    out *= dim;
  return out;
}

result<checkpoint_writer>
checkpoint_writer::create(std::filesystem::path model_dir,
                          std::vector<tensor_entry> tensors,
                          uint64_t shard_bytes) {
  checkpoint_writer out;
  out.shards_ = cut(tensors, shard_bytes);
  if (out.shards_.size() - 1 > max_shards)
    return failure{
      errc::invalid_input,
      "the model would have " + std::to_string(out.shards_.size() - 1)
        + " files, more than the 10000 that a checkpoint may have"};
  for (auto& x : tensors)
    out.total_bytes_ += x.num_bytes();
  out.model_dir_ = std::move(model_dir);
  out.tensors_ = std::move(tensors);
  return out;
}

result<void> checkpoint_writer::append(std::span<const std::byte> bytes) {
  CHECK(tensor_ < tensors_.size());
  if (tensor_bytes_ == 0 && num_opened_ < shards_.size() - 1
      && shards_[num_opened_] == tensor_) {
    if (file_)
      if (auto ok = file_->close(); !ok)
        return ok;
    open(num_opened_++);
  }
  auto size = tensors_[tensor_].num_bytes();
  CHECK(tensor_bytes_ + bytes.size() <= size);
  file_->write(bytes);
  tensor_bytes_ += bytes.size();
  if (tensor_bytes_ == size) {
    tensor_bytes_ = 0;
    ++tensor_;
  }
  return file_->status();
}

result<void> checkpoint_writer::finish() {
  CHECK(tensor_ == tensors_.size());
  if (file_)
    if (auto ok = file_->close(); !ok)
      return ok;
  return shards_.size() == 2 ? result<void>{} : write_index();
}

std::vector<std::string> checkpoint_writer::file_names() const {
  std::vector<std::string> out;
  for (size_t i = 0; i + 1 < shards_.size(); ++i)
    out.push_back(shard_name(i));
  if (out.size() > 1)
    out.push_back(index_name);
  return out;
}

std::string checkpoint_writer::shard_name(size_t shard) const {
  auto count = shards_.size() - 1;
  if (count == 1)
    return "model.safetensors";
  char out[64];
  std::snprintf(out, sizeof(out), "model-%05zu-of-%05zu.safetensors", shard + 1,
                count);
  return out;
}

void checkpoint_writer::open(size_t shard) {
  file_.emplace(model_dir_ / shard_name(shard));
  auto first = shards_[shard];
  file_->write(
    header_of(std::span{tensors_}.subspan(first, shards_[shard + 1] - first)));
}

result<void> checkpoint_writer::write_index() const {
  std::string text = "{\n  \"metadata\": {\n    \"total_size\": "
                     + std::to_string(total_bytes_)
                     + "\n  },\n  \"weight_map\": {";
  for (size_t shard = 0; shard + 1 < shards_.size(); ++shard)
    for (auto i = shards_[shard]; i < shards_[shard + 1]; ++i)
      text += (i > 0 ? ",\n    " : "\n    ") + in_quotes(tensors_[i].name)
              + ": " + in_quotes(shard_name(shard));
  return write_file(model_dir_ / index_name, text + "\n  }\n}\n");
}

} // namespace troupe
