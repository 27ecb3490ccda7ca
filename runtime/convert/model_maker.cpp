#include "runtime/convert/model_maker.hpp"

#include "runtime/checkpoint/published_tensors.hpp"
#include "runtime/json/strict_json.hpp"
#include "runtime/text/made_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace troupe {

using json = nlohmann::ordered_json;

namespace {

constexpr uint64_t chunk_bytes = 4 << 20;

/// A directory that was empty, and is again unless the work is finished.
class fresh_directory {
public:
  static result<fresh_directory> take(const std::filesystem::path& path) {
    std::error_code error;
    auto is_new = std::filesystem::create_directories(path, error);
    if (error)
      return failure{errc::io,
                     path.string() + " cannot be created: " + error.message()};
    auto is_empty = std::filesystem::is_empty(path, error);
    if (error)
      return failure{errc::io,
                     path.string() + " cannot be read: " + error.message()};
    if (!is_empty)
      return failure{errc::invalid_input,
                     path.string()
                       + " is not empty: a model is made in a "
                         "directory of its own"};
    return fresh_directory{path, is_new};
  }

  fresh_directory(fresh_directory&& other) noexcept
    : path_(std::move(other.path_)), files_(std::move(other.files_)),
      is_new_(other.is_new_), is_kept_(std::exchange(other.is_kept_, true)) {
  }

  ~fresh_directory() {
    if (is_kept_)
      return;
    std::error_code ignored;
    for (auto& file : files_)
      std::filesystem::remove(path_ / file, ignored);
    if (is_new_)
      std::filesystem::remove(path_, ignored);
  }

  void will_hold(const std::string& file) {
    files_.push_back(file);
  }

  result<void> write(const std::string& file, std::string_view content) {
    will_hold(file);
    return write_file(path_ / file, content);
  }

  void keep() {
    is_kept_ = true;
  }

private:
  fresh_directory(std::filesystem::path path, bool is_new)
    : path_(std::move(path)), is_new_(is_new) {
  }

  std::filesystem::path path_;
  std::vector<std::string> files_;
  bool is_new_;
  bool is_kept_ = false;
};

/// The configuration of what is made: as it was given, but for what
/// `make_model` says.
result<json> config_to_make(const make_options& options) {
  auto given = parse_json("config.json", options.config_json);
  if (!given)
    return given.why();
  json out = *given;
  if (!out.is_object())
    return failure{errc::invalid_input, "config.json is no JSON object"};
  out["bos_token_id"] = made_tokenizer::bos_id;
  out["eos_token_id"] = made_tokenizer::eos_id;
  out["pad_token_id"] = made_tokenizer::pad_id;
  auto is_fp8 = out.contains("quantization_config")
                && !out["quantization_config"].is_null();
  if (options.fp8 && !*options.fp8)
    out.erase("quantization_config");
  if (options.fp8 && *options.fp8 && !is_fp8)
    out["quantization_config"] = {{"quant_method", "fp8"},
                                  {"fmt", "e4m3"},
                                  {"activation_scheme", "dynamic"},
                                  {"weight_block_size", {128, 128}}};
  return out;
}

std::string generation_config() {
  json out;
  out["bos_token_id"] = made_tokenizer::bos_id;
  out["eos_token_id"] = made_tokenizer::eos_id;
  out["do_sample"] = true;
  out["temperature"] = 0.6;
  out["top_p"] = 0.95;
  return out.dump(2) + "\n";
}

result<void> write_weights(const std::vector<published_tensor>& tensors,
                           uint64_t seed, checkpoint_writer& out,
                           const load_progress& progress) {
  random_weights weights{seed};
  std::vector<std::byte> memory(chunk_bytes);
  uint64_t done = 0;
  for (auto& x : tensors) {
    auto size = x.entry.num_bytes();
    for (uint64_t at = 0; at < size; at += chunk_bytes) {
      auto chunk = std::span{memory}.first(std::min(chunk_bytes, size - at));
      weights.fill(x.numbers, at / element_bytes(x.numbers.kind), chunk);
      if (auto ok = out.append(chunk); !ok)
        return ok;
      done += chunk.size();
      if (progress)
        progress(done, out.total_bytes());
    }
  }
  return out.finish();
}

std::vector<tensor_entry>
entries_of(const std::vector<published_tensor>& tensors) {
  std::vector<tensor_entry> out;
  for (auto& x : tensors)
    out.push_back(x.entry);
  return out;
}

made_model describe(const std::vector<published_tensor>& tensors) {
  made_model out;
  for (auto& x : tensors) {
    out.bytes += x.entry.num_bytes();
    if (x.numbers.kind != random_kind::scales)
      out.parameters += x.entry.num_bytes() / size_of(x.entry.dtype);
  }
  return out;
}

} // namespace

result<made_model> make_model(const std::filesystem::path& model_dir,
                              const make_options& options,
                              const load_progress& progress) {
  auto json = config_to_make(options);
  if (!json)
    return json.why();
  auto text = json->dump(2) + "\n";
  auto config = parse_model_config("config.json", text);
  if (!config)
    return config.why();
  auto words = make_tokenizer(config->vocab_size,
                              config->max_position_embeddings);
  if (!words)
    return words.why();
  auto tensors = published_tensors(*config);
  auto weights = checkpoint_writer::create(model_dir, entries_of(tensors),
                                           options.shard_bytes);
  if (!weights)
    return weights.why();
  auto dir = fresh_directory::take(model_dir);
  if (!dir)
    return dir.why();
  for (auto& name : weights->file_names())
    dir->will_hold(name);
  if (auto ok = write_weights(tensors, options.seed, *weights, progress); !ok)
    return ok.why();
  // Last, so that what was cut short has none.
  for (auto& [name, content] :
       {std::pair{"tokenizer.json", words->tokenizer_json},
        std::pair{"tokenizer_config.json", words->tokenizer_config_json},
        std::pair{"generation_config.json", generation_config()},
        std::pair{"config.json", text}})
    if (auto ok = dir->write(name, content); !ok)
      return ok.why();
  dir->keep();
  return describe(tensors);
}

} // namespace troupe
